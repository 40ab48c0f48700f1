import assert from 'node:assert/strict'
import { test } from 'node:test'
import { faultOfStatus } from '../../src/http/problem.ts'
import { createPace, exhaustedForMs } from '../../src/http/rate-limit.ts'

/** What is left by the providers' own count. */

const used = (reset: string) => ({ 'x-ratelimit-remaining-requests': '0', 'x-ratelimit-reset-requests': reset })

const durations: [string, number | undefined][] = [
  ['6ms', 6],
  ['120ms', 120],
  ['1s', 1000],
  ['1.5s', 1500],
  ['6m0s', 360_000],
  ['2m59.56s', 179_560],
  ['1h2m', 3_720_000],
  ['20', 20_000],
  ['0s', undefined],
  ['', undefined],
  ['soon', undefined],
  ['-5s', undefined],
  ['1e400', undefined],
  ['9999999999999999s', undefined],
]
for (const [text, ms] of durations) {
  test(`nothing is left, and there will be in ${JSON.stringify(text)}`, () => {
    assert.equal(exhaustedForMs(used(text)), ms)
  })
}

test('what is left says nothing, and the longer of two waits holds', () => {
  assert.equal(exhaustedForMs({ ...used('1s'), 'x-ratelimit-remaining-requests': '3' }), undefined)
  const tokens = { 'x-ratelimit-remaining-tokens': '0', 'x-ratelimit-reset-tokens': '3s' }
  assert.equal(exhaustedForMs({ ...used('1s'), ...tokens }), 3000)
})

test('times of Anthropic are read against the clock of the answer', () => {
  const headers = {
    date: 'Sun, 22 Nov 2026 10:00:00 GMT',
    'anthropic-ratelimit-input-tokens-remaining': '0',
    'anthropic-ratelimit-input-tokens-reset': '2026-11-22T10:00:07Z',
  }
  assert.equal(exhaustedForMs(headers), 7000)
  for (const reset of ['2026-11-22T09:00:00Z', 'tomorrow', '']) {
    assert.equal(exhaustedForMs({ ...headers, 'anthropic-ratelimit-input-tokens-reset': reset }), undefined)
  }
  for (const date of ['1', 'today', '']) assert.equal(exhaustedForMs({ ...headers, date }), undefined, date)
})

test('a short rest is kept, each provider for itself, and a long one is left to the provider', () => {
  let nowMs = 0
  const pace = createPace(() => nowMs)
  pace.learn('a', used('4s'))
  pace.learn('b', used('6m0s'))
  pace.learn('c', {})
  assert.deepEqual(
    ['a', 'b', 'c'].map((name) => pace.restMs(name)),
    [4000, 0, 0],
  )
  nowMs = 3000
  assert.equal(pace.restMs('a'), 1000)
  nowMs = 5000
  assert.equal(pace.restMs('a'), 0)
})

test('a 429 that says no other time is told with this one', () => {
  assert.equal(faultOfStatus(429, used('6m0s'), '').detail.retryAfterMs, 360_000)
  assert.equal(faultOfStatus(429, { ...used('6m0s'), 'retry-after': '2' }, '').detail.retryAfterMs, 2000)
})
