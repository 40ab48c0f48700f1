import { type ChildProcess, spawn } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'
import { modernMeta, program } from '../../spec/harness/gateway.ts'
import { errorOf } from './checker.ts'
import { deliveryOf, type History, type Id, type Line, type Message, messagesOf } from './history.ts'
import { cpuOf, socketsOf, statusOf, waitOf } from './processes.ts'

/** The built gateway, driven byte by byte over its own pipes, and the history of it. */

export type Era = '2025-11-25' | '2026-07-28'
export type End = { code: number | null; signal: NodeJS.Signals | null }
export type Arguments = Readonly<Record<string, unknown>>

/** What came of a request; nothing if it was cancelled or the gateway has gone. */
export type Answer = {
  message: Message | undefined
  tookMs: number
  /** Text of a whole answer, or of a partial one. */
  text: string
  isError: boolean
  code?: string | undefined
  cause?: string | undefined
  /** All that `_meta["genai-gateway/error"]` says. */
  fault: Readonly<Record<string, unknown>>
  structured: Readonly<Record<string, unknown>>
}

export type RequestOptions = { id?: Id; token?: Id; era?: Era; prompt?: string; limitMs?: number; patienceMs?: number }

export type Driver = {
  pid: number
  child: ChildProcess
  history: History
  /** The model that a call goes to when it names none. */
  model: string
  write(bytes: string | Uint8Array): Promise<void>
  request(method: string, params?: Arguments, options?: RequestOptions): Promise<Answer>
  /** Asks a model; the prompt is one of its own unless it is given. */
  ask(args?: Arguments, options?: RequestOptions): Promise<Answer>
  tool(name: string, args?: Arguments, options?: RequestOptions): Promise<Answer>
  /** A call that is refused for its arguments: what the gateway loads late is loaded then. */
  warm(): Promise<unknown>
  cancel(id: Id): void
  /** A request that shows that the gateway serves, and how soon. */
  ping(): Promise<Answer>
  nextId(): string
  /** The next line of stdout that has not been looked at, parsed; undefined when none comes in time. */
  lines(): Line[]
  stdoutBytes(): Buffer[]
  stderrBytes(): Buffer[]
  stderr(): string
  /** Stops and resumes reading what the gateway says. */
  pause(): void
  resume(): void
  /** Reads at most so many bytes while reading is stopped. */
  take(bytes: number): void
  sockets(): number
  rssMb(): number
  peakRssMb(): number
  cpuMs(): number
  /** How long its main thread was ready to work and had no processor. */
  waitedMs(): number
  alive(): boolean
  exited: Promise<End>
  end(): Promise<End>
  kill(signal: NodeJS.Signals): void
}

export type DriverOptions = {
  env: Readonly<Record<string, string>>
  model: string
  era: Era
  maxAttempts: number
  /** Arguments of Node before the program. */
  node?: readonly string[]
  cwd?: string
  /** Another command that runs what follows it. */
  wrapper?: readonly string[]
  stdio?: { stdout?: number; stderr?: number }
}

const startPatienceMs = 30_000

export async function startDriver({
  env,
  model,
  era,
  maxAttempts,
  node = [],
  wrapper = [],
  stdio = {},
  cwd,
}: DriverOptions): Promise<Driver> {
  const [command = process.execPath, ...rest] = [...wrapper, process.execPath, ...node, program]
  const child = spawn(command, rest, {
    env: { PATH: process.env['PATH'] ?? '', HOME: process.env['HOME'] ?? '', ...env },
    ...(cwd === undefined ? {} : { cwd }),
    stdio: ['pipe', stdio.stdout ?? 'pipe', stdio.stderr ?? 'pipe'],
  })
  const stdin = child.stdin as Writable
  stdin.on('error', () => {})
  stdin.setMaxListeners(0)
  const history: History = {
    requests: [],
    cancels: [],
    lines: [],
    rest: Buffer.alloc(0),
    raw: false,
    cutShort: false,
    attempts: new Map(),
    maxAttempts,
    owed: new Map(),
  }
  const waiting = new Map<string, (found: { message: Message; atMs: number }) => void>()
  const complaints: Buffer[] = []
  let order = 0
  let ids = 0

  let held: Buffer[] = []
  const stdout = child.stdout as Readable | null
  stdout?.on('data', (chunk: Buffer) => {
    let from = 0
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, from)) {
      const line: Line = {
        at: order++,
        atMs: performance.now(),
        bytes: Buffer.concat([...held, chunk.subarray(from, end)]),
      }
      held = []
      from = end + 1
      history.lines.push(line)
      for (const message of messagesOf(line)) {
        if (message?.method !== undefined || message?.id === undefined) continue
        waiting.get(JSON.stringify(message.id))?.({ message, atMs: line.atMs })
        waiting.delete(JSON.stringify(message.id))
      }
    }
    if (from < chunk.length) held.push(chunk.subarray(from))
    history.rest = held.length === 0 ? Buffer.alloc(0) : (held.at(-1) as Buffer)
  })
  child.stderr?.on('data', (chunk: Buffer) => complaints.push(chunk))
  const exited = new Promise<End>((resolve) => {
    const finish = (code: number | null, signal: NodeJS.Signals | null) => resolve({ code, signal })
    child.on('close', finish)
    child.on('error', () => finish(null, null))
  })

  const driver: Driver = {
    pid: child.pid ?? 0,
    child,
    history,
    model,
    exited,
    nextId: () => `r${++ids}`,
    write(bytes) {
      history.raw = true
      return written(stdin, bytes)
    },
    request(
      method,
      params = {},
      { id = driver.nextId(), token, era: own = era, prompt, limitMs, patienceMs = 60_000 } = {},
    ) {
      const modern = own === '2026-07-28' && method !== 'initialize' && method !== 'ping'
      const _meta = { ...(modern ? modernMeta : {}), ...(token === undefined ? {} : { progressToken: token }) }
      const sentMs = performance.now()
      history.requests.push({ at: order++, atMs: sentMs, id, method, token, prompt, limitMs })
      const answer = new Promise<Answer>((resolve) => {
        const timer = setTimeout(() => resolve(answerOf(undefined, performance.now() - sentMs)), patienceMs)
        void exited.then(() => {
          clearTimeout(timer)
          resolve(answerOf(undefined, performance.now() - sentMs))
        })
        waiting.set(JSON.stringify(id), ({ message, atMs }) => {
          clearTimeout(timer)
          resolve(answerOf(message, atMs - sentMs))
        })
      })
      void written(
        stdin,
        `${JSON.stringify({ jsonrpc: '2.0', id, method, params: Object.keys(_meta).length > 0 ? { ...params, _meta } : params })}\n`,
      )
      return answer
    },
    ask(args = {}, options = {}) {
      const prompt =
        typeof args['prompt'] === 'string' ? args['prompt'] : (options.prompt ?? `prompt ${child.pid}-${++ids}`)
      const own = args['messages'] === undefined ? { prompt } : {}
      const limit =
        typeof args['timeout'] === 'number' && args['timeout'] > 0 ? { limitMs: args['timeout'] * 1000 } : {}
      return driver.tool('createCompletion', { model, ...own, ...args }, { prompt, ...limit, ...options })
    },
    tool: (name, args = {}, options = {}) => driver.request('tools/call', { name, arguments: args }, options),
    warm: () => driver.tool('createCompletion'),
    cancel(id) {
      history.cancels.push({ at: order++, id })
      void written(
        stdin,
        `${JSON.stringify({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: id } })}\n`,
      )
    },
    ping: () => (era === '2026-07-28' ? driver.request('server/discover') : driver.request('ping')),
    lines: () => history.lines,
    stdoutBytes: () => [...history.lines.map(({ bytes }) => bytes), ...held],
    stderrBytes: () => complaints,
    stderr: () => Buffer.concat(complaints).toString('utf8'),
    pause: () => void stdout?.pause(),
    resume: () => void stdout?.resume(),
    take: (bytes) => void (stdout?.read(bytes) ?? stdout?.read()),
    sockets: () => socketsOf(driver.pid),
    rssMb: () => statusOf(driver.pid, 'VmRSS') / 1024,
    peakRssMb: () => statusOf(driver.pid, 'VmHWM') / 1024,
    cpuMs: () => cpuOf(driver.pid),
    waitedMs: () => waitOf(driver.pid),
    alive: () => child.exitCode === null && child.signalCode === null,
    end() {
      stdin.end()
      return exited
    },
    kill: (signal) => void child.kill(signal),
  }
  if (era === '2025-11-25') {
    await driver.request(
      'initialize',
      { protocolVersion: era, capabilities: {}, clientInfo: { name: 'scorecard', version: '1' } },
      { patienceMs: startPatienceMs },
    )
    void written(stdin, '{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
  } else await driver.request('server/discover', {}, { patienceMs: startPatienceMs })
  return driver
}

function answerOf(message: Message | undefined, tookMs: number): Answer {
  const result = message?.result ?? {}
  const fault = errorOf(result) ?? {}
  return {
    message,
    tookMs,
    text: deliveryOf(result).text,
    isError: result['isError'] === true,
    code: fault['code'] as string | undefined,
    cause: fault['cause'] as string | undefined,
    fault,
    structured: (result['structuredContent'] ?? {}) as Record<string, unknown>,
  }
}

function written(stream: Writable, bytes: string | Uint8Array): Promise<void> {
  if (stream.destroyed || stream.write(bytes)) return Promise.resolve()
  return new Promise((resolve) => {
    const settle = () => {
      stream.off('drain', settle)
      stream.off('close', settle)
      resolve()
    }
    stream.on('drain', settle)
    stream.on('close', settle)
  })
}
