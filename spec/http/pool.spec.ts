import assert from 'node:assert/strict'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { Fault } from '../../src/errors.ts'
import type { HttpRequest, HttpResponse } from '../../src/http/message.ts'
import { createPool } from '../../src/http/pool.ts'
import { decodeStream, readChatChoice } from '../../src/providers/openai-stream.ts'
import { eventsIn } from '../harness/events.ts'
import { type Answer, chatChunk, chatStream, startUpstream, type Upstream } from '../harness/upstream.ts'

/** The pool against real sockets, which lie at every level. */

type Wire = { url: string; sockets: Socket[]; seen: string[]; connections(): number }

/** A server below HTTP: what happens at each request, told by its number and socket, is the test's to say. */
async function startWire(t: TestContext, onRequest: (socket: Socket, number: number) => void): Promise<Wire> {
  const sockets: Socket[] = []
  const seen: string[] = []
  const server = createServer((socket) => {
    sockets.push(socket)
    socket.on('error', () => {})
    let heard = ''
    socket.setEncoding('latin1').on('data', (text: string) => {
      heard += text
      const [, length = '0'] = /content-length: (\d+)/i.exec(heard) ?? []
      const end = heard.indexOf('\r\n\r\n')
      if (end === -1 || heard.length < end + 4 + Number(length)) return
      seen.push(heard)
      heard = ''
      onRequest(socket, seen.length - 1)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    sockets,
    seen,
    connections: () => sockets.length,
  }
}

async function upstreamFor(t: TestContext, answer: Answer): Promise<Upstream> {
  const upstream = await startUpstream(answer)
  t.after(() => upstream.close())
  return upstream
}

const limits = { firstByteMs: 10_000, idleMs: 10_000 }
const get = (url: string, headers: Record<string, string> = {}): HttpRequest => ({
  method: 'GET',
  url,
  headers,
  limits,
})
const post = (url: string, body = '{}'): HttpRequest => ({ method: 'POST', url, headers: {}, body, limits })
const never = () => new AbortController().signal

async function textOf({ body }: HttpResponse): Promise<string> {
  const chunks: Uint8Array[] = []
  for await (const chunk of body) chunks.push(chunk)
  return Buffer.concat(chunks).toString('utf8')
}

async function faultOf(promise: Promise<unknown>): Promise<[string, string | undefined]> {
  try {
    await promise
  } catch (error) {
    assert.ok(error instanceof Fault, String(error))
    return [error.code, error.detail.cause]
  }
  return assert.fail('no fault')
}

const closed = (socket: Socket) =>
  new Promise<void>((resolve) => (socket.destroyed ? resolve() : socket.on('close', resolve)))
const head = 'HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n'
const ok = (body: string) => `${head}content-length: ${body.length}\r\n\r\n${body}`

test('a request arrives as it was made, and its answer as it was given', async (t) => {
  const wire = await startWire(t, (socket) => {
    socket.write('HTTP/1.1 418 Teapot\r\nX-One: a\r\nx-one: b\r\nX-Request-ID: r\r\ncontent-length: 5\r\n\r\nshort')
  })
  const body = '{"text":"é€😀"}'
  const response = await createPool()(
    { ...post(`${wire.url}/v1/chat?x=1`, body), headers: { 'x-mine': 'yes' } },
    never(),
  )
  assert.equal(response.status, 418)
  assert.equal(response.headers['x-one'], 'a')
  assert.equal(response.headers['x-request-id'], 'r')
  assert.equal(await textOf(response), 'short')
  const [seen = ''] = wire.seen
  assert.match(seen, /^POST \/v1\/chat\?x=1 HTTP\/1\.1\r\n/)
  assert.match(seen, /\r\nx-mine: yes\r\n/i)
  // Nothing here unpacks what is packed.
  assert.match(seen, /\r\naccept-encoding: identity\r\n/i)
  assert.equal(Buffer.from(seen.slice(seen.indexOf('\r\n\r\n') + 4), 'latin1').toString('utf8'), body)
})

test('chunks come one by one, as they are sent', async (t) => {
  const wire = await startWire(t, (socket) => socket.write(`${head}transfer-encoding: chunked\r\n\r\n3\r\none\r\n`))
  const { body } = await createPool()(get(wire.url), never())
  const chunks = body[Symbol.asyncIterator]()
  assert.equal(Buffer.from((await chunks.next()).value).toString(), 'one')
  wire.sockets[0]?.write('3\r\ntwo\r\n0\r\n\r\n')
  assert.equal(Buffer.from((await chunks.next()).value).toString(), 'two')
  assert.equal((await chunks.next()).done, true)
})

test('refused', async (t) => {
  const wire = await startWire(t, () => {})
  const { url } = wire
  const taken = await startUpstream(() => {})
  await taken.close()
  assert.deepEqual(await faultOf(createPool()(get(taken.url), never())), ['network', 'connect_refused'])
  assert.ok(url)
})

// What happens instead of an answer's head.
const early: [string, (socket: Socket) => void, [string, string]][] = [
  ['reset', (socket) => socket.resetAndDestroy(), ['network', 'reset']],
  ['closed', (socket) => socket.end(), ['network', 'closed_early']],
  ['closed inside the head', (socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-'), ['network', 'closed_early']],
  ['a banner of another protocol', (socket) => socket.end('SSH-2.0-OpenSSH_9.9\r\n'), ['invalid_response', 'bad_http']],
  ['a status line of another protocol', (socket) => socket.end('ICY 200 OK\r\n\r\n'), ['invalid_response', 'bad_http']],
  ['a NUL in a header', (socket) => socket.end(`${head}x: a\0b\r\n\r\n`), ['invalid_response', 'bad_http']],
  [
    'two lengths that differ',
    (socket) => socket.end(`${head}content-length: 3\r\ncontent-length: 4\r\n\r\nabcd`),
    ['invalid_response', 'bad_http'],
  ],
  ['a negative length', (socket) => socket.end(`${head}content-length: -1\r\n\r\n`), ['invalid_response', 'bad_http']],
  [
    'a head of 40 KB',
    (socket) => socket.write(`${head}x: ${'y'.repeat(40_000)}\r\n\r\n`),
    ['invalid_response', 'bad_http'],
  ],
  [
    'a thousand headers',
    (socket) => socket.write(`${head}${'x-many: 123456789012345678\r\n'.repeat(1000)}\r\n`),
    ['invalid_response', 'bad_http'],
  ],
]
for (const [name, act, expected] of early) {
  test(`before an answer: ${name}`, async (t) => {
    const wire = await startWire(t, act)
    assert.deepEqual(await faultOf(createPool()(post(wire.url), never())), expected)
    assert.equal(wire.seen.length, 1, 'the pool repeats nothing by itself')
  })
}

// What happens in the middle of a body whose first bytes have come.
const late: [string, string, (socket: Socket) => void, string][] = [
  [
    'a chunked body that is closed',
    'transfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n',
    (socket) => socket.end(),
    'closed_early',
  ],
  [
    'a chunked body that is reset',
    'transfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n',
    (socket) => socket.resetAndDestroy(),
    'reset',
  ],
  ['a body shorter than its length', 'content-length: 99\r\n\r\nfirst', (socket) => socket.end(), 'closed_early'],
  ['a body that is reset', 'content-length: 99\r\n\r\nfirst', (socket) => socket.resetAndDestroy(), 'reset'],
  [
    'a chunk whose size is no number',
    'transfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n',
    (socket) => socket.end('zz\r\n'),
    'closed_early',
  ],
]
for (const [name, rest, act, cause] of late) {
  test(`truncated, with what had come: ${name}`, async (t) => {
    const wire = await startWire(t, (socket) => socket.write(head + rest))
    const { body } = await createPool()(post(wire.url), never())
    const chunks = body[Symbol.asyncIterator]()
    assert.equal(Buffer.from((await chunks.next()).value).toString(), 'first')
    act(wire.sockets[0] as Socket)
    assert.deepEqual(await faultOf(chunks.next()), ['truncated', cause])
    assert.equal(wire.seen.length, 1)
  })
}

test('a body that only the end of the connection delimits ends without a fault', async (t) => {
  const wire = await startWire(t, (socket) => socket.end(`${head}\r\nall of it`))
  assert.equal(await textOf(await createPool()(get(wire.url), never())), 'all of it')
})

for (const hint of ['HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n', 'HTTP/1.1 102 Processing\r\n\r\n'.repeat(20)]) {
  test(`${hint.slice(9, 12)} before the answer is passed over`, async (t) => {
    const wire = await startWire(t, (socket) => socket.write(hint + ok('fine')))
    assert.equal(await textOf(await createPool()(get(wire.url), never())), 'fine')
  })
}

for (const [name, extra] of [
  ['a second answer', ok('smuggled')],
  ['garbage', 'garbage\r\n\r\n'],
] as const) {
  test(`${name} behind an answer poisons nothing: the next call gets its own`, async (t) => {
    const wire = await startWire(t, (socket, number) => socket.write(number === 0 ? ok('first') + extra : ok('second')))
    const send = createPool()
    assert.equal(await textOf(await send(get(wire.url), never())), 'first')
    assert.equal(await textOf(await send(get(wire.url), never())), 'second')
  })
}

for (const status of [301, 302, 303, 307, 308]) {
  test(`a ${status} is handed back and not followed; nobody else sees the key`, async (t) => {
    const other = await upstreamFor(t, (_, response) => void response.end('caught'))
    const upstream = await upstreamFor(
      t,
      (_, response) => void response.writeHead(status, { location: `${other.url}/x` }).end(),
    )
    const send = createPool()
    const response = await send({ ...post(upstream.url), headers: { authorization: 'Bearer sk-canary' } }, never())
    assert.equal(response.status, status)
    await textOf(response)
    assert.equal(upstream.requests.length, 1)
    assert.equal(other.connections(), 0)
  })
}

const reasons: [string, unknown, [string, string]][] = [
  ['without a reason', undefined, ['unavailable', 'cancelled']],
  ['with a fault of its own', new Fault('timeout', 'over', { cause: 'deadline' }), ['timeout', 'deadline']],
]
for (const [name, reason, expected] of reasons) {
  test(`an abort before the answer, ${name}: the caller hears at once and the socket is closed`, async (t) => {
    const controller = new AbortController()
    const wire = await startWire(t, () => controller.abort(reason))
    assert.deepEqual(await faultOf(createPool()(post(wire.url), controller.signal)), expected)
    await closed(wire.sockets[0] as Socket)
  })

  test(`an abort in the middle, ${name}: the reader hears at once and the socket is closed`, async (t) => {
    const controller = new AbortController()
    const wire = await startWire(t, (socket) => socket.write(`${head}transfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n`))
    const { body } = await createPool()(post(wire.url), controller.signal)
    const chunks = body[Symbol.asyncIterator]()
    await chunks.next()
    const pending = faultOf(chunks.next())
    controller.abort(reason)
    assert.deepEqual(await pending, expected)
    await closed(wire.sockets[0] as Socket)
  })

  test(`a call that is aborted already, ${name}, opens no connection`, async (t) => {
    const wire = await startWire(t, () => {})
    assert.deepEqual(await faultOf(createPool()(post(wire.url), AbortSignal.abort(reason))), expected)
    assert.equal(wire.connections(), 0)
  })
}

test('an abort closes the socket within 50 ms', async (t) => {
  const wire = await startWire(t, (socket) => socket.write(`${head}transfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n`))
  const send = createPool()
  const took: number[] = []
  for (let round = 0; round < 8; round++) {
    const controller = new AbortController()
    const { body } = await send(post(wire.url), controller.signal)
    await body[Symbol.asyncIterator]().next()
    const end = closed(wire.sockets.at(-1) as Socket)
    const startMs = performance.now()
    controller.abort()
    await end
    took.push(performance.now() - startMs)
  }
  assert.equal(wire.connections(), 8, 'an aborted socket never serves again')
  // The quickest, because the machine may be busy with something else.
  assert.ok(Math.min(...took) < 50, took.join(', '))
})

test('one abort leaves the other calls of the pool alone', async (t) => {
  const wire = await startWire(t, (socket) => socket.write(`${head}transfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n`))
  const send = createPool()
  const controller = new AbortController()
  const [gone, kept] = await Promise.all([send(post(wire.url), controller.signal), send(post(wire.url), never())])
  controller.abort()
  await faultOf(textOf(gone as HttpResponse))
  for (const socket of wire.sockets) socket.write('4\r\nrest\r\n0\r\n\r\n')
  assert.equal(await textOf(kept as HttpResponse), 'firstrest')
})

async function answerOf(response: HttpResponse): Promise<string> {
  const texts: string[] = []
  for await (const event of eventsIn(decodeStream(response, readChatChoice)))
    if (event.type === 'text-delta') texts.push(event.text)
  return texts.join('')
}

test('50 streamed calls, one after the other, use one connection', async (t) => {
  const upstream = await upstreamFor(t, (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.end(chatStream(['a', 'b']))
  })
  const send = createPool()
  for (let call = 0; call < 50; call++) {
    assert.equal(await answerOf(await send(post(upstream.url), never())), 'ab')
    // The next call of a client is at least a turn of the event loop away.
    await new Promise((resolve) => setImmediate(resolve))
  }
  assert.equal(upstream.requests.length, 50)
  assert.equal(upstream.connections(), 1)
})

test('[DONE] without an end of the body is an end, and the socket does not stay', async (t) => {
  const upstream = await upstreamFor(t, (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write(chatStream(['a']))
  })
  const send = createPool()
  for (let call = 0; call < 3; call++) {
    assert.equal(await answerOf(await send(post(upstream.url), never())), 'a')
    await upstream.closed(call)
  }
})

test('[DONE] and then bytes without end: the socket does not stay', async (t) => {
  const upstream = await upstreamFor(t, (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write(chatStream(['a']))
    const more = Buffer.alloc(64 * 1024, chatChunk({ content: 'late' }))
    const pour = () => {
      while (!response.destroyed && response.write(more));
    }
    response.on('drain', pour)
    pour()
  })
  assert.equal(await answerOf(await createPool()(post(upstream.url), never())), 'a')
  await upstream.closed(0)
})

test('an answer that nobody wants to read, a web page say, does not hold its socket for ever', async (t) => {
  const upstream = await upstreamFor(t, (_, response) => {
    response.writeHead(200, { 'content-type': 'text/html' })
    response.write('<html>')
  })
  assert.deepEqual(await faultOf(createPool()(post(upstream.url), never()).then(answerOf)), [
    'invalid_response',
    'bad_content_type',
  ])
  const late = new Promise((_, reject) => setTimeout(reject, 5000, new Error('the socket is still open')).unref())
  await Promise.race([upstream.closed(0), late])
})

test('a reader that takes nothing stops the provider, and then gets every byte', async (t) => {
  const totalBytes = 64 * 1024 * 1024
  let written = 0
  const upstream = await upstreamFor(t, (_, response) => {
    response.writeHead(200, { 'content-length': totalBytes })
    const chunk = Buffer.alloc(1024 * 1024, 'x')
    const pour = () => {
      while (written < totalBytes) {
        written += chunk.length
        if (!response.write(chunk)) return
      }
      response.end()
    }
    response.on('drain', pour)
    pour()
  })
  const { body } = await createPool()(get(upstream.url), never())
  // Settled when nothing more has been taken for a while.
  for (let before = -1; before !== written; ) {
    before = written
    await new Promise((resolve) => setTimeout(resolve, 150))
  }
  assert.ok(written < totalBytes / 2, `${written} bytes were taken that nobody had asked for`)
  let received = 0
  for await (const chunk of body) received += chunk.length
  assert.equal(received, totalBytes)
})

for (const value of ['sk-canary\nx', 'sk-canary\r\nx: y', 'sk-canary\0']) {
  test(`a header that cannot be sent, ${JSON.stringify(value)}, is a fault without its value`, async (t) => {
    const wire = await startWire(t, (socket) => socket.write(ok('fine')))
    const send = createPool()
    await assert.rejects(send(get(wire.url, { authorization: `Bearer ${value}` }), never()), (error) => {
      assert.ok(error instanceof Fault)
      assert.equal(error.code, 'configuration')
      assert.equal(error.detail.cause, 'bad_header')
      assert.doesNotMatch(JSON.stringify([error.message, error.detail, error.stack]), /canary/)
      return true
    })
    assert.equal(wire.connections(), 0)
    assert.equal(await textOf(await send(get(wire.url), never())), 'fine')
  })
}

test('faults name the host and neither path nor headers', async (t) => {
  const wire = await startWire(t, (socket) => socket.resetAndDestroy())
  const request = {
    ...post(`${wire.url}/secret/path?key=sk-canary`, '{"a":"sk-canary"}'),
    headers: { 'x-key': 'sk-canary' },
  }
  await assert.rejects(createPool()(request, never()), (error) => {
    assert.ok(error instanceof Fault)
    assert.ok(error.message.includes(new URL(wire.url).host))
    assert.doesNotMatch(JSON.stringify([error.message, error.detail, error.stack]), /canary|secret/)
    return true
  })
})

/** A server that closes every connection on which a second request arrives, as one does whose idle time has just run out. */
async function closingServer(
  t: TestContext,
  { closesFirst = false, afterMs = 0 } = {},
): Promise<{ url: string; requests: () => number }> {
  let requests = 0
  const server = createServer((socket) => {
    let onThis = 0
    socket.on('error', () => {})
    socket.on('data', () => {
      requests += 1
      onThis += 1
      if ((closesFirst || onThis > 1) && afterMs > 0) setTimeout(() => socket.destroy(), afterMs)
      else if (closesFirst || onThis > 1) socket.destroy()
      else socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, requests: () => requests }
}

const drained = async ({ body }: HttpResponse) => {
  for await (const _ of body);
  // The connection is free again a turn behind the end of the body.
  await new Promise((resolve) => setImmediate(resolve))
}
const plain = (url: string): HttpRequest => ({
  method: 'POST',
  url,
  headers: {},
  body: '{}',
  limits: { firstByteMs: 5000, idleMs: 5000 },
})

test('a kept connection that is closed just as it is used again costs a request, not the call', async (t) => {
  const { url, requests } = await closingServer(t)
  const send = createPool()
  for (let time = 0; time < 20; time++) await drained(await send(plain(url), new AbortController().signal))
  assert.ok(requests() > 20 && requests() <= 40, `${requests()} requests`)
})

test('nor does it where other calls open connections meanwhile', async (t) => {
  const { url, requests } = await closingServer(t)
  const send = createPool()
  const line = async () => {
    for (let time = 0; time < 25; time++) await drained(await send(plain(url), new AbortController().signal))
  }
  await Promise.all(Array.from({ length: 8 }, line))
  assert.ok(requests() > 200 && requests() <= 400, `${requests()} requests`)
})

test('what must not arrive twice is not sent again, nor what has failed on a new connection', async (t) => {
  const { url } = await closingServer(t)
  const send = createPool()
  const { signal } = new AbortController()
  await drained(await send(plain(url), signal))
  const again = send({ ...plain(url), once: true }, signal)
  await assert.rejects(again, (fault) => fault instanceof Fault && fault.code === 'network')
  const dead = await closingServer(t, { closesFirst: true })
  await assert.rejects(createPool()(plain(dead.url), signal), Fault)
  assert.equal(dead.requests(), 1)
})

test('nor what a server has worked at before its connection broke', async (t) => {
  const { url, requests } = await closingServer(t, { afterMs: 1_500 })
  const send = createPool()
  const { signal } = new AbortController()
  await drained(await send(plain(url), signal))
  await assert.rejects(send(plain(url), signal), (fault) => fault instanceof Fault && fault.code === 'network')
  assert.equal(requests(), 2)
})

test('chunks that come close together are read together, and none waits for the end', async (t) => {
  const pieces = Array.from({ length: 60 }, (_, at) => `${at} `)
  const wire = await startWire(t, (socket) => {
    socket.setNoDelay(true)
    socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n')
    let written = 0
    // The last piece is not the end: whoever waits for that reads nothing.
    const timer = setInterval(() => {
      const piece = pieces[written++]
      if (piece === undefined) clearInterval(timer)
      else socket.write(`${piece.length.toString(16)}\r\n${piece}\r\n`)
    }, 1)
  })
  const { body } = await createPool()(get(wire.url), never())
  const readings: string[] = []
  for await (const chunk of body) {
    readings.push(Buffer.from(chunk).toString('utf8'))
    if (readings.join('').length === pieces.join('').length) break
  }
  assert.equal(readings.join(''), pieces.join(''))
  assert.ok(readings.length > 1 && readings.length < pieces.length - 10, `${readings.length} readings`)
})
