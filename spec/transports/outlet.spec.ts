import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Outgoing } from '../../src/rpc/message.ts'
import { createOutlet } from '../../src/transports/outlet.ts'

const turn = () => new Promise<void>((resolve) => setImmediate(() => setImmediate(resolve)))
const short = (id: number): Outgoing => ({ jsonrpc: '2.0', id, result: {} })
const long = (id: number): Outgoing => ({ jsonrpc: '2.0', id, result: { text: `${id}`.repeat(300_000) } })

/** An outlet over a pipe that takes so many writes, and then one at each resumption. */
function open(takes: number) {
  const writes: string[] = []
  let left = takes
  const outlet = createOutlet(
    (text, written) => {
      if (text !== '') writes.push(text)
      written?.()
      return text === '' || --left > 0
    },
    { text: (text) => text, pieces: (pieces) => pieces },
  )
  const ids = () =>
    writes
      .join('')
      .split('\n')
      .slice(0, -1)
      .map((line) => (JSON.parse(line) as { id: number }).id)
  return { outlet, writes, ids }
}

describe('what is sent leaves in order', () => {
  test('lines of one turn in one write', async () => {
    const { outlet, writes, ids } = open(100)
    for (const id of [1, 2, 3]) outlet.send(short(id))
    await turn()
    assert.equal(writes.length, 1)
    assert.deepEqual(ids(), [1, 2, 3])
  })

  test('a long line as the reader takes it, and what was sent behind it after it', async () => {
    const { outlet, writes, ids } = open(3)
    for (const message of [short(1), long(2), short(3), long(4), long(5), short(6)]) outlet.send(message)
    await turn()
    assert.equal(writes.length, 3)
    assert.ok(outlet.congested())
    assert.ok(outlet.waitingCharacters() > 800_000)
    // Neither another turn nor another message makes it go on.
    outlet.send(short(7))
    await turn()
    assert.equal(writes.length, 3)
    let drained = false
    void outlet.drained().then(() => (drained = true))
    let flushed = false
    void outlet.flushed().then(() => (flushed = true))
    for (let count = 4; outlet.congested() && count < 200; count++) {
      assert.equal(drained || flushed, false)
      outlet.resume()
      await turn()
      assert.ok(writes.length <= count + 1)
    }
    assert.deepEqual(ids(), [1, 2, 3, 4, 5, 6, 7])
    assert.equal(outlet.waitingCharacters(), 0)
    assert.ok(drained && flushed)
  })

  test('what is sent by those who waited for the reader is flushed too', async () => {
    const { outlet, ids } = open(1)
    outlet.send(long(1))
    await turn()
    // As a call that ends while the server does.
    void outlet.drained().then(() => outlet.send(short(2)))
    const flushed = outlet.flushed()
    while (outlet.congested()) {
      outlet.resume()
      await turn()
    }
    await flushed
    assert.deepEqual(ids(), [1, 2])
  })

  test('short lines do not wait for a reader that is behind', async () => {
    const { outlet, ids } = open(1)
    outlet.send(short(1))
    await turn()
    assert.ok(outlet.congested())
    outlet.send(short(2))
    await turn()
    assert.deepEqual(ids(), [1, 2])
  })

  test('what cannot be written is told to whoever sends it, and nothing of it leaves', async () => {
    const { outlet, ids } = open(100)
    const endless: { within?: object } = {}
    endless.within = endless
    assert.throws(() => outlet.send({ jsonrpc: '2.0', id: 1, result: endless }), /circular/i)
    assert.throws(
      () => outlet.send({ jsonrpc: '2.0', id: 2, result: { endless, text: 'x'.repeat(300_000) } }),
      /circular/i,
    )
    outlet.send(short(3))
    await turn()
    assert.deepEqual(ids(), [3])
    assert.equal(outlet.waitingCharacters(), 0)
  })
})
