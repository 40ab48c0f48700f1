import type { ChildProcess } from 'node:child_process'
import { endChild } from './children.ts'

/** An MCP client that costs as little as possible, so that what is measured is the server. */

export type Reply = {
  /** When its last byte had come, in milliseconds of `performance.now`. */
  atMs: number
  bytes: number
  text(): string
}

export type Peer = {
  child: ChildProcess
  /** Opens the session. */
  open(): Promise<Reply>
  /** Sends a request of whatever method and resolves with the line of its answer. */
  request(method: string, params: object): Promise<Reply>
  /** Calls createCompletion; with a listener, its progress is asked for. */
  call(args: object, onProgress?: (message: string) => void): Promise<Reply>
  /** Sends a line as it is: for requests that are too large to build while the clock runs. */
  send(line: Uint8Array, id: number): Promise<Reply>
  /** Takes back the newest request. */
  cancel(): void
  /** Messages that came for a request after it was taken back. */
  strays(): number
  end(): Promise<void>
}

type Waiter = { resolve(reply: Reply): void; reject(error: Error): void }

const answerTimeoutMs = 30_000
const newline = 0x0a
/** Where an answer's id stands; large answers are not parsed while the clock runs. */
const headBytes = 160

export const protocolVersion = '2025-11-25'

/** A request as the bytes of its line. */
export function encodeRequest(id: number, method: string, params: object): Uint8Array {
  return Buffer.from(`${JSON.stringify({ jsonrpc: '2.0', id, method, params })}\n`)
}

/** Speaks to a server that was just started, over its pipes. */
export function startPeer(child: ChildProcess): Peer {
  const { stdin, stdout } = child
  if (!stdin || !stdout) throw new Error('a server without pipes cannot be measured')
  const waiting = new Map<number, Waiter>()
  const listeners = new Map<number, (message: string) => void>()
  const cancelled = new Set<number>()
  let strays = 0
  let nextId = 1
  let newest = 0
  let held: Buffer[] = []

  const read = (line: Buffer) => {
    const atMs = performance.now()
    const head = line.toString('latin1', 0, headBytes)
    const id = Number(/"id":(\d+)/.exec(head)?.[1])
    const waiter = waiting.get(id)
    if (waiter) {
      waiting.delete(id)
      listeners.delete(id)
      const failed = line.includes('"isError"') || head.includes('"error"')
      if (failed) waiter.reject(new Error(`a measured call failed: ${line.toString('utf8', 0, 600)}`))
      else waiter.resolve({ atMs, bytes: line.length, text: () => line.toString('utf8') })
    } else if (head.includes('notifications/progress')) {
      const { progressToken, message } = JSON.parse(line.toString('utf8')).params
      if (cancelled.has(progressToken)) strays += 1
      else if (message !== undefined) listeners.get(progressToken)?.(message)
    } else if (cancelled.has(id)) strays += 1
  }
  stdout.on('data', (chunk: Buffer) => {
    let start = 0
    for (let end = chunk.indexOf(newline); end !== -1; end = chunk.indexOf(newline, start)) {
      held.push(chunk.subarray(start, end))
      read(held.length === 1 ? (held[0] as Buffer) : Buffer.concat(held))
      held = []
      start = end + 1
    }
    if (start < chunk.length) held.push(chunk.subarray(start))
  })
  child.once('exit', (code) => {
    for (const { reject } of waiting.values()) reject(new Error(`a measured server ended (${code}) with calls open`))
  })

  const send = (line: Uint8Array | string, id: number) =>
    new Promise<Reply>((resolve, reject) => {
      newest = id
      const timer = setTimeout(() => reject(new Error('a measured call was not answered in time')), answerTimeoutMs)
      waiting.set(id, {
        resolve(reply) {
          clearTimeout(timer)
          resolve(reply)
        },
        reject(error) {
          clearTimeout(timer)
          reject(error)
        },
      })
      stdin.write(line)
    })
  const request = (method: string, params: object, id = nextId++) =>
    send(`${JSON.stringify({ jsonrpc: '2.0', id, method, params })}\n`, id)

  return {
    child,
    async open() {
      const answer = await request('initialize', {
        protocolVersion,
        capabilities: {},
        clientInfo: { name: 'bench', version: '1' },
      })
      stdin.write('{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
      return answer
    },
    request,
    call(args, onProgress) {
      const id = nextId++
      if (onProgress) listeners.set(id, onProgress)
      const meta = onProgress ? { _meta: { progressToken: id } } : {}
      return request('tools/call', { name: 'createCompletion', arguments: args, ...meta }, id)
    },
    send,
    cancel() {
      // Nothing may come for this id any more: whoever waits for it is let go.
      waiting.get(newest)?.resolve({ atMs: performance.now(), bytes: 0, text: () => '' })
      waiting.delete(newest)
      listeners.delete(newest)
      cancelled.add(newest)
      const params = { requestId: newest }
      stdin.write(`${JSON.stringify({ jsonrpc: '2.0', method: 'notifications/cancelled', params })}\n`)
    },
    strays: () => strays,
    end: () => endChild(child),
  }
}
