import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Event } from '../../src/gateway.ts'
import { createHolding } from '../../src/pipeline/holding.ts'
import { joined } from '../harness/events.ts'

const served: Event = { type: 'served', provider: 'p', model: 'm', attempts: 1 }
const word = (text: string): Event => ({ type: 'text-delta', text })
const thought = (text: string): Event => ({ type: 'reasoning-delta', text })
const finish: Event = { type: 'finish', reason: 'stop' }

function held(events: readonly Event[]) {
  const holding = createHolding([])
  for (const event of events) holding.add(event)
  return holding
}

test('a short answer is handed on as it came, together', () => {
  const events = [{ type: 'response', requestId: 'r' } as const, word('a'), thought('b'), word('c'), finish]
  const holding = held(events)
  assert.equal(holding.isLong(), false)
  assert.equal(holding.requestId(), 'r')
  assert.equal(holding.text(), 'ac')
  assert.deepEqual([...holding.release(served)], [[served, ...events]])
})

test('a long answer comes in the same order, its text in pieces', () => {
  const events: Event[] = [{ type: 'response', requestId: 'r' }]
  for (let at = 0; at < 300; at++) events.push(word(`${at} – `.repeat(300)), word(`${at}`))
  events.push({ type: 'warning', message: 'w' })
  for (let at = 0; at < 300; at++) events.push(thought(`😀${at}`.repeat(300)))
  events.push({ type: 'step' }, word('the end'), finish)
  const holding = held(events)
  assert.equal(holding.isLong(), true)
  assert.equal(holding.requestId(), 'r')
  const batches = [...holding.release(served)]
  assert.ok(batches.every((batch) => batch.length > 0))
  assert.deepEqual(joined(batches.flat()), joined([served, ...events]))
})

test('the words so far are told where the rest does not come', () => {
  const text = 'word '.repeat(100_000)
  const holding = held([word(text), thought('hm'), word('last')])
  assert.ok(holding.text() === `${text}last`)
})
