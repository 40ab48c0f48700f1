import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createSessions, type Session } from '../../src/mcp/sessions.ts'

const session = (caller = 'a'): Session => ({
  peer: { serve: () => ({}), notice: () => {}, acceptsBatches: () => false },
  caller,
  inFlight: new Map(),
})
const busy = { abort: () => {}, silence: () => {} }

test('a session is found by its id and its caller, and by nobody else', () => {
  const sessions = createSessions({ maxSessions: 9, maxIdleMs: 9 }, () => 0)
  const own = session()
  const id = sessions.open(own) ?? ''
  assert.match(id, /^[\da-f-]{36}$/)
  assert.equal(sessions.find(id, 'a'), own)
  assert.equal(sessions.find(id, 'b'), undefined)
  assert.equal(sessions.find('', 'a'), undefined)
  sessions.close(id)
  assert.equal(sessions.find(id, 'a'), undefined)
})

test('it goes when it has been idle for too long, which use and work put off', () => {
  let now = 0
  const sessions = createSessions({ maxSessions: 9, maxIdleMs: 100 }, () => now)
  const [idle, used, working] = [session(), session(), session()]
  const ids = [idle, used, working].map((one) => sessions.open(one) ?? '')
  const [first = '', second = '', third = ''] = ids
  working.inFlight.set(1, busy)
  now = 60
  assert.equal(sessions.find(second, 'a'), used)
  now = 120
  assert.equal(sessions.find(first, 'a'), undefined)
  assert.equal(sessions.find(second, 'a'), used)
  assert.equal(sessions.find(third, 'a'), working)
})

test('ids are not the same twice', () => {
  const sessions = createSessions({ maxSessions: 1000, maxIdleMs: 9 }, () => 0)
  const ids = Array.from({ length: 1000 }, () => sessions.open(session()))
  assert.equal(new Set(ids).size, 1000)
})
