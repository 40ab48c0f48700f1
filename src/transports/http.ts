import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { createDispatcher, type Dispatcher, type Handlers, type InFlight } from '../rpc/dispatcher.ts'
import { encodeMessage, type Redact } from '../rpc/encoder.ts'
import { defaultLimits, parseFrame } from '../rpc/framer.ts'
import {
  failure,
  invalidRequest,
  type Outgoing,
  parseError,
  type Response,
  RpcError,
  readMessage,
} from '../rpc/message.ts'
import { crashExitCode, drainMs, finishInFlight, graceMs, onEnding, settlesWithin } from './ending.ts'
import { type Authority, checkHead, healthPath, pathOf, type Refused, tooLarge } from './http-checks.ts'
import { createReply, unkept } from './http-reply.ts'

/** The value of a header, by its name in lower case. */
export type Headers = (name: string) => string | undefined

/** Whom a message is for and how it is answered, or the answer why it is not taken. */
export type Admission =
  | {
      handlers: Handlers
      inFlight: InFlight
      /** Headers of the answer, asked for when it begins. */
      headers(): Readonly<Record<string, string>>
      statusOf(answer: Outgoing): number
    }
  | { status: number; refusal: Response }

/** What a protocol over JSON-RPC has to say about requests that carry its messages. */
export type Protocol = {
  admit(message: unknown, headers: Headers, caller: string): Admission
  /** Ends what a DELETE names, and says the status. */
  end(headers: Headers, caller: string): number
}

export type HttpLimits = {
  /** Beyond these nobody is let in, not even to be told so. */
  maxConnections: number
  /** Requests of JSON-RPC at work; one more is told to come back. */
  maxInFlight: number
  maxBodyBytes: number
  /** Of all bodies that are being read together. */
  maxUnreadBytes: number
  /** For the head of a request, for the whole of it, and for a connection that carries none. */
  headMs: number
  requestMs: number
  idleMs: number
  /** For a reader that takes nothing. */
  stalledMs: number
  /** Silence before an answer becomes a stream, and between its comments. */
  patienceMs: number
  commentMs: number
}

export const defaultHttpLimits: HttpLimits = {
  maxConnections: 16_384,
  maxInFlight: 256,
  maxBodyBytes: defaultLimits.maxLineBytes,
  maxUnreadBytes: 128 * 1024 * 1024,
  headMs: 10_000,
  requestMs: 60_000,
  idleMs: 30_000,
  stalledMs: 120_000,
  patienceMs: 5_000,
  commentMs: 15_000,
}

export type HttpOptions = {
  host: string
  port: number
  /** Further names under which the server may be reached; its own at loopback always are. */
  authorities: readonly Authority[]
  /** Who comes with a bearer token, or without one; undefined if nobody who may. */
  identify(token: string | undefined): string | undefined
  redact: Redact
  limits?: Partial<HttpLimits>
}

export type HttpServer = {
  port: number
  /** Lets nobody in any more, and ends when what was asked is answered. */
  close(patienceMs: number): Promise<void>
  /** Cancels everything. */
  abandon(): void
}

const loopbackNames = ['localhost', '127.0.0.1', '[::1]']
const retry = { 'retry-after': '1' }
const full: Refused = { status: 503, sentence: 'too much is asked at once', headers: retry }
const closing: Refused = { status: 503, sentence: 'the server is about to end', headers: retry }
/** How long a client that is refused may go on sending, so that it comes to read why. */
const lingerMs = 2_000

/** Serves a protocol over HTTP. Rejects where the address cannot be listened on. */
export async function startHttp(protocol: Protocol, options: HttpOptions): Promise<HttpServer> {
  const { createServer } = await import('node:http')
  const limits = { ...defaultHttpLimits, ...options.limits }
  /** What each connection has asked, as what withdraws it: an answer that waits behind another one hears no end of its own. */
  const asked = new Map<Socket, Set<() => void>>()
  const dispatchers = new Set<Dispatcher>()
  const answers = new Set<Promise<void>>()
  let unreadBytes = 0
  let atWork = 0
  let isClosing = false

  const server: Server = createServer({
    headersTimeout: limits.headMs,
    requestTimeout: limits.requestMs,
    keepAliveTimeout: limits.idleMs,
    connectionsCheckingInterval: Math.min(1_000, limits.headMs),
    keepAlive: true,
  })
  server.maxConnections = limits.maxConnections
  server.timeout = limits.stalledMs
  server.on('connection', (socket) => {
    const withdrawals = new Set<() => void>()
    asked.set(socket, withdrawals)
    socket.once('close', () => {
      asked.delete(socket)
      for (const withdraw of withdrawals) withdraw()
    })
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.port, options.host, resolve)
  })
  // What goes wrong with one connection is no reason to end.
  server.on('error', () => {})
  const { port } = server.address() as AddressInfo
  const own = loopbackNames.map((name) => ({ name, port }))
  const rules = { ...limits, identify: options.identify, authorities: [...own, ...options.authorities] }

  const answer = (response: ServerResponse, status: number, message: Outgoing, headers: object = {}) => {
    const line = encodeMessage(message, options.redact)
    const length = Buffer.byteLength(line)
    response.writeHead(status, { ...headers, ...unkept, 'content-type': 'application/json', 'content-length': length })
    response.end(line)
  }
  const refuse = (request: IncomingMessage, response: ServerResponse, { status, sentence, headers }: Refused) => {
    answer(response, status, failure(undefined, new RpcError(invalidRequest, `Refused: ${sentence}`)), headers)
    if (request.complete) return
    const { socket } = request
    const timer = setTimeout(() => socket.destroy(), lingerMs)
    request.once('close', () => clearTimeout(timer))
    request.resume()
  }

  /** The bytes of a body; undefined if it does not come to its end, or is too large. */
  const readBody = (request: IncomingMessage): Promise<Buffer | Refused | undefined> =>
    new Promise((resolve) => {
      const chunks: Buffer[] = []
      let bytes = 0
      const settle = (body: Buffer | Refused | undefined) => {
        unreadBytes -= bytes
        bytes = 0
        request.off('data', take).off('end', finish).off('close', giveUp)
        resolve(body)
      }
      const take = (chunk: Buffer) => {
        chunks.push(chunk)
        bytes += chunk.length
        unreadBytes += chunk.length
        if (bytes > limits.maxBodyBytes) settle(tooLarge(limits.maxBodyBytes))
        else if (unreadBytes > limits.maxUnreadBytes) settle(full)
      }
      const finish = () => settle(Buffer.concat(chunks))
      const giveUp = () => settle(undefined)
      request.on('data', take).on('end', finish).on('close', giveUp)
    })

  const serve = async (request: IncomingMessage, response: ServerResponse, caller: string) => {
    const body = await readBody(request)
    if (body === undefined) return
    if (!Buffer.isBuffer(body)) return refuse(request, response, body)
    if (isClosing) return refuse(request, response, closing)
    const frame = parseFrame(body) ?? { error: new RpcError(parseError, 'Parse error: there is no message') }
    if ('error' in frame) return answer(response, 400, failure(frame.id, frame.error))
    const isRequest = Array.isArray(frame.value) || readMessage(frame.value).kind === 'request'
    if (isRequest && atWork >= limits.maxInFlight) return refuse(request, response, full)
    const admission = protocol.admit(frame.value, headersOf(request), caller)
    if ('refusal' in admission) return answer(response, admission.status, admission.refusal)

    const reply = createReply(response, { ...limits, ...admission, redact: options.redact })
    const dispatcher = createDispatcher(admission.handlers, reply, admission.inFlight)
    dispatcher.receive(frame)
    const idle = dispatcher.idle()
    // What only has to be taken note of is accepted.
    if (!idle) return reply.accept()
    atWork += 1
    dispatchers.add(dispatcher)
    const withdrawals = asked.get(request.socket)
    withdrawals?.add(dispatcher.cancel)
    if (!withdrawals) dispatcher.cancel()
    await idle
    withdrawals?.delete(dispatcher.cancel)
    dispatchers.delete(dispatcher)
    atWork -= 1
    reply.end()
  }

  const keepTrack = ({ socket }: IncomingMessage, response: ServerResponse) => {
    const withdrawals = asked.get(socket)
    const answered = new Promise<void>((resolve) => {
      withdrawals?.add(resolve)
      response.once('close', () => {
        withdrawals?.delete(resolve)
        resolve()
      })
    })
    answers.add(answered)
    void answered.then(() => answers.delete(answered))
  }

  const handle = (request: IncomingMessage, response: ServerResponse) => {
    const checked = checkHead(request, rules)
    if (isClosing) response.setHeader('connection', 'close')
    if ('refused' in checked) return refuse(request, response, checked.refused)
    if (isClosing) return refuse(request, response, closing)
    if (pathOf(request) === healthPath) return void response.writeHead(204, unkept).end()
    if (request.method === 'DELETE') {
      const status = protocol.end(headersOf(request), checked.caller)
      if (status !== 204) return refuse(request, response, { status, sentence: 'there is nothing to delete' })
      return void response.writeHead(status, unkept).end()
    }
    keepTrack(request, response)
    void serve(request, response, checked.caller)
  }
  server.on('request', handle)
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    // Who is refused has not sent its body, and the connection cannot tell whether it still will.
    if ('refused' in checkHead(request, rules) || isClosing) response.setHeader('connection', 'close')
    else response.writeContinue()
    handle(request, response)
  })

  const interrupt = () => {
    for (const dispatcher of dispatchers) dispatcher.interrupt()
  }
  return {
    port,
    async close(patienceMs) {
      isClosing = true
      server.close()
      const idle = Promise.all([...dispatchers].map((dispatcher) => dispatcher.drain()))
      await finishInFlight(idle, interrupt, patienceMs)
      server.closeIdleConnections()
      await settlesWithin(Promise.all(answers), drainMs)
      server.closeAllConnections()
    },
    abandon() {
      for (const dispatcher of dispatchers) dispatcher.cancel()
      server.closeAllConnections()
    },
  }
}

/** Serves until a signal comes; resolves to the exit code. */
export async function serveHttp(
  protocol: Protocol,
  {
    onListening,
    complain,
    ...options
  }: HttpOptions & {
    onListening(port: number): void
    /** Says one sentence to the person who runs the program. */
    complain: (sentence: string) => void
  },
): Promise<number> {
  const server = await startHttp(protocol, options)
  onListening(server.port)
  return new Promise((resolve) => {
    const begin = (exitCode: number) => void server.close(graceMs).then(() => resolve(exitCode))
    const crash = () => {
      server.abandon()
      resolve(crashExitCode)
    }
    onEnding({ begin, hurry: resolve, crash }, complain)
  })
}

function headersOf({ headersDistinct }: IncomingMessage): Headers {
  return (name) => headersDistinct[name]?.[0]
}
