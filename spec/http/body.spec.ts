import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Fault } from '../../src/errors.ts'
import { readErrorText, tellWhole } from '../../src/http/body.ts'
import { createPool } from '../../src/http/pool.ts'
import { withTimeouts } from '../../src/http/timeouts.ts'
import { upstreamFor } from '../harness/scope.ts'

/** What is made of a body before its dialect reads it. */

test('white space without end is not kept without end', async () => {
  const blank = Buffer.alloc(1024 * 1024, '\n')
  let given = 0
  let ended = false
  async function* body() {
    try {
      // Far more than is read, and an end all the same.
      for (; given < 256; given++) yield blank
    } finally {
      ended = true
    }
  }
  await assert.rejects(
    tellWhole({ status: 200, headers: {}, body: body() }),
    (error) => error instanceof Fault && error.code === 'too_large',
  )
  assert.ok(given < 100, `${given} MiB were read`)
  assert.equal(ended, true)
})

test('an error whose server falls silent in the middle of it is told soon, and its socket closed', async (t) => {
  const upstream = await upstreamFor(t, (_, response) => {
    response.writeHead(400, { 'content-type': 'application/json' }).write('{"error":{"message":"no such thing"}}')
  })
  const limits = { firstByteMs: 60_000, idleMs: 60_000 }
  const request = { method: 'POST' as const, url: upstream.url, headers: {}, body: '{}', limits }
  const response = await withTimeouts(createPool())(request, new AbortController().signal)
  const startedMs = performance.now()
  assert.match(await readErrorText(response), /no such thing/)
  assert.ok(performance.now() - startedMs < 10_000)
  await upstream.closed(0)
})
