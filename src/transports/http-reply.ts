import type { ServerResponse } from 'node:http'
import type { Outlet } from '../rpc/dispatcher.ts'
import { encodeMessage, type Redact } from '../rpc/encoder.ts'
import type { Outgoing } from '../rpc/message.ts'

/** The answer to one POST, as an outlet for what is said in it. */
export type Reply = Outlet & {
  /** Says that what came was taken note of, and wants no answer. */
  accept(): void
  /** Nothing more will be said. A call that was cancelled before anything was said of it gets an empty stream. */
  end(): void
}

export type ReplyOptions = {
  redact: Redact
  /** Headers of an answer, known when it begins. */
  headers(): Readonly<Record<string, string>>
  /** The status of an answer that is the only thing said. */
  statusOf(answer: Outgoing): number
  /** Silence after which the answer becomes a stream, so that nobody takes it for lost. */
  patienceMs: number
  /** Silence in a stream after which a comment goes out, which proxies and clients count as life. */
  commentMs: number
}

/** Of a model's words nothing may be kept on the way. */
export const unkept = { 'cache-control': 'no-store' }

/**
 * JSON where the answer is the first thing said. Where a notification comes before it, or time passes, the answer is a
 * stream of server-sent events that ends with it.
 */
export function createReply(response: ServerResponse, options: ReplyOptions): Reply {
  const { redact, headers, statusOf, patienceMs, commentMs } = options
  let full = false
  let waiting: (() => void)[] = []
  const resume = () => {
    full = false
    const resumed = waiting
    waiting = []
    for (const goOn of resumed) goOn()
  }
  response.on('drain', resume)
  response.on('close', () => {
    clearTimeout(timer)
    resume()
  })
  // Its connection tells what matters; without a listener it would end the program.
  response.on('error', () => {})

  const write = (text: string) => {
    if (response.destroyed || response.writableEnded) return
    full = !response.write(text)
    timer.refresh()
  }
  const stream = () => {
    if (response.headersSent) return
    response.writeHead(200, {
      ...headers(),
      ...unkept,
      'content-type': 'text/event-stream',
      'x-accel-buffering': 'no',
    })
    response.flushHeaders()
    clearTimeout(timer)
    timer = setInterval(comment, commentMs)
  }
  const comment = () => {
    stream()
    if (!full) write(':\n\n')
  }
  let timer: NodeJS.Timeout = setTimeout(comment, patienceMs)

  return {
    send(message) {
      const line = encodeMessage(message, redact)
      if (response.headersSent || 'method' in message) {
        stream()
        return write(`event: message\ndata: ${line}\n\n`)
      }
      response.writeHead(statusOf(message), {
        ...headers(),
        ...unkept,
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(line),
      })
      response.end(line)
    },
    congested: () => full,
    drained: () => (full ? new Promise<void>((resolve) => waiting.push(resolve)) : Promise.resolve()),
    accept() {
      clearTimeout(timer)
      if (!response.headersSent) response.writeHead(202, { ...headers(), ...unkept, 'content-length': 0 })
      response.end()
    },
    end() {
      stream()
      clearTimeout(timer)
      response.end()
    },
  }
}
