import assert from 'node:assert/strict'
import { test } from 'node:test'
import { withRedaction } from '../../src/extensions/redaction.ts'
import type { Event } from '../../src/gateway.ts'
import { parseKeepingDigits } from '../../src/json.ts'
import { createSecrets } from '../../src/secrets.ts'
import { eventsIn, oneByOne } from '../harness/events.ts'

/** Keys taken out of what a model says, and nothing else. */

const key = 'sk-canary-0123456789'
const secrets = createSecrets([{ provider: 'p', baseUrl: 'https://api.example.com', source: { value: key } }])

async function through(events: readonly (Event | Error)[]): Promise<{ events: Event[]; error?: unknown }> {
  const passed: Event[] = []
  const handle = withRedaction(secrets)(
    oneByOne(async function* () {
      for (const event of events) {
        if (event instanceof Error) throw event
        yield event
      }
    }),
  )
  try {
    const call = { signal: new AbortController().signal, streaming: true }
    for await (const event of eventsIn(handle({ kind: 'chat', messages: [] }, call))) passed.push(event)
    return { events: passed }
  } catch (error) {
    return { events: passed, error }
  }
}

const text = (words: string): Event => ({ type: 'text-delta', text: words })
const said = (events: readonly Event[]) =>
  events.map((event) => (event.type === 'text-delta' ? event.text : '')).join('')
const finish: Event = { type: 'finish', reason: 'stop' }

for (let cut = 1; cut < key.length; cut++) {
  test(`a key cut behind ${cut} characters`, async () => {
    const { events } = await through([text(`see ${key.slice(0, cut)}`), text(`${key.slice(cut)} there`), finish])
    assert.equal(said(events), 'see [redacted] there')
    assert.equal(events.filter(({ type }) => type === 'warning').length, 1)
    assert.equal(events.at(-1)?.type, 'finish')
  })
}

for (const [name, end] of [
  ['a finish', [finish]],
  ['nothing more', []],
  ['a fault', [new Error('cut')]],
] as const) {
  test(`what could have begun a key is not lost before ${name}`, async () => {
    const { events } = await through([text('hello cats'), text(' sk-'), ...end])
    assert.equal(said(events), 'hello cats sk-')
    assert.equal(
      events.some(({ type }) => type === 'warning'),
      false,
    )
  })
}

test('pieces that hold no key pass as they are, each at once', async () => {
  const pieces = ['a.', 'b.', '😀.', 'skin.', '-'].map(text)
  const { events } = await through([...pieces, finish])
  assert.deepEqual(events, [...pieces, finish])
})

test('a key among the arguments of a call, as a value, as a name, behind escapes', async () => {
  const hidden = `\\u0073${key.slice(1)}`
  const argumentsText = `{"a":"${key}","${key}":1,"b":["${hidden}"]}`
  const { events } = await through([{ type: 'tool-call', id: 'c', name: 'f', argumentsText }, finish])
  const [call] = events
  assert.deepEqual(call?.type === 'tool-call' && JSON.parse(call.argumentsText), {
    a: '[redacted]',
    '[redacted]': 1,
    b: ['[redacted]'],
  })
})

test('arguments without a key stay as the model wrote them', async () => {
  const call: Event = { type: 'tool-call', id: 'c', name: 'f', argumentsText: '{ "a" : 1.0 ,"b":"x"}' }
  assert.deepEqual((await through([call])).events, [call])
})

test('a key in the value of a tool', async () => {
  const { events } = await through([{ type: 'result', value: { [key]: [{ deep: `x${key}y` }] } }])
  assert.deepEqual(events, [{ type: 'result', value: { '[redacted]': [{ deep: 'x[redacted]y' }] } }])
})

test('tokens with their probabilities are kept, unless a key is spread over them', async () => {
  const tokens: Event = { type: 'logprobs', tokens: [{ token: key.slice(0, 10), logprob: -1 }] }
  const kept = await through([text('hello'), tokens, finish])
  assert.ok(kept.events.includes(tokens))
  const dropped = await through([text(key.slice(0, 10)), tokens, text(key.slice(10)), finish])
  assert.ok(!dropped.events.includes(tokens))
})

test('tokens with their probabilities are kept, however many', async () => {
  const tokens = Array.from({ length: 150_000 }, (): Event => ({ type: 'logprobs', tokens: [] }))
  const { events, error } = await through([...tokens, finish])
  assert.equal(error, undefined)
  assert.equal(events.length, tokens.length + 1)
})

test('a key in a block of thoughts, which is else handed on as it came', async () => {
  const block = (...members: [string, unknown][]): Event => ({
    type: 'reasoning-block',
    block: Object.fromEntries([['type', 'reasoning.text'], ...members]),
  })
  const sound = block(['signature', 'c2VhbGVk'], ['at', parseKeepingDigits('12345678901234567891')])
  const { events } = await through([block([key, { deep: [key] }]), sound])
  assert.deepEqual(events[0], block(['[redacted]', { deep: ['[redacted]'] }]))
  assert.equal(JSON.stringify(events[1]), JSON.stringify(sound))
  assert.match(JSON.stringify(sound), /"at":12345678901234567891/)
})
