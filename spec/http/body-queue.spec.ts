import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createBody } from '../../src/http/body-queue.ts'

/** A body, the connection that it thinks it has, and what became of that. */
function started() {
  const connection = {
    paused: false,
    pauses: 0,
    pause() {
      connection.paused = true
      connection.pauses += 1
    },
    resume() {
      connection.paused = false
    },
    abort() {},
  }
  return { connection, body: createBody(connection) }
}

const bytes = (count: number) => Buffer.from(Array.from({ length: count }, (_, at) => at % 251))

async function rest(body: AsyncIterable<Uint8Array>): Promise<Uint8Array[]> {
  const read: Uint8Array[] = []
  for await (const chunk of body) read.push(chunk)
  return read
}

test('the same bytes, of which no more than 16 KiB come at once', async () => {
  const sizes = fc.array(fc.integer({ min: 0, max: 70_000 }), { maxLength: 12 })
  await fc.assert(
    fc.asyncProperty(sizes, async (sizes) => {
      const { body } = started()
      for (const size of sizes) body.push(bytes(size))
      body.end()
      const read = await rest(body.bytes)
      assert.ok(read.every(({ length }) => length <= 16_384))
      assert.ok(Buffer.concat(read).equals(Buffer.concat(sizes.map(bytes))))
    }),
    { numRuns: 50 },
  )
})

test('what came in small pieces comes together', async () => {
  const { body } = started()
  for (let piece = 0; piece < 1_000; piece++) body.push(bytes(10))
  body.end()
  assert.deepEqual(
    (await rest(body.bytes)).map(({ length }) => length),
    [10_000],
  )
})

test('a reader that is behind pauses the socket, and one that has caught up lets it go on', async () => {
  const { connection, body } = started()
  for (let chunk = 0; chunk < 5; chunk++) body.push(bytes(60_000))
  assert.ok(connection.paused)
  let read = 0
  while (connection.paused) read += (await body.bytes.next()).value.length
  assert.ok(read > 200_000 && read < 300_000, `${read} bytes read`)
  body.end()
  assert.equal(
    (await rest(body.bytes)).reduce((sum, { length }) => sum + length, read),
    300_000,
  )
  assert.equal(connection.pauses, 1)
})

test('what came before a fault comes before it', async () => {
  const { body } = started()
  body.push(bytes(40_000))
  body.fail(new Error('broken'))
  let read = 0
  await assert.rejects(async () => {
    for (;;) read += (await body.bytes.next()).value.length
  }, /broken/)
  assert.equal(read, 40_000)
})

test('who has left reads nothing more', async () => {
  const { body } = started()
  body.push(bytes(40_000))
  await body.bytes.next()
  await body.bytes.return?.()
  assert.deepEqual(await body.bytes.next(), { done: true, value: undefined })
})
