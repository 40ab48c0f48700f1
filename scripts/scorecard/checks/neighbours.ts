import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { program } from '../../../spec/harness/gateway.ts'
import { modern, type Posted, type PostOptions } from '../../../spec/harness/http-gateway.ts'
import { type Check, notRun } from '../check.ts'
import type { HttpServer } from '../http-server.ts'
import { socketsOf } from '../processes.ts'
import { delay, patiently, type Stage } from '../stage.ts'
import type { Upstream } from '../upstream.ts'
import { answer, head, openaiEvent } from '../wire.ts'

/** Others on the same machine, and on the same server. */

const storm = 10_000
const stormMb = 500
const slowSockets = 100

export const neighbours: readonly Check[] = [
  {
    id: 'S10',
    what: 'over HTTP: hosts, origins, tokens, headers that lie, 10 000 calls at once, heads that never end',
    heavy: true,
    async run(stage) {
      const upstream = await stage.upstream(async (exchange) => {
        await delay(300)
        await exchange.send(answer('openai', [`said to ${exchange.prompt}`], 'close'))
        exchange.finish()
      })
      const server = await stage.http({ providers: { a: { at: upstream } }, rssMb: stormMb })
      await refusals(stage, server)
      await startsRefused(stage)
      const sockets = socketsOf(server.pid)
      const [slowest, figure] = await Promise.all([slowHeads(stage, server), manyAtOnce(stage, server, upstream)])
      await patiently(() => socketsOf(server.pid) <= sockets, 3_000)
      stage.expect(
        socketsOf(server.pid) <= sockets,
        `I10: ${socketsOf(server.pid)} sockets are open at the end, ${sockets} at the start`,
      )
      return `${figure}; ${slowSockets} slow heads closed within ${(slowest / 1000).toFixed(1)} s; ${Math.round(server.peakRssMb())} MB at the most`
    },
  },
  {
    id: 'S11',
    what: 'two clients with two keys each, the same ids and prompts, cancelled at random, over stdio and of one server over HTTP: nothing crosses',
    heavy: true,
    async run(stage) {
      const upstream = await stage.upstream(async (exchange) => {
        const tag = tagOf(exchange.headers['authorization'] ?? 'nobody')
        await exchange.send(head(200, { 'content-type': 'text/event-stream', 'transfer-encoding': 'chunked' }))
        for (let at = 0; at < 5 && !exchange.socket.destroyed; at++) {
          const event = openaiEvent({ content: `${tag} ${exchange.prompt}; ` })
          await exchange.send(`${Buffer.byteLength(event).toString(16)}\r\n${event}\r\n`)
          await delay(exchange.number % 3)
        }
        const end = answer('openai', []).toString().split('\r\n\r\n')[1] ?? ''
        await exchange.send(`${Buffer.byteLength(end).toString(16)}\r\n${end}\r\n0\r\n\r\n`)
      })
      const overStdio = await crossedOverStdio(stage, upstream)
      const overHttp = await crossedOverHttp(stage, upstream)
      const expected = 2 * rounds * (callsARound - cancelledARound)
      stage.equal(overStdio, [0, expected], 'over stdio: answers with bytes of another call, and whole ones')
      stage.equal(overHttp, [0, expected], 'over HTTP: answers with bytes of another call, and whole ones')
      return `${overStdio[1]} answers over stdio, ${overHttp[1]} over HTTP`
    },
  },
]

const rounds = 40
const callsARound = 12
const isCancelled = (at: number) => at % 4 === 3
const cancelledARound = 3

const tagOf = (key: string) => key.slice(-8)
const promptOf = (at: number) => `p${at % 3}`
const wholeText = (stage: Stage, name: string, at: number) => `${tagOf(stage.key(name))} ${promptOf(at)}; `.repeat(5)

/** How many answers held what was not theirs, and how many were whole. */
type Crossed = [crossed: number, whole: number]

const inRounds = async (play: (round: number, at: number) => Promise<void>) => {
  for (let round = 0; round < rounds; round++)
    await Promise.all(Array.from({ length: callsARound }, (_, at) => play(round, at)))
}

async function crossedOverStdio(stage: Stage, upstream: Upstream): Promise<Crossed> {
  const gatewayOf = (own: string[], others: string[]) =>
    stage.gateway({
      providers: Object.fromEntries(own.map((name) => [name, { at: upstream }])),
      maxAttempts: Number.POSITIVE_INFINITY,
      keys: Object.fromEntries(others.map((name) => [name, upstream])),
    })
  const clients = [
    { gateway: await gatewayOf(['a', 'b'], ['c', 'd']), names: ['a', 'b'] },
    { gateway: await gatewayOf(['c', 'd'], ['a', 'b']), names: ['c', 'd'] },
  ]
  let crossed = 0
  let whole = 0
  await Promise.all(
    clients.map(async ({ gateway, names }) => {
      await inRounds(async (round, at) => {
        const name = names[at % 2] as string
        const id = `${round} ${at}`
        const call = { model: `${name}/tiny`, prompt: promptOf(at) }
        const asked = gateway.ask(call, { id, token: id, patienceMs: 10_000 })
        if (isCancelled(at)) {
          await delay(stage.random.below(12))
          gateway.cancel(id)
          return void gateway.ping()
        }
        const { text, isError } = await asked
        const right = wholeText(stage, name, at)
        if (text === right) whole += 1
        else if (!isError || !right.startsWith(text)) crossed += 1
      })
      await gateway.ping()
    }),
  )
  return [crossed, whole]
}

/** One of the clients speaks without a session, the other in one; their ids, tokens of progress and prompts are the same. */
async function crossedOverHttp(stage: Stage, upstream: Upstream): Promise<Crossed> {
  const providers = { e: { at: upstream }, f: { at: upstream }, g: { at: upstream }, h: { at: upstream } }
  const keys = Object.fromEntries(['a', 'b', 'c', 'd'].map((name) => [name, upstream]))
  const server = await stage.http({ providers, keys, clients: ['first', 'second'] })
  const initialize = {
    protocolVersion: '2025-11-25',
    capabilities: {},
    clientInfo: { name: 'scorecard', version: '1' },
  }
  const opened = await server.post(1, { jsonrpc: '2.0', id: 0, method: 'initialize', params: initialize })
  const session = { 'mcp-session-id': String(opened.headers['mcp-session-id']) }
  const clients = [
    { names: ['e', 'f'], inSession: false },
    { names: ['g', 'h'], inSession: true },
  ]
  let crossed = 0
  let whole = 0
  await Promise.all(
    clients.map(({ names, inSession }, client) =>
      inRounds(async (round, at) => {
        const name = names[at % 2] as string
        const id = `${round} ${at}`
        const params = { name: 'createCompletion', arguments: { model: `${name}/tiny`, prompt: promptOf(at) } }
        const own = modern('tools/call', params, { id, meta: { progressToken: id } })
        const body = inSession
          ? { jsonrpc: '2.0', id, method: 'tools/call', params: { ...params, _meta: { progressToken: id } } }
          : own.body
        const abort = new AbortController()
        const headers = inSession ? session : own.headers
        const asked = server.post(client, body, { headers, signal: abort.signal }).catch(() => undefined)
        if (isCancelled(at)) {
          await delay(stage.random.below(12))
          const cancelled = { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: id } }
          if (inSession) await server.post(client, cancelled, { headers })
          else abort.abort()
        }
        const answered = await asked
        const right = wholeText(stage, name, at)
        if (answered && !isOwn(answered, id, right)) crossed += 1
        else if (!isCancelled(at) && answered && textIn(answered) === right) whole += 1
      }),
    ),
  )
  return [crossed, whole]
}

/** Whether all that came is of the call: its id, its token, and words of its own text alone. */
function isOwn({ messages }: Posted, id: string, right: string): boolean {
  return messages.flat().every((message) => {
    if (message.method === undefined) return message.id === id
    const { progressToken, message: piece = '' } = message.params as { progressToken?: unknown; message?: string }
    return progressToken === id && right.includes(piece)
  })
}

function textIn({ messages }: Posted): string {
  const answers = messages.flat().filter(({ method }) => method === undefined)
  const { structuredContent = {} } = (answers[0]?.result ?? {}) as { structuredContent?: { text?: string } }
  return structuredContent.text ?? ''
}

/** What must not come in, by the status that says so. */
async function refusals(stage: Stage, server: HttpServer): Promise<void> {
  const call = modern('tools/call', { name: 'noSuchTool' })
  const ping = { body: { jsonrpc: '2.0', id: 1, method: 'ping' }, headers: {} }
  const nothing = { body: '', headers: {} }
  type Row = [name: string, status: number, options: PostOptions, code?: number, own?: typeof call | typeof nothing]
  const rows: Row[] = [
    ['all is well', 200, {}, -32602],
    ['another Host', 403, { headers: { host: 'evil.example.com' } }],
    ['another Host at the port', 403, { headers: { host: `evil.example.com:${server.port}` } }],
    ['another Origin', 403, { headers: { origin: 'http://evil.example.com' } }],
    ['the Origin null', 403, { headers: { origin: 'null' } }],
    ['no token', 401, { headers: { authorization: undefined } }],
    ['a wrong token', 401, { headers: { authorization: `Bearer ${server.tokens[0]?.slice(0, -1)}` } }],
    ['another path', 404, { path: '/' }],
    ['GET', 405, { method: 'GET' }, -32600, nothing],
    ['DELETE', 405, { method: 'DELETE' }, -32600, nothing],
    [
      'DELETE where there are no sessions',
      405,
      { method: 'DELETE', headers: { 'mcp-protocol-version': '2026-07-28', 'mcp-session-id': 'x' } },
      -32600,
      nothing,
    ],
    ['another type', 415, { headers: { 'content-type': 'text/plain' } }],
    ['too large', 413, { headers: { 'content-length': '999999999' } }],
    ['another method than in the body', 400, { headers: { 'mcp-method': 'tools/list' } }, -32020],
    ['another name than in the body', 400, { headers: { 'mcp-name': 'listModels' } }, -32020],
    ['another version than in the body', 400, { headers: { 'mcp-protocol-version': '2025-11-25' } }, -32020],
    ['no method', 400, { headers: { 'mcp-method': undefined } }, -32020],
    ['no session', 400, {}, -32600, ping],
    ['an unknown session', 404, { headers: { 'mcp-session-id': 'x' } }, -32600, ping],
  ]
  for (const [name, status, options, code, own = call] of rows) {
    const { messages, ...got } = await server.post(0, own.body, {
      ...options,
      headers: { ...own.headers, ...options.headers },
    })
    stage.equal(got.status, status, `over HTTP, ${name}`)
    if (code !== undefined) stage.equal(messages.flat()[0]?.error?.code, code, `over HTTP, the code of ${name}`)
  }
}

/** What would be open to everybody does not start. */
async function startsRefused(stage: Stage): Promise<void> {
  const token = { GATEWAY_HTTP_TOKEN: stage.key('unused') }
  const rows: [name: string, args: string[], env: Record<string, string>][] = [
    ['no token', [], {}],
    ['every address and no name', ['--host', '0.0.0.0'], token],
    ['every address and no token', ['--host', '0.0.0.0', '--allow-host', 'a.example.com', '--without-token'], {}],
  ]
  for (const [name, args, env] of rows) {
    const child = spawn(process.execPath, [program, 'http', '--port', '0', ...args], {
      env: { PATH: process.env['PATH'] ?? '', LOG_LEVEL: 'silent', ...env },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    stage.after(() => child.kill('SIGKILL'))
    child.stderr.on('data', (chunk: Buffer) => stage.scan(chunk, 'on stderr of a start that is refused'))
    const late = delay(10_000).then(() => 'still running')
    stage.equal(await Promise.race([new Promise((resolve) => child.on('exit', resolve)), late]), 1, `started: ${name}`)
  }
}

/** Heads that come a byte a second; resolves to the milliseconds until the last of them was closed. */
async function slowHeads(stage: Stage, { port }: HttpServer): Promise<number> {
  const startedMs = performance.now()
  const drips: NodeJS.Timeout[] = []
  const closed = Array.from({ length: slowSockets }, async (_, at) => {
    const socket = connect(port, '127.0.0.1')
    stage.after(() => socket.destroy())
    socket.on('error', () => {})
    socket.resume()
    socket.write(at % 2 === 0 ? 'POST /mcp HTTP/1.1\r\nX-Slow: ' : 'P')
    const rest = at % 2 === 0 ? 'x'.repeat(60) : `OST /mcp HTTP/1.1\r\nX: ${'x'.repeat(60)}`
    let sent = 0
    drips.push(setInterval(() => socket.writable && socket.write(rest[sent++] ?? 'x'), 1_000))
    await new Promise((resolve) => socket.once('close', resolve))
  })
  const late = delay(30_000).then(() => 'late')
  const outcome = await Promise.race([Promise.all(closed).then(() => 'closed'), late])
  for (const drip of drips) clearInterval(drip)
  stage.equal(outcome, 'closed', 'connections whose head never ends, after 30 s')
  return performance.now() - startedMs
}

/** Each is served or told to come back; resolves to how many were. */
async function manyAtOnce(stage: Stage, server: HttpServer, upstream: Upstream): Promise<string> {
  const files = Number(/^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? 0)
  if (files < storm + 1_000) throw notRun(`a process may open ${files} files here, and ${storm} connections are needed`)
  const counts: Record<string, number> = {}
  const count = (outcome: string) => void (counts[outcome] = (counts[outcome] ?? 0) + 1)
  const params = { name: 'createCompletion', arguments: { model: 'a/tiny', prompt: 'storm' } }
  await Promise.all(
    Array.from({ length: storm }, async (_, id) => {
      const { body, headers } = modern('tools/call', params, { id })
      const got = await server.post(0, body, { headers }).catch((error: Error) => error)
      if (got instanceof Error) return count(`unanswered: ${got.message}`)
      const [message] = got.messages.flat()
      if (got.status === 503) count(got.headers['retry-after'] === '1' ? 'told to come back' : 'told nothing')
      else if (got.status === 200 && message?.id === id && textIn(got) === 'said to storm') count('served')
      else count(`status ${got.status}`)
    }),
  )
  const { served = 0, 'told to come back': refused = 0, ...others } = counts
  stage.equal(others, {}, `of ${storm} calls at once, neither served nor told to come back`)
  stage.expect(refused > 0 && served > 0, `of ${storm} calls at once, ${served} were served and ${refused} refused`)
  stage.equal(upstream.calls().length, served, 'requests that reached the provider, of those that were served')
  return `of ${storm} calls at once ${served} served, ${refused} told to come back`
}
