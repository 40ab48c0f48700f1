import { subscribe } from 'node:diagnostics_channel'
import type { Socket } from 'node:net'
import type { Dispatcher } from 'undici'
import Agent from 'undici/lib/dispatcher/agent.js'
import { systemClock } from '../clock.ts'
import { Fault } from '../errors.ts'
import { type Body, createBody } from './body-queue.ts'
import type { HttpRequest, HttpResponse, Send } from './message.ts'
import { brokenOff } from './problem.ts'
import type { ProxySettings } from './proxy.ts'

const connectTimeoutMs = 10_000
/** That the server has closed a kept connection is known within a way there and back; later, it had read the request. */
const maxStaleMs = 1_000

/**
 * All sockets read into one buffer, and what one has read is copied out before the next one reads. Node would take as much
 * for every reading, cut it to what has come, and give the rest back: of an answer of a kilobyte, that costs more than a copy.
 */
const reading = {
  buffer: Buffer.allocUnsafeSlow(64 * 1024),
  callback(this: Socket, count: number, bytes: Uint8Array): boolean {
    return this.push(Buffer.from(bytes.subarray(0, count)))
  },
}

const settings = {
  // HTTP/1.1: a cancelled call must close its own socket, and with it the spending.
  allowH2: false,
  connect: { timeout: connectTimeoutMs, onread: reading },
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
  else used.add(socket)
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
          resolve({ status, headers: firstValues(headers), body: body.bytes })
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

/** undici makes them anew for every answer, with names in lower case: of what is repeated, the first is kept in its place. */
function firstValues(headers: Record<string, string | string[] | undefined>): Record<string, string> {
  for (const name in headers) {
    const value = headers[name]
    if (Array.isArray(value)) headers[name] = value[0]
  }
  return headers as Record<string, string>
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
