import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Event } from '../../src/gateway.ts'
import { asResult } from '../../src/providers/provider-tools.ts'
import { eventsIn } from '../harness/events.ts'

/** What a tool that lets a model answer adds to the answer. */

async function added(events: readonly Event[]): Promise<Event[]> {
  const passed: Event[] = []
  async function* flow() {
    yield events
  }
  for await (const event of eventsIn(asResult(flow()))) passed.push(event)
  return passed
}

const text: Event = { type: 'text-delta', text: 'found' }
const usage = { promptTokens: 1, completionTokens: 2, totalTokens: 3 }

test('what the words cost is the value of the tool', async () => {
  const events: Event[] = [text, { type: 'usage', usage }, { type: 'finish', reason: 'stop', raw: 'completed' }]
  assert.deepEqual(await added(events), [text, { type: 'result', value: { usage } }, ...events.slice(1)])
})

test('an answer that is not whole is told to be so', async () => {
  const finish: Event = { type: 'finish', reason: 'length', raw: 'max_output_tokens' }
  assert.deepEqual(await added([text, finish]), [
    text,
    { type: 'warning', message: 'the answer is not whole: it ended by max_output_tokens' },
    finish,
  ])
})
