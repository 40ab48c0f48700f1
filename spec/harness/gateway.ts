import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** The built program, driven over its own pipes. */

export const program = fileURLToPath(new URL('../../dist/genai-gateway-mcp.mjs', import.meta.url))

export type Json = Record<string, unknown>
export type Message = {
  jsonrpc: '2.0'
  id?: string | number
  method?: string
  params?: Json
  result?: Json
  error?: { code: number; message: string; data?: unknown }
}

export type Gateway = {
  child: ChildProcessWithoutNullStreams
  /** Every message of stdout so far, in order; a batch answer is an array. */
  messages: (Message | Message[])[]
  /** When each of them arrived, in milliseconds on performance's clock. */
  arrivals: number[]
  /** Lines of stdout that were no JSON. Must stay empty. */
  garbage: string[]
  stderr(): string
  /** Writes one message, or raw text as it is. */
  send(message: object | string | Uint8Array): void
  /** Sends a request and resolves with its answer; the id is chosen here unless it is given. */
  request(method: string, params?: Json, id?: string | number): Promise<Message>
  /** The first message, past or future, that the test accepts; rejects after the time. */
  find(accepts: (message: Message) => boolean, timeoutMs?: number): Promise<Message>
  /** Ends the input and resolves with how the program ended. */
  end(): Promise<{ code: number | null; signal: NodeJS.Signals | null }>
  /** Resolves when the program has ended by itself. */
  exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>
}

/** Starts the built gateway with nothing in its environment but PATH, HOME and what is given. */
export function startGateway(
  env: Record<string, string> = {},
  command: readonly string[] = [program],
  executable: string = process.execPath,
): Gateway {
  const child = spawn(executable, command, {
    env: { PATH: process.env['PATH'] ?? '', HOME: process.env['HOME'] ?? '', ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const messages: (Message | Message[])[] = []
  const garbage: string[] = []
  const arrivals: number[] = []
  let waiting: { accepts(message: Message): boolean; resolve(message: Message): void }[] = []
  const partial: string[] = []
  let complaints = ''
  let nextId = 1000

  child.stdin.on('error', () => {})
  child.stderr.setEncoding('utf8').on('data', (text: string) => (complaints += text))
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const [rest = '', ...begun] = text.split('\n').reverse()
    // Joined once a line, because a line may be megabytes long.
    const lines = begun.reverse().map((line) => [...partial.splice(0), line].join(''))
    partial.push(rest)
    for (const line of lines) {
      let message: Message | Message[]
      try {
        message = JSON.parse(line)
      } catch {
        garbage.push(line)
        continue
      }
      messages.push(message)
      arrivals.push(performance.now())
      for (const one of [message].flat()) {
        const found = waiting.filter(({ accepts }) => accepts(one))
        waiting = waiting.filter((waiter) => !found.includes(waiter))
        for (const { resolve } of found) resolve(one)
      }
    }
  })
  const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.on('exit', (code, signal) => resolve({ code, signal }))
  })

  const gateway: Gateway = {
    child,
    messages,
    arrivals,
    garbage,
    exited,
    stderr: () => complaints,
    send(message) {
      const raw = typeof message === 'string' || message instanceof Uint8Array
      child.stdin.write(raw ? message : `${JSON.stringify(message)}\n`)
    },
    request(method, params, id = nextId++) {
      const answer = gateway.find((message) => message.id === id && message.method === undefined)
      gateway.send({ jsonrpc: '2.0', id, method, ...(params ? { params } : {}) })
      return answer
    },
    find(accepts, timeoutMs = 20_000) {
      const past = messages.flat().find(accepts)
      if (past) return Promise.resolve(past)
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          reject(new Error(`no such message within ${timeoutMs} ms; stderr: ${complaints.slice(-500)}`))
        }, timeoutMs)
        waiting.push({
          accepts,
          resolve(message) {
            clearTimeout(timer)
            resolve(message)
          },
        })
      })
    },
    end() {
      child.stdin.end()
      return exited
    },
  }
  return gateway
}

/** Opens a session of the handshake era. */
export async function handshake(gateway: Gateway, protocolVersion = '2025-11-25'): Promise<Message> {
  const answer = await gateway.request('initialize', {
    protocolVersion,
    capabilities: {},
    clientInfo: { name: 'spec', version: '1' },
  })
  gateway.send({ jsonrpc: '2.0', method: 'notifications/initialized' })
  return answer
}

/** The `_meta` that every request of revision 2026-07-28 carries. */
export const modernMeta = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientCapabilities': {},
}

/** Calls a tool in the stateless era and resolves with its result. */
export async function callTool(gateway: Gateway, name: string, args: Json, meta: Json = {}): Promise<Json> {
  const answer = await gateway.request('tools/call', { name, arguments: args, _meta: { ...modernMeta, ...meta } })
  if (!answer.result) throw new Error(`JSON-RPC error ${JSON.stringify(answer.error)}`)
  return answer.result
}
