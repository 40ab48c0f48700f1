import { subscribe } from 'node:diagnostics_channel'
import type { Dispatcher } from 'undici'
import Agent from 'undici/lib/dispatcher/agent.js'
import { systemClock } from '../clock.ts'
import { Fault } from '../errors.ts'
import type { HttpRequest, HttpResponse, Send } from './message.ts'
import { brokenOff } from './problem.ts'
import type { ProxySettings } from './proxy.ts'

const connectTimeoutMs = 10_000
/** Bytes of a body that may wait for their reader before the socket is paused. */
const highWaterBytes = 256 * 1024
/**
 * Every waking of a reader costs more than what it reads of a token. The first chunks are handed on as they come; later ones
 * together, when the reader has had this much rest or this many bytes have gathered.
 */
const promptChunks = 16
const restMs = 10
const readBytes = 64 * 1024
/** That the server has closed a kept connection is known within a way there and back; later, it had read the request. */
const maxStaleMs = 1_000
/** How long, and for how many bytes, a body nobody reads any more may come to its end, so that its socket can be reused. */
const lingerMs = 100
const lingerBytes = 64 * 1024

const settings = {
  // HTTP/1.1: a cancelled call must close its own socket, and with it the spending.
  allowH2: false,
  connect: { timeout: connectTimeoutMs },
  // Silence is measured in http/timeouts.ts, which can tell first byte, idle and a slow reader apart.
  headersTimeout: 0,
  bodyTimeout: 0,
}

/**
 * The one pool of connections. Redirects are not followed, aborted sockets are destroyed and never return to the pool.
 * Throws Faults only.
 */
export function createPool(proxy: ProxySettings = {}): Send {
  const create = (options: object): Promise<Dispatcher> => {
    const dispatcher =
      proxy.http || proxy.https
        ? import('./proxy.ts').then(({ createProxyDispatcher }) => createProxyDispatcher(options, proxy))
        : Promise.resolve(new Agent(options) as Dispatcher)
    // Whoever sends first is told; until then nobody listens.
    dispatcher.catch(() => {})
    return dispatcher
  }
  const kept = create(settings)
  let fresh: Promise<Dispatcher> | undefined

  const sendThrough = async (dispatcher: Promise<Dispatcher>, request: HttpRequest, signal: AbortSignal) => {
    const ready = await dispatcher.catch(() => {
      throw new Fault('configuration', 'the proxy cannot be used: check HTTPS_PROXY and HTTP_PROXY', { cause: 'proxy' })
    })
    return exchange(ready, request, proxy, signal)
  }
  return async (request, signal) => {
    try {
      return await sendThrough(kept, request, signal)
    } catch (error) {
      if (request.once || signal.aborted || !(error instanceof Fault) || !stale.has(error)) throw error
      // One that carries a single request is closed behind it.
      fresh ??= create({ ...settings, pipelining: 0 })
      return sendThrough(fresh, request, signal)
    }
  }
}

/**
 * Faults of connections that had been kept open and that the server closed just as they were used again: nobody has read
 * the request.
 */
const stale = new WeakSet<Fault>()

/** The requests that went out on a connection which had carried another before, by undici's own account. */
const onKept = new WeakSet<object>()
const used = new WeakSet<object>()
let created: object | undefined
subscribe('undici:request:create', (message) => {
  created = (message as { request: object }).request
})
subscribe('undici:client:sendHeaders', (message) => {
  const { request, socket } = message as { request: object; socket: object }
  if (used.has(socket)) onKept.add(request)
  used.add(socket)
})

function exchange(
  dispatcher: Dispatcher,
  request: HttpRequest,
  proxy: ProxySettings,
  signal: AbortSignal,
): Promise<HttpResponse> {
  const { origin, path } = placeOf(request.url)
  const proxied = Boolean(proxy.http || (origin.startsWith('https:') && proxy.https))
  return new Promise<HttpResponse>((resolve, reject) => {
    let connection: Dispatcher.DispatchController | undefined
    let body: Body | undefined
    let sent: object | undefined
    const startedMs = systemClock.now()
    const fail = (error: unknown) => {
      signal.removeEventListener('abort', onAbort)
      const fault = signal.aborted ? interruption(signal) : faultOf(error, origin, body !== undefined, proxied)
      if (body) return body.fail(fault)
      const { cause } = fault.detail
      const soon = systemClock.now() - startedMs < maxStaleMs
      if (soon && sent && onKept.has(sent) && (cause === 'closed_early' || cause === 'reset')) stale.add(fault)
      reject(fault)
    }
    const onAbort = () => {
      connection?.abort(interruption(signal))
      fail(signal.reason)
    }
    if (signal.aborted) return reject(interruption(signal))
    signal.addEventListener('abort', onAbort, { once: true })

    created = undefined
    dispatcher.dispatch(
      {
        origin,
        path,
        method: request.method,
        headers: { ...request.headers, 'accept-encoding': 'identity' },
        ...(request.body === undefined ? {} : { body: request.body }),
      },
      {
        onRequestStart(controller) {
          connection = controller
          if (signal.aborted) controller.abort(interruption(signal))
        },
        onResponseStart(controller, status, headers) {
          if (status < 200) return
          body = createBody(controller)
          resolve({ status, headers: firstValues(headers), body })
        },
        onResponseData(_, chunk) {
          body?.push(chunk)
        },
        onResponseEnd() {
          signal.removeEventListener('abort', onAbort)
          body?.end()
        },
        onResponseError(_, error) {
          fail(error)
        },
      },
    )
    // undici makes its request before it returns.
    sent = created
  })
}

/** Endpoints are few and asked again and again: what they are made of is kept. */
const places = new Map<string, { origin: string; path: string }>()
const maxPlaces = 256

function placeOf(url: string): { origin: string; path: string } {
  const known = places.get(url)
  if (known) return known
  const { origin, pathname, search } = new URL(url)
  const place = { origin, path: pathname + search }
  if (places.size >= maxPlaces) places.clear()
  places.set(url, place)
  return place
}

type Body = AsyncIterableIterator<Uint8Array> & {
  push(chunk: Uint8Array): void
  end(): void
  fail(fault: unknown): void
}

/** A queue between the socket and its one reader, which pauses the socket while the reader is behind. */
function createBody(connection: Dispatcher.DispatchController): Body {
  let queue: Uint8Array[] = []
  let queuedBytes = 0
  let chunks = 0
  let lastReadMs = Number.NEGATIVE_INFINITY
  let ended = false
  let failure: { fault: unknown } | undefined
  let ready = false
  let rest: NodeJS.Timeout | undefined
  let waking: NodeJS.Immediate | undefined
  let wake: (() => void) | undefined
  let lingering = false

  const arrived = () => {
    clearTimeout(rest)
    rest = undefined
    clearImmediate(waking)
    waking = undefined
    ready = true
    wake?.()
    wake = undefined
  }
  const take = (): IteratorResult<Uint8Array> => {
    if (queue.length > 0) {
      const value = queue.length === 1 ? (queue[0] as Uint8Array) : Buffer.concat(queue)
      queue = []
      queuedBytes = 0
      ready = ended || failure !== undefined
      lastReadMs = systemClock.now()
      if (connection.paused) connection.resume()
      return { done: false, value }
    }
    if (failure) throw failure.fault
    return { done: true, value: undefined }
  }
  const body: Body = {
    push(chunk) {
      queuedBytes += chunk.length
      if (lingering) {
        if (queuedBytes > lingerBytes) connection.abort(new Error('unread'))
        return
      }
      queue.push(chunk)
      chunks += 1
      if (queuedBytes > highWaterBytes) connection.pause()
      if (ready) return
      if (queuedBytes >= readBytes) {
        // In a turn of its own: what comes without a pause would keep everything else from its turn.
        waking ??= setImmediate(arrived)
        return
      }
      const waitMs = chunks <= promptChunks ? 0 : lastReadMs + restMs - systemClock.now()
      if (waitMs <= 0) arrived()
      else rest ??= setTimeout(arrived, waitMs)
    },
    end() {
      ended = true
      arrived()
    },
    fail(fault) {
      failure = { fault }
      arrived()
    },
    next() {
      if (ready) return new Promise((resolve) => resolve(take()))
      return new Promise<void>((resolve) => (wake = resolve)).then(take)
    },
    async return() {
      clearTimeout(rest)
      queue = []
      if (!ended && !failure && !lingering) {
        lingering = true
        queuedBytes = 0
        if (connection.paused) connection.resume()
        setTimeout(() => ended || connection.abort(new Error('unread')), lingerMs).unref()
      }
      return { done: true, value: undefined }
    },
    [Symbol.asyncIterator]: () => body,
  }
  return body
}

function firstValues(headers: Record<string, string | string[] | undefined>): Record<string, string> {
  const values: Record<string, string> = Object.create(null)
  for (const [name, value] of Object.entries(headers)) {
    const first = Array.isArray(value) ? value[0] : value
    if (first !== undefined) values[name.toLowerCase()] = first
  }
  return values
}

/** Whoever aborts may say why with a Fault; without one the caller has gone. */
function interruption(signal: AbortSignal): Fault {
  return signal.reason instanceof Fault
    ? signal.reason
    : new Fault('unavailable', 'the call was interrupted', { cause: 'cancelled', retryable: true })
}

/** What undici and Node call it, and what it means. */
const faults: Readonly<Record<string, (host: string) => Fault>> = {
  ENOTFOUND: (host) => new Fault('network', `the host ${host} is unknown`, { cause: 'dns' }),
  EAI_AGAIN: (host) =>
    new Fault('network', `the name ${host} could not be looked up`, { cause: 'dns', retryable: true }),
  ECONNREFUSED: (host) =>
    new Fault('network', `nothing listens at ${host} (connection refused); is the server running?`, {
      cause: 'connect_refused',
      retryable: true,
    }),
  EHOSTUNREACH: unreachable,
  ENETUNREACH: unreachable,
  UND_ERR_CONNECT_TIMEOUT: (host) =>
    new Fault('timeout', `no connection to ${host} within ${connectTimeoutMs / 1000} s`, {
      cause: 'connect',
      retryable: true,
    }),
  ECONNRESET: (host) => new Fault('network', `${host} reset the connection`, { cause: 'reset', retryable: true }),
  EPIPE: (host) => new Fault('network', `${host} reset the connection`, { cause: 'reset', retryable: true }),
  UND_ERR_SOCKET: (host) =>
    new Fault('network', `${host} closed the connection before it answered`, {
      cause: 'closed_early',
      retryable: true,
    }),
  UND_ERR_HEADERS_OVERFLOW: badHttp,
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: badHttp,
  UND_ERR_INVALID_ARG: (host) =>
    new Fault('configuration', `the request to ${host} could not be built: check the key and the headers`, {
      cause: 'bad_header',
    }),
}

function unreachable(host: string): Fault {
  return new Fault('network', `${host} cannot be reached`, { cause: 'unreachable', retryable: true })
}

function badHttp(host: string): Fault {
  return new Fault('invalid_response', `${host} does not answer in HTTP`, { cause: 'bad_http' })
}

/** Names the fault of a connection. Error objects are not passed on: they can hold headers, and so keys. */
function faultOf(error: unknown, origin: string, answering: boolean, proxied: boolean): Fault {
  const { host, protocol } = new URL(origin)
  const { code = '', name = '' } = error as { code?: string; name?: string }
  if (answering) return brokenOff(host, code === 'ECONNRESET' ? 'reset' : 'closed_early')
  const known = Object.hasOwn(faults, code) ? faults[code] : undefined
  if (known) return known(proxied ? `${host} or the proxy` : host)
  if (name === 'HTTPParserError' || code.startsWith('HPE_')) return badHttp(host)
  if (/^(ERR_TLS|ERR_SSL|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO)|SSL|CERT/.test(code)) {
    return new Fault('tls', `no trusted connection to ${host} (${code}); check ${protocol}// and NODE_EXTRA_CA_CERTS`, {
      cause: code.toLowerCase(),
    })
  }
  return new Fault('network', `the connection to ${host} failed${code === '' ? '' : ` (${code})`}`, {
    cause: code.toLowerCase() || 'unknown',
    retryable: true,
  })
}
