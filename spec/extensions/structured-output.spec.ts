import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Fault, type Met } from '../../src/errors.ts'
import { withStructuredOutput } from '../../src/extensions/structured-output.ts'
import type { Ask, ChatAsk, Event } from '../../src/gateway.ts'
import { eventsIn, oneByOne } from '../harness/events.ts'

/** Answers held against a schema, with one turn to mend them. */

const responseSchema = { type: 'object', properties: { n: { type: 'integer' } }, required: ['n'] }
const ask: ChatAsk = {
  kind: 'chat',
  messages: [{ role: 'user', content: [{ type: 'text', text: 'n?' }] }],
  responseSchema,
}

function answer(text: string, reason: 'stop' | 'length' = 'stop'): Event[] {
  return [
    { type: 'served', provider: 'p', model: 'm', attempts: 1 },
    ...[...text].map((letter): Event => ({ type: 'text-delta', text: letter })),
    { type: 'usage', usage: { promptTokens: 2, completionTokens: 3, totalTokens: 5 } },
    { type: 'finish', reason, raw: reason },
  ]
}

/** Runs the middleware over scripted answers; what it asked, and what came out of it. */
async function run(answers: readonly Event[][], streaming: boolean, asked: Ask = ask) {
  const asks: Ask[] = []
  const events: Event[] = []
  const handle = withStructuredOutput(
    oneByOne(async function* (one): AsyncGenerator<Event> {
      asks.push(one)
      yield* answers[asks.length - 1] ?? []
    }),
  )
  let fault: unknown
  try {
    for await (const event of eventsIn(handle(asked, { signal: new AbortController().signal, streaming })))
      events.push(event)
  } catch (error) {
    fault = error
  }
  const text = events.map((event) => (event.type === 'text-delta' ? event.text : '')).join('')
  const objects = events.flatMap((event) => (event.type === 'object' ? [event.value] : []))
  const usages = events.flatMap((event) => (event.type === 'usage' ? [event.usage.totalTokens] : []))
  const attempts = events.flatMap((event) => (event.type === 'served' ? [event.attempts] : []))
  return { asks, events, text, objects, usages, attempts, fault }
}

for (const streaming of [true, false]) {
  test(`an answer that fits is returned as a value, ${streaming ? 'and streamed as it comes' : 'and told once'}`, async () => {
    const { asks, events, text, objects, fault } = await run([answer('{"n":1}')], streaming)
    assert.equal(fault, undefined)
    assert.equal(asks.length, 1)
    assert.equal(text, '{"n":1}')
    assert.deepEqual(objects, [{ n: 1 }])
    assert.equal(events.filter(({ type }) => type === 'text-delta').length, streaming ? 7 : 1)
    assert.equal(events.at(-1)?.type, 'finish')
  })
}

test('an answer that does not fit is asked for again, once, with what is wrong', async () => {
  const { asks, text, objects, usages, attempts, events } = await run([answer('{"n":"x"}'), answer('{"n":2}')], false)
  assert.equal(asks.length, 2)
  const messages = (asks[1] as ChatAsk).messages
  assert.equal(messages.length, 3)
  assert.deepEqual(messages[1], { role: 'assistant', content: [{ type: 'text', text: '{"n":"x"}' }] })
  assert.match(JSON.stringify(messages[2]), /"user".*n: /)
  assert.equal(text, '{"n":2}')
  assert.deepEqual(objects, [{ n: 2 }])
  assert.deepEqual(usages, [10])
  assert.deepEqual(attempts, [1, 2])
  assert.equal(events.filter(({ type }) => type === 'warning').length, 1)
})

test('a second answer that does not fit is the last', async () => {
  const { asks, text, fault } = await run([answer('no'), answer('never'), answer('{"n":1}')], false)
  assert.equal(asks.length, 2)
  assert.equal(text, 'never')
  assert.ok(fault instanceof Fault)
  assert.deepEqual(
    [fault.code, fault.detail.cause, fault.detail.provider, fault.detail.attempts],
    ['invalid_response', 'schema', 'p', 2],
  )
})

test('what has been streamed cannot be taken back: no second turn', async () => {
  const { asks, text, fault } = await run([answer('no'), answer('{"n":1}')], true)
  assert.equal(asks.length, 1)
  assert.equal(text, 'no')
  assert.equal(fault instanceof Fault && fault.detail.cause, 'schema')
})

test('a cut answer is what it is', async () => {
  const { asks, text, objects, fault } = await run([answer('{"n"', 'length')], false)
  assert.deepEqual([asks.length, text, objects, fault], [1, '{"n"', [], undefined])
})

test('JSON in a block of Markdown is JSON', async () => {
  const { objects, text } = await run([answer('```json\n{"n":1}\n```')], false)
  assert.deepEqual(objects, [{ n: 1 }])
  assert.equal(text, '```json\n{"n":1}\n```')
})

test('a fault in mid-answer keeps the text that had come', async () => {
  const events: Event[] = []
  const handle = withStructuredOutput(
    oneByOne(async function* (): AsyncGenerator<Event> {
      yield { type: 'text-delta', text: '{"n"' }
      throw new Fault('truncated', 'cut')
    }),
  )
  await assert.rejects(async () => {
    for await (const event of eventsIn(handle(ask, { signal: new AbortController().signal, streaming: false })))
      events.push(event)
  })
  assert.deepEqual(events.at(-1), { type: 'text-delta', text: '{"n"' })
})

test('an ask without a schema is passed on untouched', async () => {
  const { responseSchema: _, ...plain } = ask
  const { events } = await run([answer('hi')], true, plain)
  assert.deepEqual(events, answer('hi'))
})

test('both turns of an answer have one time in all', async () => {
  const deadlines: (number | undefined)[] = []
  const answers = [answer('{"n":"x"}'), answer('{"n":2}')]
  const handle = withStructuredOutput(
    oneByOne(async function* (_, { deadline }): AsyncGenerator<Event> {
      yield* answers[deadlines.push(deadline) - 1] ?? []
    }),
  )
  const call = { signal: new AbortController().signal, streaming: false, deadline: 1234 }
  for await (const _ of handle({ ...ask, timeoutMs: 1000 }, call));
  assert.deepEqual(deadlines, [1234, 1234])
})

test('log probabilities are those of the turn that is returned', async () => {
  const measured = (token: string, events: Event[]): Event[] => [
    ...events.slice(0, -1),
    { type: 'logprobs', tokens: [{ token, logprob: -1 }] },
    ...events.slice(-1),
  ]
  const answers = [measured('first', answer('{"n":"x"}')), measured('second', answer('{"n":2}'))]
  const { events } = await run(answers, false)
  assert.deepEqual(
    events.filter(({ type }) => type === 'logprobs'),
    [{ type: 'logprobs', tokens: [{ token: 'second', logprob: -1 }] }],
  )
})

test('the requests of both turns are counted, whether the second is answered or fails', async () => {
  const down: Met = { provider: 'p', model: 'm', code: 'provider_error', status: 500, elapsedMs: 1 }
  const first = answer('no').map(
    (event): Event => (event.type === 'served' ? { ...event, attempts: 2, met: [down] } : event),
  )
  const mended = await run([first, answer('{"n":2}')], false)
  const served = mended.events.findLast((event) => event.type === 'served')
  assert.partialDeepStrictEqual(served, { attempts: 3, met: [down] })

  let turns = 0
  const handle = withStructuredOutput(
    oneByOne(async function* () {
      turns += 1
      if (turns === 2) throw new Fault('network', 'gone', { attempts: 1, met: [{ ...down, code: 'network' }] })
      yield* first
    }),
  )
  await assert.rejects(
    async () => {
      for await (const _ of handle(ask, { signal: new AbortController().signal, streaming: false }));
    },
    (error) => {
      assert.ok(error instanceof Fault)
      assert.partialDeepStrictEqual(error.detail, {
        attempts: 3,
        met: [{ code: 'provider_error' }, { code: 'network' }],
      })
      return true
    },
  )
})
