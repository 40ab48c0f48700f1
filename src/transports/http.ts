import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { createDispatcher, type Dispatcher, type Handlers, type InFlight, maxBatch } from '../rpc/dispatcher.ts'
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
import { type BodyLimits, createBodyReader } from './http-body.ts'
import { type Authority, checkHead, healthPath, pathOf, type Refused } from './http-checks.ts'
import { createReply, unkept } from './http-reply.ts'
import { endStrays } from './http-strays.ts'

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
  /** Ends what a DELETE names, or says why not. */
  end(headers: Headers, caller: string): Refused | undefined
}

export type HttpLimits = BodyLimits & {
  /** Beyond these nobody is let in, not even to be told so. */
  maxConnections: number
  /** Requests of JSON-RPC at work, each of a batch counted; one more is told to come back. */
  maxInFlight: number
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
  maxHeldBytes: 128 * 1024 * 1024,
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
  /** Further names under which the server may be reached; those of loopback and its own address always are. */
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
  const readBody = createBodyReader(limits, full)
  /** Withdraws what each connection has asked: an answer that waits behind another does not hear that they are both gone. */
  const asked = new Map<Socket, Set<() => void>>()
  const dispatchers = new Set<Dispatcher>()
  const answers = new Set<Promise<void>>()
  /** Those that end behind an answer which has been decided, and may still wait behind another. */
  const ending = new WeakSet<Socket>()
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
    // Who comes while the queue is full may be reset by the kernel, seconds later and without a word. Node's own is of 511.
    server.listen({ port: options.port, host: options.host, backlog: limits.maxConnections }, resolve)
  })
  const stopWatching = endStrays(server, limits.headMs)
  // What goes wrong with one connection is no reason to end.
  server.on('error', () => {})
  const { port } = server.address() as AddressInfo
  const address = options.host.includes(':') ? `[${options.host}]` : options.host
  const own = [...loopbackNames, address].map((name) => ({ name, port }))
  const rules = { ...limits, identify: options.identify, authorities: [...own, ...options.authorities] }

  const answer = (response: ServerResponse, status: number, message: Outgoing, headers: object = {}) => {
    const line = encodeMessage(message, options.redact)
    const length = Buffer.byteLength(line)
    response.writeHead(status, { ...headers, ...unkept, 'content-type': 'application/json', 'content-length': length })
    response.end(line)
  }
  const refuse = (request: IncomingMessage, response: ServerResponse, { status, sentence, headers }: Refused) => {
    if (!request.complete) linger(request, response)
    answer(response, status, failure(undefined, new RpcError(invalidRequest, `Refused: ${sentence}`)), headers)
  }

  /** Answers what stands in a body; resolves when nothing more will be said of it. */
  const serve = async (request: IncomingMessage, response: ServerResponse, bytes: Buffer, caller: string) => {
    const frame = parseFrame(bytes) ?? { error: new RpcError(parseError, 'Parse error: there is no message') }
    if ('error' in frame) return answer(response, 400, failure(frame.id, frame.error))
    const asks = requestsIn(frame.value)
    if (asks > 0 && atWork + asks > limits.maxInFlight) return refuse(request, response, full)
    const admission = protocol.admit(frame.value, headersOf(request), caller)
    if ('refusal' in admission) return answer(response, admission.status, admission.refusal)

    const reply = createReply(response, { ...limits, ...admission, redact: options.redact })
    const dispatcher = createDispatcher(admission.handlers, reply, admission.inFlight)
    dispatcher.receive(frame)
    const idle = dispatcher.idle()
    // What only has to be taken note of is accepted.
    if (!idle) return reply.accept()
    dispatchers.add(dispatcher)
    atWork += asks
    const withdrawals = asked.get(request.socket)
    withdrawals?.add(dispatcher.cancel)
    if (!withdrawals) dispatcher.cancel()
    await idle
    withdrawals?.delete(dispatcher.cancel)
    dispatchers.delete(dispatcher)
    atWork -= asks
    reply.end()
  }

  const readAndServe = async (request: IncomingMessage, response: ServerResponse, caller: string) => {
    const body = await readBody(request)
    if (body === undefined) return
    if ('refused' in body) return refuse(request, response, body.refused)
    if (isClosing) refuse(request, response, closing)
    else await serve(request, response, body.bytes, caller)
    body.release()
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

  const handle = (request: IncomingMessage, response: ServerResponse, waits: boolean) => {
    // Behind an answer that ends the connection nothing more can be said.
    if (request.socket.writableEnded) return void request.socket.destroy()
    if (ending.has(request.socket)) {
      // It will not go out, but without its end Node would let in any number of these.
      response.end()
      return void request.resume()
    }
    const checked = isClosing ? { refused: closing } : checkHead(request, rules)
    // Who waits to be asked for a body and is refused may send it or not: the connection cannot tell.
    if (isClosing || ('refused' in checked && waits)) {
      response.setHeader('connection', 'close')
      ending.add(request.socket)
    }
    if ('refused' in checked) return refuse(request, response, checked.refused)
    const { caller } = checked
    if (waits) response.writeContinue()
    if (pathOf(request) === healthPath) return void response.writeHead(204, unkept).end()
    if (request.method === 'DELETE') {
      const refused = protocol.end(headersOf(request), caller)
      return refused ? refuse(request, response, refused) : void response.writeHead(204, unkept).end()
    }
    keepTrack(request, response)
    void readAndServe(request, response, caller)
  }
  server.on('request', (request, response) => handle(request, response, false))
  server.on('checkContinue', (request, response) => handle(request, response, true))

  const interrupt = () => {
    for (const dispatcher of dispatchers) dispatcher.interrupt()
  }
  return {
    port,
    async close(patienceMs) {
      isClosing = true
      stopWatching()
      server.close()
      const idle = Promise.all([...dispatchers].map((dispatcher) => dispatcher.drain()))
      await finishInFlight(idle, interrupt, patienceMs)
      server.closeIdleConnections()
      await settlesWithin(Promise.all(answers), drainMs)
      server.closeAllConnections()
    },
    abandon() {
      stopWatching()
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
  return new Promise((resolve) => {
    const begin = (exitCode: number) => void server.close(graceMs).then(() => resolve(exitCode))
    const crash = () => {
      server.abandon()
      resolve(crashExitCode)
    }
    onEnding({ begin, hurry: resolve, crash }, complain)
    // Whoever is told may want it to end at once.
    onListening(server.port)
  })
}

/**
 * Reads on what will not be used, until a while after the answer has gone out, which may wait behind that to another request.
 * Where the connection ends behind it, it ends in one direction until then: a client whose bytes meet a closed socket is
 * reset, and may never come to read why it is refused.
 */
function linger(request: IncomingMessage, response: ServerResponse): void {
  const { socket } = request
  const endOnly = () => void socket.end()
  socket.destroySoon = endOnly
  let timer: NodeJS.Timeout | undefined
  response.once('finish', () => {
    // Node does not tell of the end of a request whose connection is gone by then: the timer may be all that is left of it.
    if (!request.closed) timer = setTimeout(() => socket.destroy(), lingerMs).unref()
  })
  request.once('close', () => {
    clearTimeout(timer)
    // Another request may stand behind this one, and be refused as well.
    if (socket.destroySoon !== endOnly) return
    Reflect.deleteProperty(socket, 'destroySoon')
    if (socket.writableEnded) socket.destroySoon()
  })
  request.resume()
}

/** How many there may be, before anybody has looked into a batch. */
function requestsIn(message: unknown): number {
  if (Array.isArray(message)) return Math.min(message.length, maxBatch)
  return readMessage(message).kind === 'request' ? 1 : 0
}

function headersOf({ headers }: IncomingMessage): Headers {
  return (name) => {
    const value = headers[name]
    return typeof value === 'string' ? value : undefined
  }
}
