import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Part } from '../../src/gateway.ts'
import { withCallIds } from '../../src/providers/call-ids.ts'

/** Ids of tool calls for a server that takes only those of its own form. */

const use = (id: string): Part => ({ type: 'tool-use', id, name: 'f', arguments: {} })
const result = (id: string): Part => ({ type: 'tool-result', id, content: [], isError: false })

function idsOf(...given: string[]): string[] {
  const messages = [
    { role: 'assistant' as const, content: given.map(use) },
    { role: 'tool' as const, content: given.map(result) },
  ]
  const [calls = [], results] = withCallIds({ kind: 'chat', messages }, 9).messages.map(({ content }) =>
    content.map((part) => ('id' in part ? part.id : '')),
  )
  assert.deepEqual(results, calls)
  return calls
}

test('an id that fits stays, another is cut to what fits, and calls and results still match', () => {
  assert.deepEqual(idsOf('aX2gaLIyo', 'toolu_01GabcdefXYZ', 'call_1', ''), [
    'aX2gaLIyo',
    'abcdefXYZ',
    '0000call1',
    '000000000',
  ])
})

test('ids that would be one stay apart, also from one that fits', () => {
  const ids = idsOf('a-abcdefXYZ', 'b-abcdefXYZ', 'abcdefXYZ', '東', '京')
  assert.equal(new Set(ids).size, ids.length)
  for (const id of ids) assert.match(id, /^[A-Za-z0-9]{9}$/)
  assert.equal(ids[2], 'abcdefXYZ')
})

test('where nothing is asked of ids, none is touched', () => {
  const ask = { kind: 'chat' as const, messages: [{ role: 'assistant' as const, content: [use('call_1')] }] }
  assert.equal(withCallIds(ask, undefined), ask)
})
