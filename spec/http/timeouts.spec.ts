import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { type TestContext, test } from 'node:test'
import { systemClock } from '../../src/clock.ts'
import { Fault } from '../../src/errors.ts'
import type { HttpRequest, HttpResponse, Send } from '../../src/http/message.ts'
import { createPool } from '../../src/http/pool.ts'
import { readEvents } from '../../src/http/sse.ts'
import { withPatience, withTimeouts } from '../../src/http/timeouts.ts'
import { type Answer, startUpstream, type Upstream } from '../harness/upstream.ts'

/** A provider that has gone silent, told from one that is slow and from a reader that is. */

const never = () => new AbortController().signal
const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))
const request = (url: string, firstByteMs: number, idleMs: number): HttpRequest => ({
  method: 'POST',
  url,
  headers: {},
  body: '{}',
  limits: { firstByteMs, idleMs },
})

async function upstreamFor(t: TestContext, answer: Answer): Promise<Upstream> {
  const upstream = await startUpstream(answer)
  t.after(() => upstream.close())
  return upstream
}

async function faultOf(promise: Promise<unknown>): Promise<Fault> {
  try {
    await promise
  } catch (error) {
    assert.ok(error instanceof Fault, String(error))
    return error
  }
  return assert.fail('no fault')
}

async function textOf({ body }: HttpResponse): Promise<string> {
  const texts: string[] = []
  for await (const chunk of body) texts.push(Buffer.from(chunk).toString('utf8'))
  return texts.join('')
}

test('no first byte: a timeout that says how long it was, and the socket is closed', async (t) => {
  const upstream = await upstreamFor(t, () => {})
  const fault = await faultOf(withTimeouts(createPool())(request(upstream.url, 120, 60_000), never()))
  assert.equal(fault.code, 'timeout')
  assert.equal(fault.detail.cause, 'first_byte')
  assert.equal(fault.detail.retryable, true)
  assert.match(fault.message, /0\.12 s/)
  assert.match(fault.message, /TIMEOUT/)
  await upstream.closed(0)
})

test('silence in the middle: what had come is delivered, then a timeout, and the socket is closed', async (t) => {
  const upstream = await upstreamFor(t, (_, response) => void response.writeHead(200).write('first'))
  const { body } = await withTimeouts(createPool())(request(upstream.url, 60_000, 120), never())
  const chunks = body[Symbol.asyncIterator]()
  assert.equal(Buffer.from((await chunks.next()).value).toString(), 'first')
  const fault = await faultOf(chunks.next())
  assert.equal(fault.code, 'timeout')
  assert.equal(fault.detail.cause, 'idle')
  await upstream.closed(0)
})

test('a head without a body has not begun to answer', async (t) => {
  const upstream = await upstreamFor(t, (_, response) => response.writeHead(200).flushHeaders())
  const response = await withTimeouts(createPool())(request(upstream.url, 120, 60_000), never())
  assert.equal((await faultOf(textOf(response))).detail.cause, 'first_byte')
  await upstream.closed(0)
})

test('a head that comes late leaves the body its time', async (t) => {
  const upstream = await upstreamFor(t, async (_, response) => {
    await sleep(300)
    response.writeHead(200).flushHeaders()
    await sleep(300)
    response.end('late but fine')
  })
  const send = withTimeouts(createPool())
  assert.equal(await textOf(await send(request(upstream.url, 500, 500), never())), 'late but fine')
})

test('a first byte that takes longer than the pause between bytes may is none too late', async (t) => {
  const upstream = await upstreamFor(t, async (_, response) => {
    await sleep(300)
    response.end('late but fine')
  })
  assert.equal(
    await textOf(await withTimeouts(createPool())(request(upstream.url, 60_000, 100), never())),
    'late but fine',
  )
})

test('a provider that drips is not silent, be it only comments', async (t) => {
  const upstream = await upstreamFor(t, async (_, response) => {
    response.writeHead(200)
    for (let at = 0; at < 8; at++) {
      response.write(': keep-alive\n')
      await sleep(100)
    }
    response.end('data: a\n')
  })
  // Eight times 100 ms are more than the limit, each alone is far below it.
  const response = await withTimeouts(createPool())(request(upstream.url, 60_000, 700), never())
  assert.equal(await textOf(response), `${': keep-alive\n'.repeat(8)}data: a\n`)
})

test('a slow reader is not a silent provider', async (t) => {
  const upstream = await upstreamFor(t, (_, response) => {
    response.writeHead(200)
    response.write('a')
    setTimeout(() => response.end('b'), 20)
  })
  const { body } = await withTimeouts(createPool())(request(upstream.url, 60_000, 100), never())
  const texts: string[] = []
  for await (const chunk of body) {
    texts.push(Buffer.from(chunk).toString())
    await sleep(350)
  }
  assert.equal(texts.join(''), 'ab')
})

test('a provider that falls silent under a slow reader is found out when the reader asks', async (t) => {
  const upstream = await upstreamFor(t, (_, response) => void response.writeHead(200).write('a'))
  const { body } = await withTimeouts(createPool())(request(upstream.url, 60_000, 100), never())
  const chunks = body[Symbol.asyncIterator]()
  await chunks.next()
  await sleep(250)
  assert.equal((await faultOf(chunks.next())).detail.cause, 'idle')
})

/** A send that answers with what it is given, and lets the test see its signal. */
function fixed(chunks: readonly string[]): { send: Send; signals: AbortSignal[] } {
  const signals: AbortSignal[] = []
  async function* body() {
    for (const chunk of chunks) yield Buffer.from(chunk)
  }
  return {
    signals,
    send: async (_, signal) => {
      signals.push(signal)
      return { status: 200, headers: { a: 'b' }, body: body() }
    },
  }
}

test('status, headers and bytes go through unchanged, and no listener stays behind', async () => {
  const { signal } = new AbortController()
  const { send } = fixed(['a', 'b'])
  const response = await withTimeouts(send)(request('http://example.com/', 60_000, 60_000), signal)
  assert.equal(response.status, 200)
  assert.deepEqual(response.headers, { a: 'b' })
  assert.equal(await textOf(response), 'ab')
  assert.equal(getEventListeners(signal, 'abort').length, 0)
})

test('a reader that leaves early leaves no listener behind', async () => {
  const { signal } = new AbortController()
  const response = await withTimeouts(fixed(['a', 'b']).send)(request('http://example.com/', 60_000, 60_000), signal)
  for await (const _ of response.body) break
  assert.equal(getEventListeners(signal, 'abort').length, 0)
})

test('a request that fails leaves no listener behind, and its fault goes through', async () => {
  const { signal } = new AbortController()
  const fault = new Fault('network', 'words')
  const refusing: Send = async () => {
    throw fault
  }
  assert.equal(await faultOf(withTimeouts(refusing)(request('http://example.com/', 60_000, 60_000), signal)), fault)
  assert.equal(getEventListeners(signal, 'abort').length, 0)
})

test("the caller's interruption goes through with its reason, before the answer and in the middle", async () => {
  const controller = new AbortController()
  const { send, signals } = fixed(['a', 'b'])
  const response = await withTimeouts(send)(request('http://example.com/', 60_000, 60_000), controller.signal)
  const chunks = response.body[Symbol.asyncIterator]()
  await chunks.next()
  const reason = new Fault('timeout', 'over', { cause: 'deadline' })
  controller.abort(reason)
  assert.equal(signals[0]?.reason, reason)
  await chunks.return?.()
  const late = fixed([])
  await withTimeouts(late.send)(request('http://example.com/', 60_000, 60_000), AbortSignal.abort(reason))
  assert.equal(late.signals[0]?.reason, reason)
})

test('a request that is over is not timed out afterwards', async () => {
  const { send, signals } = fixed(['a'])
  await textOf(await withTimeouts(send)(request('http://example.com/', 30, 30), never()))
  await sleep(90)
  assert.equal(signals[0]?.aborted, false)
})

test('a provider that gives nothing but signs of life is given up, and its socket closed', async (t) => {
  const upstream = await upstreamFor(t, (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write('data: begun\n\n')
    const dripping = setInterval(() => response.write(': alive\n'), 20)
    response.on('close', () => clearInterval(dripping))
  })
  const response = await withTimeouts(createPool())(request(upstream.url, 5000, 5000), never())
  const decoded = readEvents(response.body)[Symbol.asyncIterator]()
  const events = withPatience(decoded, 200, systemClock, (fault) => response.interrupt?.(fault))
  assert.deepEqual((await events.next()).value, [{ event: undefined, data: 'begun' }])
  // A reader that takes its time is not waiting.
  await sleep(300)
  const startedMs = performance.now()
  const fault = await faultOf(events.next())
  assert.deepEqual([fault.code, fault.detail.cause], ['timeout', 'event_idle'])
  assert.match(fault.message, /0\.2 s.*TIMEOUT/)
  assert.ok(performance.now() - startedMs >= 190)
  await upstream.closed(0)
})
