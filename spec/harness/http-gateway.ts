import { type ChildProcess, spawn } from 'node:child_process'
import { request as sendRequest } from 'node:http'
import { connect } from 'node:net'
import type { TestContext } from 'node:test'
import { type Json, type Message, modernMeta, program } from './gateway.ts'

/** The built program, reached over HTTP. */

export const token = 'token-of-the-spec-0123456789'

export type Endpoint = { port: number; url: string; token?: string }

export type HttpGateway = Endpoint & {
  child: ChildProcess
  /** Everything on stdout and stderr. */
  output: Buffer[]
  /** Resolves to the exit code. */
  ended: Promise<number | null>
}

const startMs = 30_000

/** Starts `genai-gateway-mcp http` on a free port, with a token unless the environment says otherwise; rejects if it does not start. */
export async function startHttpGateway(
  env: Readonly<Record<string, string>> = {},
  args: readonly string[] = [],
): Promise<HttpGateway> {
  const child = spawn(process.execPath, [program, 'http', '--port', '0', ...args], {
    env: { PATH: process.env['PATH'] ?? '', GATEWAY_HTTP_TOKEN: token, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const output: Buffer[] = []
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve))
  child.stdout.on('data', (chunk: Buffer) => output.push(chunk))
  const url = await new Promise<string>((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      reject(new Error(`it did not start: ${Buffer.concat(output)}`))
    }, startMs)
    child.stderr.on('data', (chunk: Buffer) => {
      output.push(chunk)
      const found = /serves MCP at (\S+)/.exec(Buffer.concat(output).toString('latin1'))?.[1]
      if (found === undefined) return
      clearTimeout(timer)
      resolve(found)
    })
    void ended.then(() => reject(new Error(`it did not start: ${Buffer.concat(output)}`)))
  })
  return { child, output, ended, url, port: Number(new URL(url).port) }
}

/** The same, gone when the test is over. */
export async function httpGatewayFor(
  t: TestContext,
  env: Record<string, string> = {},
  args: readonly string[] = [],
): Promise<HttpGateway> {
  const gateway = await startHttpGateway(env, args)
  t.after(() => gateway.child.kill('SIGKILL'))
  return gateway
}

export type Posted = {
  status: number
  headers: Record<string, string | string[] | undefined>
  text: string
  /** What it says, as JSON or as events; whatever is no message fails the test. */
  messages: (Message | Message[])[]
}

export type PostOptions = {
  method?: string
  path?: string
  /** Beside those that every client sends; undefined leaves one of those out. */
  headers?: Record<string, string | undefined>
  signal?: AbortSignal
  /** Called with each event as it comes. */
  onMessage?: (message: Message) => void
}

/** Sends a body, JSON unless it is a text, and resolves when the answer is whole; rejects when it breaks off. */
export function post(
  { port, token: own = token }: Endpoint,
  body: object | string | Uint8Array | undefined,
  { method = 'POST', path = '/mcp', headers = {}, signal, onMessage = () => {} }: PostOptions = {},
): Promise<Posted> {
  const usual = {
    authorization: `Bearer ${own}`,
    accept: 'application/json, text/event-stream',
    'content-type': 'application/json',
  }
  const given = Object.entries({ ...usual, ...headers }).filter(([, value]) => value !== undefined)
  // A connection of its own, which nothing that was refused before can have spoilt.
  const to = { host: '127.0.0.1', agent: false } as const
  return new Promise((resolve, reject) => {
    const request = sendRequest(
      { ...to, port, method, path, headers: Object.fromEntries(given) as Record<string, string>, signal },
      (response) => {
        const type = response.headers['content-type'] ?? ''
        let text = ''
        let read = 0
        response.setEncoding('utf8')
        response.on('data', (piece: string) => {
          text += piece
          if (type !== 'text/event-stream') return
          for (const message of eventsIn(text).slice(read)) {
            read += 1
            onMessage(message as Message)
          }
        })
        response.on('error', reject)
        response.on('end', () => {
          const messages = type === 'application/json' ? [JSON.parse(text)] : eventsIn(text)
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text, messages })
        })
      },
    )
    request.on('error', reject)
    request.end(
      body === undefined || typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body),
    )
  })
}

function eventsIn(text: string): (Message | Message[])[] {
  const blocks = text.split('\n\n').slice(0, -1)
  return blocks
    .filter((block) => !block.startsWith(':'))
    .map((block) => {
      const [, data] = /^event: message\ndata: (.*)$/.exec(block) ?? []
      if (data === undefined) throw new Error(`no event: ${JSON.stringify(block)}`)
      return JSON.parse(data)
    })
}

/** A request of 2026-07-28 with the headers that repeat what it says. */
export function modern(
  method: string,
  params: Json = {},
  { id = 1, meta = {} }: { id?: string | number; meta?: Json } = {},
): { body: Json; headers: Record<string, string> } {
  const name = params['name'] ?? params['uri']
  return {
    body: { jsonrpc: '2.0', id, method, params: { ...params, _meta: { ...modernMeta, ...meta } } },
    headers: {
      'mcp-protocol-version': '2026-07-28',
      'mcp-method': method,
      ...(typeof name === 'string' ? { 'mcp-name': name } : {}),
    },
  }
}

/** The bytes of such a request, for whoever does with a connection what no client does. */
export function bytesOf({ port }: Endpoint, { body, headers }: ReturnType<typeof modern>): string {
  const text = JSON.stringify(body)
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`)
  return [
    'POST /mcp HTTP/1.1',
    `Host: 127.0.0.1:${port}`,
    `Authorization: Bearer ${token}`,
    'Content-Type: application/json',
    'Accept: */*',
    ...lines,
    `Content-Length: ${Buffer.byteLength(text)}`,
    '',
    text,
  ].join('\r\n')
}

/** Asks a model in the stateless era; with a token for progress the answer is a stream. */
export function ask(
  endpoint: Endpoint,
  prompt: string,
  { id = 1, progressToken, ...options }: PostOptions & { id?: string | number; progressToken?: string | number } = {},
): Promise<Posted> {
  const meta = progressToken === undefined ? {} : { progressToken }
  const { body, headers } = modern('tools/call', { name: 'createCompletion', arguments: { prompt } }, { id, meta })
  return post(endpoint, body, { ...options, headers: { ...headers, ...options.headers } })
}

/** A session of the handshake era. */
export type Session = {
  id: string
  request(method: string, params?: Json, options?: PostOptions & { id?: string | number }): Promise<Posted>
  notify(method: string, params?: Json): Promise<Posted>
}

export async function openSession(endpoint: Endpoint, protocolVersion = '2025-11-25'): Promise<Session> {
  const clientInfo = { name: 'spec', version: '1' }
  const params = { protocolVersion, capabilities: {}, clientInfo }
  const opened = await post(endpoint, { jsonrpc: '2.0', id: 0, method: 'initialize', params })
  const id = String(opened.headers['mcp-session-id'])
  const own = { 'mcp-session-id': id }
  let nextId = 1
  return {
    id,
    request: (method, params, { id: given = nextId++, ...options } = {}) =>
      post(
        endpoint,
        { jsonrpc: '2.0', id: given, method, ...(params ? { params } : {}) },
        { ...options, headers: { ...own, ...options.headers } },
      ),
    notify: (method, params) =>
      post(endpoint, { jsonrpc: '2.0', method, ...(params ? { params } : {}) }, { headers: own }),
  }
}

/** After what was waited for, time for what must not follow it. */
const afterthoughtMs = 60

/** What a server says to raw bytes until it closes the connection, has said enough, or the time is over. */
export function rawly(
  { port }: Endpoint,
  bytes: string,
  {
    host = '127.0.0.1',
    halfClose = false,
    patienceMs = 5_000,
    enough = () => false,
  }: { host?: string; halfClose?: boolean; patienceMs?: number; enough?: (said: string) => boolean } = {},
): Promise<{ said: string; closed: boolean; afterMs: number }> {
  return new Promise((resolve) => {
    const startedMs = performance.now()
    const socket = connect(port, host)
    let said = ''
    const settle = (closed: boolean) => {
      clearTimeout(timer)
      socket.destroy()
      resolve({ said, closed, afterMs: performance.now() - startedMs })
    }
    let timer = setTimeout(settle, patienceMs, false)
    socket.setEncoding('latin1').on('data', (text: string) => {
      said += text
      if (!enough(said)) return
      clearTimeout(timer)
      timer = setTimeout(settle, afterthoughtMs, false)
    })
    socket.on('error', () => {})
    socket.on('close', () => settle(true))
    socket.write(bytes, 'latin1')
    if (halfClose) socket.end()
  })
}
