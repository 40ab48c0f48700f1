import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { type TestContext, test } from 'node:test'
import { createServer } from '../../src/mcp/server.ts'
import { createStreamableHttp } from '../../src/mcp/streamable-http.ts'
import type { Call, Progress, ToolResult } from '../../src/tool.ts'
import { declarations } from '../../src/tools/declarations.ts'
import { type HttpLimits, type HttpServer, startHttp } from '../../src/transports/http.ts'
import { ask, bytesOf, type Endpoint, modern, openSession, post, rawly, token } from '../harness/http-gateway.ts'
import { at, gate, until } from '../harness/scope.ts'

/** What the server does not wait for and does not take: the transport itself, over real sockets, with limits that are short. */

type Run = (prompt: unknown, call: Call) => AsyncGenerator<Progress, ToolResult>

const said = (text: string): ToolResult => ({ content: [{ type: 'text', text }] })

async function started(t: TestContext, run: Run, limits: Partial<HttpLimits> = {}): Promise<Endpoint & HttpServer> {
  const name = 'createCompletion'
  const tool = { name, run: (args: unknown, call: Call) => run(at(args, 'prompt'), call) }
  const createPeer = () =>
    createServer({ name: 'spec', title: 'Spec', version: '1' }, '', {
      declarations,
      load: async () => new Map([[name, tool]]),
    })
  const protocol = createStreamableHttp(createPeer, { maxSessions: 3, maxIdleMs: 60_000 }, () => performance.now())
  const server = await startHttp(protocol, {
    host: '127.0.0.1',
    port: 0,
    authorities: [],
    identify: (given) => (given === token ? 'spec' : undefined),
    redact: (text) => text,
    limits,
  })
  t.after(() => server.close(0))
  return { ...server, url: '' }
}

const aborted = ({ signal }: Call) =>
  new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))

/** Works until it is interrupted, and tells how often it was. */
function endlessly() {
  const state = { begun: 0, ended: 0 }
  const run: Run = async function* (_, call) {
    state.begun += 1
    yield {}
    await aborted(call)
    state.ended += 1
    return said('interrupted')
  }
  return { state, run }
}

/** Asks for progress, and reads none of it. */
function askAndReadNothing(t: TestContext, server: Endpoint): void {
  const socket = connect(server.port, '127.0.0.1')
  socket.on('error', () => {})
  t.after(() => socket.destroy())
  const params = { name: 'createCompletion', arguments: { prompt: 'x' } }
  socket.write(bytesOf(server, modern('tools/call', params, { meta: { progressToken: 1 } })))
  socket.pause()
}

const head = ({ port }: Endpoint, ...lines: string[]) =>
  ['POST /mcp HTTP/1.1', `Host: 127.0.0.1:${port}`, `Authorization: Bearer ${token}`, ...lines].join('\r\n')
const typed = ['Content-Type: application/json', 'Accept: */*'] as const

test('a head that does not come to its end is not waited for', async (t) => {
  const server = await started(t, endlessly().run, { headMs: 200 })
  for (const bytes of ['', 'POST', head(server, 'X-A: ')]) {
    const { closed, said: answer, afterMs } = await rawly(server, bytes)
    assert.ok(closed && afterMs < 4_500, `${afterMs} ms`)
    assert.match(answer, /^(?:HTTP\/1\.1 408 |$)/)
  }
})

test('a head that comes byte by byte is not waited for either', async (t) => {
  const server = await started(t, endlessly().run, { headMs: 300 })
  const startedMs = performance.now()
  const socket = connect(server.port, '127.0.0.1')
  socket.on('error', () => {})
  socket.write(head(server, 'X-A: '))
  const drip = setInterval(() => socket.write('X'), 20)
  await new Promise((resolve) => socket.once('close', resolve))
  clearInterval(drip)
  const tookMs = performance.now() - startedMs
  assert.ok(tookMs >= 300 && tookMs < 4_500, `${tookMs} ms`)
})

test('a body that does not come to its end is not waited for', async (t) => {
  const server = await started(t, endlessly().run, { headMs: 200, requestMs: 400 })
  const begun = `${head(server, ...typed, 'Content-Length: 100')}\r\n\r\n{`
  const { closed, said: answer, afterMs } = await rawly(server, begun)
  assert.ok(closed && afterMs >= 400 && afterMs < 4_500, `${afterMs} ms`)
  assert.match(answer, /^HTTP\/1\.1 408 /)
})

test('a connection that carries nothing is closed', async (t) => {
  const server = await started(t, endlessly().run, { idleMs: 200 })
  const { closed, said: answer, afterMs } = await rawly(server, bytesOf(server, modern('server/discover')))
  assert.match(answer, /^HTTP\/1\.1 200 /)
  // Node waits a second longer than it tells the client, who might use the connection at the last moment.
  assert.ok(closed && afterMs >= 200 && afterMs < 4_500, `${afterMs} ms`)
})

test('who is refused and goes on sending is cut off', async (t) => {
  const server = await started(t, endlessly().run)
  const {
    closed,
    said: answer,
    afterMs,
  } = await rawly(server, `${head(server, 'Content-Length: 9999999999')}\r\n\r\nxx`)
  assert.match(answer, /^HTTP\/1\.1 413 /)
  assert.ok(closed && afterMs < 4_500, `${afterMs} ms`)
})

for (const connection of ['keep-alive', 'close']) {
  test(`who is refused may go on sending for a while, and is not reset: Connection: ${connection}`, async (t) => {
    const server = await started(t, endlessly().run, { maxBodyBytes: 1_000 })
    const socket = connect({ port: server.port, host: '127.0.0.1', allowHalfOpen: true })
    t.after(() => socket.destroy())
    const [answered, ended, closed] = ['data', 'end', 'close'].map((name) => once(socket, name))
    socket.write(head(server, ...typed, `Connection: ${connection}`, 'Content-Length: 1000000\r\n\r\n'))
    assert.match(String(await answered), /^HTTP\/1\.1 413 /)
    for (let part = 0; part < 10; part++) {
      assert.ifError(await new Promise((resolve) => socket.write('x'.repeat(100_000), resolve)))
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    const sentMs = performance.now()
    if (connection === 'keep-alive') {
      const next = new Promise((resolve) => socket.once('data', resolve))
      socket.write(bytesOf(server, modern('server/discover')))
      assert.match(String(await next), /^HTTP\/1\.1 200 /)
    } else await ended
    socket.end()
    await closed
    assert.ok(performance.now() - sentMs < 1_500)
  })
}

/** A client that goes on sending when the server has ended its half; resolves to the milliseconds until that fails. */
function halfOpen(t: TestContext, { port }: Endpoint) {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  socket.on('error', () => {}).resume()
  t.after(() => socket.destroy())
  const dripUntilClosed = async (bytes: string) => {
    const startedMs = performance.now()
    const drip = setInterval(() => socket.write(bytes), 20)
    await new Promise((resolve) => {
      socket.once('close', resolve)
      setTimeout(resolve, 6_000).unref()
    })
    clearInterval(drip)
    return performance.now() - startedMs
  }
  return { socket, dripUntilClosed }
}

const nope = ({ port }: Endpoint) => `GET /nope HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`

test('who is refused, half closed, and goes on sending is cut off too', async (t) => {
  const server = await started(t, endlessly().run)
  for (const before of ['', nope(server)]) {
    const { socket, dripUntilClosed } = halfOpen(t, server)
    socket.write(before + head(server, 'Connection: close', 'Content-Length: 9999999999\r\n\r\n'))
    const tookMs = await dripUntilClosed('x')
    assert.ok(tookMs >= 1_500 && tookMs < 4_500, `${tookMs} ms`)
  }
})

test('several that are refused together leave the connection as it was', async (t) => {
  const server = await started(t, endlessly().run)
  const { socket, dripUntilClosed } = halfOpen(t, server)
  socket.write(nope(server).repeat(2))
  await once(socket, 'data')
  socket.write(`GET /health HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\nConnection: close\r\n\r\n`)
  const tookMs = await dripUntilClosed('\r\n')
  assert.ok(tookMs < 1_500, `${tookMs} ms`)
})

test('what comes behind an answer that ends the connection is not begun', async (t) => {
  const { state, run } = endlessly()
  const server = await started(t, run)
  const { socket, dripUntilClosed } = halfOpen(t, server)
  const ended = once(socket, 'end')
  socket.write(head(server, 'Content-Type: text/plain', 'Expect: 100-continue', 'Content-Length: 10\r\n\r\n'))
  await ended
  const params = { name: 'createCompletion', arguments: { prompt: 'x' } }
  socket.write(`${'x'.repeat(10)}${bytesOf(server, modern('tools/call', params))}`)
  assert.ok((await dripUntilClosed('\r\n')) < 1_500)
  assert.equal(state.begun, 0)
})

test('what comes behind such an answer is not begun either while the answer itself waits for an earlier one', async (t) => {
  const { state, run } = endlessly()
  const server = await started(t, run)
  const call = bytesOf(server, modern('tools/call', { name: 'createCompletion', arguments: { prompt: 'x' } }))
  const refused = head(server, 'Content-Type: text/plain', 'Expect: 100-continue', 'Content-Length: 10\r\n\r\n')
  const { socket } = halfOpen(t, server)
  socket.write(call + refused + 'x'.repeat(10) + call)
  await until(() => state.begun > 0)
  await new Promise((resolve) => setTimeout(resolve, 100))
  assert.deepEqual(state, { begun: 1, ended: 0 })
})

test('of what comes behind such an answer, not any number is let in', async (t) => {
  const { state, run } = endlessly()
  const server = await started(t, run)
  const { socket } = halfOpen(t, server)
  const refused = head(server, 'Content-Type: text/plain', 'Expect: 100-continue', 'Content-Length: 10\r\n\r\n')
  socket.write(
    bytesOf(server, modern('tools/call', { name: 'createCompletion', arguments: { prompt: 'x' } })) + refused,
  )
  await until(() => state.begun > 0)
  socket.write('x'.repeat(10))
  const many = 'GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(2_000)
  const isTaken = () =>
    new Promise<boolean>((resolve) => {
      socket.write(many, (error) => resolve(!error))
      setTimeout(resolve, 1_500, false).unref()
    })
  let taken = 0
  while (taken < 200 && (await isTaken())) taken++
  assert.ok(taken < 200, 'all of 400,000 requests')
})

test('who is refused behind a call that takes long does not lose its answer', async (t) => {
  const server = await started(t, async function* () {
    await new Promise((resolve) => setTimeout(resolve, 2_300))
    yield {}
    return said('at last')
  })
  const call = bytesOf(server, modern('tools/call', { name: 'createCompletion', arguments: { prompt: 'x' } }))
  const { socket, dripUntilClosed } = halfOpen(t, server)
  let heard = ''
  socket.on('data', (bytes) => (heard += bytes))
  socket.write(call + head(server, 'Content-Type: text/plain', 'Content-Length: 1000000\r\n\r\n'))
  const tookMs = await dripUntilClosed('x')
  assert.match(heard, /at last.*HTTP\/1\.1 415 /s)
  assert.ok(tookMs >= 3_500 && tookMs < 6_000, `${tookMs} ms`)
})

test('empty lines between requests are no sign of life', async (t) => {
  const server = await started(t, endlessly().run, { headMs: 100 })
  const { socket, dripUntilClosed } = halfOpen(t, server)
  socket.write(bytesOf(server, modern('server/discover')))
  await once(socket, 'data')
  const tookMs = await dripUntilClosed('\r\n')
  assert.ok(tookMs >= 300 && tookMs < 3_000, `${tookMs} ms`)
})

test('empty lines behind a request that Node has answered are no sign of life', async (t) => {
  const server = await started(t, endlessly().run, { headMs: 100 })
  const { socket, dripUntilClosed } = halfOpen(t, server)
  socket.write(`GET /health HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\nExpect: something\r\n\r\n`)
  assert.match(String((await once(socket, 'data'))[0]), /^HTTP\/1\.1 417 /)
  const tookMs = await dripUntilClosed('\r\n')
  assert.ok(tookMs >= 300 && tookMs < 3_000, `${tookMs} ms`)
})

test('empty lines of one that reads nothing are no sign of life', async (t) => {
  const { state, run } = endlessly()
  const server = await started(t, run, { headMs: 100, stalledMs: 60_000 })
  const { socket, dripUntilClosed } = halfOpen(t, server)
  socket.write(bytesOf(server, modern('tools/call', { name: 'createCompletion', arguments: { prompt: 'x' } })))
  await until(() => state.begun > 0)
  const tookMs = await dripUntilClosed('\r\n')
  assert.ok(tookMs >= 300 && tookMs < 3_000, `${tookMs} ms`)
  await until(() => state.ended > 0)
})

test('a client that asks again and again, and sends nothing else, is served for as long as it likes', async (t) => {
  const server = await started(t, endlessly().run, { headMs: 50 })
  const { socket } = halfOpen(t, server)
  for (let request = 0; request < 12; request++) {
    socket.write(bytesOf(server, modern('server/discover')))
    assert.match(String((await once(socket, 'data'))[0]), /^HTTP\/1\.1 200 /)
    await new Promise((resolve) => setTimeout(resolve, 60))
  }
})

test('an answer that takes long becomes a stream, which lives', async (t) => {
  const end = gate()
  const server = await started(
    t,
    async function* () {
      await end.opened
      yield {}
      return said('at last')
    },
    { patienceMs: 60, commentMs: 30 },
  )
  setTimeout(end.open, 200)
  const { headers, text, messages } = await ask(server, 'x')
  assert.equal(headers['content-type'], 'text/event-stream')
  assert.match(text, /^:\n\n:\n\n(?::\n\n)*event: message\n/)
  assert.equal(at(messages, 0, 'result', 'content', 0, 'text'), 'at last')
})

test('what waits for its reader does not grow: the tool is not asked for more', async (t) => {
  let steps = 0
  const server = await started(t, async function* (_, { signal }) {
    for (; steps < 20_000 && !signal.aborted; steps++) {
      yield { message: 'x'.repeat(10_000) }
      // A provider's pieces come one by one, and what comes between two notifications is gathered.
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
    return said('all')
  })
  askAndReadNothing(t, server)
  let before = -1
  while (steps === 0 || steps !== before) {
    before = steps
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  assert.ok(steps < 5_000, `${steps} steps for nobody`)
})

test('who reads nothing for too long has gone', async (t) => {
  let interrupted = false
  const server = await started(
    t,
    async function* (_, { signal }) {
      signal.addEventListener('abort', () => (interrupted = true))
      while (!signal.aborted) {
        yield { message: 'x'.repeat(100_000) }
        await new Promise((resolve) => setTimeout(resolve, 1))
      }
      return said('')
    },
    { stalledMs: 300 },
  )
  askAndReadNothing(t, server)
  await until(() => interrupted, 15_000)
})

test('one call more than there may be is told to come back, and nothing else is', async (t) => {
  const { state, run } = endlessly()
  const server = await started(t, run, { maxInFlight: 2 })
  const session = await openSession(server)
  const own = session.request('tools/call', { name: 'createCompletion', arguments: {} }, { id: 9 })
  const abort = new AbortController()
  const other = assert.rejects(ask(server, 'x', { signal: abort.signal }))
  await until(() => state.begun === 2)
  const refused = await ask(server, 'x')
  assert.deepEqual([refused.status, refused.headers['retry-after']], [503, '1'])
  assert.equal((await session.notify('notifications/cancelled', { requestId: 9 })).status, 202)
  assert.equal((await own).text, '')
  assert.equal((await session.request('ping')).status, 200)
  abort.abort()
  await other
  await until(() => state.ended === 2)
})

test('each call of a batch counts', async (t) => {
  const { state, run } = endlessly()
  const server = await started(t, run, { maxInFlight: 3 })
  const { id } = await openSession(server, '2025-03-26')
  const batch = (...ids: number[]) =>
    ids.map((one) => ({ jsonrpc: '2.0', id: one, method: 'tools/call', params: { name: 'createCompletion' } }))
  const send = (body: object, signal = AbortSignal.timeout(5_000)) =>
    post(server, body, { headers: { 'mcp-session-id': id }, signal })
  const abort = new AbortController()
  const two = assert.rejects(send(batch(1, 2), abort.signal))
  await until(() => state.begun === 2)
  assert.equal((await send(batch(3, 4))).status, 503)
  const one = assert.rejects(send(batch(3), abort.signal))
  await until(() => state.begun === 3)
  assert.equal((await ask(server, 'x')).status, 503)
  abort.abort()
  await Promise.all([two, one])
  await until(() => state.ended === 3)
  const again = new AbortController()
  const three = assert.rejects(send(batch(1, 2, 3), again.signal))
  await until(() => state.begun === 6)
  again.abort()
  await three
})

test('answers to a batch that cannot be written are errors, and the server lives', async (t) => {
  // What contains itself stands for results that together are longer than a string can be.
  const endless: object[] = [{ type: 'text', text: 'x' }]
  endless.push({ type: 'text', text: 'x', endless })
  const server = await started(t, async function* () {
    yield {}
    return { content: endless as ToolResult['content'] }
  })
  const { id } = await openSession(server, '2025-03-26')
  const asked = [1, 2, 3].map((one) => ({
    jsonrpc: '2.0',
    id: one,
    method: 'tools/call',
    params: { name: 'createCompletion' },
  }))
  const signal = AbortSignal.timeout(5_000)
  const { messages } = await post(server, asked, { headers: { 'mcp-session-id': id }, signal })
  for (const number of [0, 1, 2]) {
    assert.equal(at(messages, 0, number, 'id'), number + 1)
    assert.equal(at(messages, 0, number, 'error', 'code'), -32603)
  }
})

test('bodies that are held together have a limit together, being read or worked on', async (t) => {
  const { state, run } = endlessly()
  const server = await started(t, run, { maxHeldBytes: 1_000_000 })
  const large = () => ask(server, 'x'.repeat(200_000), { signal: AbortSignal.timeout(2_000) })
  const slow = rawly(server, `${head(server, ...typed, 'Content-Length: 2000000')}\r\n\r\n${'x'.repeat(900_000)}`, {
    patienceMs: 700,
  })
  await new Promise((resolve) => setTimeout(resolve, 300))
  const refused = await large()
  assert.deepEqual([refused.status, refused.headers['retry-after']], [503, '1'])
  await slow

  const abort = new AbortController()
  const working = assert.rejects(ask(server, 'x'.repeat(900_000), { signal: abort.signal }))
  await until(() => state.begun === 1)
  assert.equal((await large()).status, 503)
  abort.abort()
  await working
  await until(() => state.ended === 1)
  await assert.rejects(large(), { name: 'AbortError' })
  assert.equal(state.begun, 2)
})

test('connections beyond the limit are not let in, and those within it are served', async (t) => {
  const server = await started(t, endlessly().run, { maxConnections: 2 })
  const sockets = Array.from({ length: 5 }, () => connect(server.port, '127.0.0.1'))
  const closed = sockets.map(
    (socket) => new Promise<boolean>((resolve) => socket.once('close', () => resolve(true)).on('error', () => {})),
  )
  t.after(() => {
    for (const socket of sockets) socket.destroy()
  })
  const three = Promise.all(closed.slice(2))
  await Promise.race([three, new Promise((_, reject) => setTimeout(reject, 3_000, new Error('still open')))])
  assert.deepEqual(
    sockets.map(({ destroyed }) => destroyed),
    [false, false, true, true, true],
  )
})

test('sessions are limited: the oldest that is idle goes, one at work stays', async (t) => {
  const { state, run } = endlessly()
  const server = await started(t, run)
  const busy = await openSession(server)
  const asked = busy.request('tools/call', { name: 'createCompletion', arguments: {} }, { id: 'long' })
  await until(() => state.begun === 1)
  const [second, third] = [await openSession(server), await openSession(server)]
  assert.equal((await second.request('ping')).status, 200)
  const fourth = await openSession(server)
  const statuses = await Promise.all([busy, second, third, fourth].map((one) => one.request('ping')))
  assert.deepEqual(
    statuses.map(({ status }) => status),
    [200, 200, 404, 200],
  )
  await busy.notify('notifications/cancelled', { requestId: 'long' })
  await asked
})

test('where all sessions are at work, another is not opened', async (t) => {
  const { state, run } = endlessly()
  const server = await started(t, run)
  const sessions = [await openSession(server), await openSession(server), await openSession(server)]
  const asked = sessions.map((one) => one.request('tools/call', { name: 'createCompletion', arguments: {} }, { id: 1 }))
  await until(() => state.begun === 3)
  const params = { protocolVersion: '2025-11-25', capabilities: {} }
  const refused = await post(server, { jsonrpc: '2.0', id: 0, method: 'initialize', params })
  assert.match(String(at(refused.messages, 0, 'error', 'message')), /Too many sessions/)
  assert.equal(refused.headers['mcp-session-id'], undefined)
  for (const session of sessions) await session.notify('notifications/cancelled', { requestId: 1 })
  await Promise.all(asked)
})
