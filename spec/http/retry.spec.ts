import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Clock, systemClock } from '../../src/clock.ts'
import { Fault, type FaultCode, type FaultDetail } from '../../src/errors.ts'
import { createRetryBudget, waitMs, withRetry } from '../../src/http/retry.ts'

/** When a failed attempt is made again, and after how long: on a clock of our own. */

type Timeline = Clock & { slept: number[]; atMs: number }

function createTimeline(random = 0.5): Timeline {
  const timeline: Timeline = {
    slept: [],
    atMs: 1_000_000,
    now: () => timeline.atMs,
    random: () => random,
    timer: systemClock.timer,
    async sleep(ms, signal) {
      if (signal.aborted) throw signal.reason
      timeline.slept.push(ms)
      timeline.atMs += ms
    },
  }
  return timeline
}

const fault = (code: FaultCode, detail: FaultDetail = {}) => new Fault(code, 'words', { retryable: true, ...detail })

/** Attempts that fail one after the other, and then succeed. */
async function run(
  failures: readonly unknown[],
  { retries = 3, clock = createTimeline(), budgetMs = 600_000, signal = new AbortController().signal } = {},
) {
  const numbers: number[] = []
  const outcome = await withRetry(
    async (number) => {
      numbers.push(number)
      const failure = failures[numbers.length - 1]
      if (failure !== undefined) throw failure
      return 'answer'
    },
    { retries, signal, clock, deadline: clock.now() + budgetMs },
  ).catch((error: unknown) => error)
  return { outcome, numbers, slept: clock.slept }
}

const always = (failure: unknown) => Array.from({ length: 50 }, () => failure)

test('a success is one attempt and no wait', async () => {
  assert.deepEqual(await run([]), { outcome: 'answer', numbers: [1], slept: [] })
})

// How many attempts a fault is worth, with three retries allowed.
const worth: [string, Fault, number][] = [
  ['a full house', fault('overloaded'), 4],
  ['a rate', fault('rate_limited'), 4],
  ['a server error', fault('provider_error', { status: 500 }), 4],
  ['refused', fault('network', { cause: 'connect_refused' }), 4],
  ['no connection in time', fault('timeout', { cause: 'connect' }), 4],
  ['reset before the answer', fault('network', { cause: 'reset' }), 2],
  ['closed before the answer', fault('network', { cause: 'closed_early' }), 2],
  ['cut in the middle', fault('truncated', { cause: 'closed_early' }), 2],
  ['no end marker', fault('truncated', { cause: 'no_end_marker' }), 2],
  ['an empty answer', fault('invalid_response', { cause: 'empty' }), 2],
  ['an error inside the answer', fault('overloaded', { cause: 'stream_error' }), 2],
  ['silence before the first byte', fault('timeout', { cause: 'first_byte' }), 1],
  ['silence in the middle', fault('timeout', { cause: 'idle' }), 1],
  ['the end of the call', fault('timeout', { cause: 'deadline' }), 1],
  ['not retryable', fault('overloaded', { retryable: false }), 1],
  ['a bad request', fault('invalid_request', { retryable: false }), 1],
  ['no word on retrying', new Fault('invalid_request', 'words'), 1],
]
for (const [name, failure, attempts] of worth) {
  test(`${name}: ${attempts} ${attempts === 1 ? 'attempt' : 'attempts'}`, async () => {
    const { outcome, numbers } = await run(always(failure))
    assert.equal(outcome, failure)
    assert.deepEqual(
      numbers,
      Array.from({ length: attempts }, (_, at) => at + 1),
    )
  })
}

test('a lost answer is asked for again only if it was the first attempt', async () => {
  const lost = fault('network', { cause: 'reset' })
  const { outcome, numbers } = await run([fault('overloaded'), lost])
  assert.equal(outcome, lost)
  assert.deepEqual(numbers, [1, 2])
})

test('the last fault is the one that is thrown', async () => {
  const last = fault('rate_limited', { attempts: 4 })
  const { outcome } = await run([fault('overloaded'), fault('overloaded'), fault('provider_error'), last])
  assert.equal(outcome, last)
})

for (const retries of [0, 1, 5]) {
  test(`${retries} retries are ${retries + 1} requests`, async () => {
    assert.equal((await run(always(fault('overloaded')), { retries })).numbers.length, retries + 1)
  })
}

test('retries are paid for by successes, and by time', async () => {
  const clock = createTimeline()
  const budget = createRetryBudget(clock.now)
  const call = async (failures: readonly unknown[]) => {
    let number = 0
    const { signal } = new AbortController()
    const work = async () => {
      const failure = failures[number++]
      if (failure !== undefined) throw failure
    }
    await withRetry(work, { retries: 3, budget, signal, clock, deadline: Number.POSITIVE_INFINITY }).catch(() => {})
    return number
  }
  const down = () => call(always(fault('provider_error')))
  const attempts: number[] = []
  for (let time = 0; time < 12; time++) attempts.push(await down())
  // Twenty at once, and what the seconds of waiting have earned meanwhile.
  assert.deepEqual(attempts, [4, 4, 4, 4, 4, 4, 3, 1, 1, 1, 1, 1])
  for (let time = 0; time < 10; time++) await call([])
  assert.equal(await down(), 2)
  await clock.sleep(10_000, new AbortController().signal)
  assert.equal(await down(), 3)
  assert.equal(await call(always(fault('network', { cause: 'connect_refused' }))), 4, 'what never left costs nothing')
})

const strangers: [string, unknown][] = [
  ['a TypeError', new TypeError('x is not a function')],
  ['what fetch would throw', new TypeError('fetch failed')],
  ['an error of a connection', Object.assign(new Error('connect'), { code: 'ECONNREFUSED' })],
  ['an abort', new DOMException('aborted', 'AbortError')],
]
for (const [name, error] of strangers) {
  test(`${name} is thrown at once`, async () => {
    const { outcome, numbers, slept } = await run(always(error))
    assert.equal(outcome, error)
    assert.deepEqual([numbers, slept], [[1], []])
  })
}

// With the middle of chance, three quarters of each step are waited out.
const backoffs: [string, FaultCode, number[]][] = [
  ['what passes quickly', 'provider_error', [75, 150, 300, 600, 1200, 2400, 4800, 7500, 7500]],
  ['a rate', 'rate_limited', [750, 1500, 3000, 6000, 7500, 7500, 7500, 7500, 7500]],
  ['a full house', 'overloaded', [750, 1500, 3000, 6000, 7500, 7500, 7500, 7500, 7500]],
]
for (const [name, code, waits] of backoffs) {
  test(`the waits for ${name} double up to ten seconds`, async () => {
    assert.deepEqual((await run(always(fault(code)), { retries: 9 })).slept, waits)
  })
}

test('chance spreads a wait over the upper half of its step', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 30 }),
      fc.double({ min: 0, max: 0.999_999, noNaN: true }),
      (attempt, chance) => {
        const step = Math.min(1000 * 2 ** (attempt - 1), 10_000)
        const wait = waitMs(fault('rate_limited'), attempt, () => chance)
        assert.ok(wait >= step / 2 && wait <= step)
      },
    ),
  )
})

const wishes: [string, number | undefined, number[]][] = [
  ['nothing', undefined, [750, 1500]],
  ['no wait at all', 0, [750, 1500]],
  ['a millisecond', 1, [750, 1500]],
  ['less than we would wait', 700, [750, 1500]],
  ['more than we would wait', 5000, [5000, 5000]],
  ['half a minute', 30_000, [30_000, 30_000]],
]
for (const [name, retryAfterMs, slept] of wishes) {
  test(`the provider asks for ${name}: never sooner than our own wait, never sooner than its own`, async () => {
    const failure = fault('rate_limited', retryAfterMs === undefined ? {} : { retryAfterMs })
    assert.deepEqual((await run(always(failure), { retries: 2 })).slept, slept)
  })
}

for (const retryAfterMs of [30_001, 120_000, 2_592_000_000, 1e13]) {
  test(`a wish of ${retryAfterMs} ms is not waited out but handed on`, async () => {
    const failure = fault('rate_limited', { retryAfterMs })
    assert.deepEqual(await run(always(failure)), { outcome: failure, numbers: [1], slept: [] })
  })
}

const deadlines: [string, Fault, number, number][] = [
  ['there is time', fault('rate_limited', { retryAfterMs: 5000 }), 5001, 2],
  ['the wait ends with the call', fault('rate_limited', { retryAfterMs: 5000 }), 5000, 1],
  ['the wait ends behind the call', fault('rate_limited', { retryAfterMs: 5000 }), 4000, 1],
  ['no time at all', fault('overloaded'), 0, 1],
  ['time for two waits of our own', fault('overloaded'), 750 + 1500 + 1, 3],
]
for (const [name, failure, budgetMs, attempts] of deadlines) {
  test(`no wait reaches beyond the call's end: ${name}`, async () => {
    const clock = createTimeline()
    const endMs = clock.now() + budgetMs
    const { outcome, numbers } = await run(always(failure), { clock, budgetMs })
    assert.equal(outcome, failure)
    assert.equal(numbers.length, attempts)
    assert.ok(clock.now() <= endMs)
  })
}

test('time that the attempts take counts', async () => {
  const clock = createTimeline()
  const numbers: number[] = []
  const failure = fault('overloaded')
  const outcome = withRetry(
    async (number) => {
      numbers.push(number)
      clock.atMs += 4000
      throw failure
    },
    { retries: 3, signal: new AbortController().signal, clock, deadline: clock.now() + 5000 },
  )
  await assert.rejects(outcome, (error) => error === failure)
  assert.deepEqual(numbers, [1, 2])
})

test('an interruption during a wait ends it, with no further attempt', async () => {
  const controller = new AbortController()
  const reason = new Fault('timeout', 'over', { cause: 'deadline' })
  let attempts = 0
  const waiting = withRetry(
    async () => {
      attempts += 1
      setImmediate(() => controller.abort(reason))
      throw fault('rate_limited', { retryAfterMs: 29_000 })
    },
    { retries: 3, signal: controller.signal, clock: systemClock, deadline: systemClock.now() + 600_000 },
  )
  await assert.rejects(waiting, (error) => error === reason)
  assert.equal(attempts, 1)
})

test('an attempt that was interrupted is not made again', async () => {
  const controller = new AbortController()
  const failure = fault('network', { cause: 'reset' })
  let attempts = 0
  const interrupted = withRetry(
    async () => {
      attempts += 1
      controller.abort(new Fault('unavailable', 'gone'))
      throw failure
    },
    { retries: 3, signal: controller.signal, clock: createTimeline(), deadline: Number.POSITIVE_INFINITY },
  )
  await assert.rejects(interrupted, Fault)
  assert.equal(attempts, 1)
})

test("the system's clock sleeps, wakes on an interruption and leaves no listener behind", async () => {
  const controller = new AbortController()
  const { signal } = controller
  const before = systemClock.now()
  await systemClock.sleep(20, signal)
  assert.ok(systemClock.now() - before >= 15)
  assert.equal(getEventListeners(signal, 'abort').length, 0)
  const reason = new Fault('unavailable', 'gone')
  const asleep = systemClock.sleep(60_000, signal)
  controller.abort(reason)
  await assert.rejects(asleep, (error) => error === reason)
  await assert.rejects(systemClock.sleep(60_000, signal), (error) => error === reason)
  const chance = systemClock.random()
  assert.ok(chance >= 0 && chance < 1)
})
