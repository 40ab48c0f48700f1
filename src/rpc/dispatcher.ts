import type { Frame } from './framer.ts'
import {
  failure,
  type Id,
  invalidRequest,
  type Notification,
  type Outgoing,
  type Request,
  type Response,
  RpcError,
  readMessage,
  success,
} from './message.ts'

/** Where messages go. Nothing handed to `send` is ever dropped. */
export type Outlet = {
  send(message: Outgoing): void
  /** Whether the reader is behind, so that what can wait should. */
  congested(): boolean
  /** Resolves when the reader has caught up. */
  drained(): Promise<void>
}

/** A request in flight, as its handler sees it. */
export type Exchange = {
  readonly id: Id
  readonly signal: AbortSignal
  /** Aborted when the peer begins to shut down; the request itself may still finish. */
  readonly draining: AbortSignal
  /** Whether the request came inside a batch. */
  readonly batched: boolean
  notify(method: string, params: object): void
  congested(): boolean
  drained(): Promise<void>
}

export type Handlers = {
  /** Answers a request with its result. Throw RpcError for a protocol fault. */
  serve(request: Request, exchange: Exchange): object | Promise<object>
  /** Takes note of a notification; `cancel` interrupts the request of that id. */
  notice(notification: Notification, cancel: (id: unknown) => void): void
  /** Whether the peer may send arrays of messages (MCP 2025-03-26 only). */
  acceptsBatches(): boolean
}

export type Dispatcher = {
  receive(frame: Frame): void
  /** Whether a request is in flight. */
  busy(): boolean
  /** Resolves when the last request in flight is answered or cancelled; undefined where none is. */
  idle(): Promise<void> | undefined
  /** Says that the end is near; resolves when the last request in flight is answered. */
  drain(): Promise<void>
  /** Interrupts what is still in flight; each is answered with what its handler makes of the interruption. */
  interrupt(): void
  /** Cancels what is still in flight: nothing more is said. */
  cancel(): void
}

/** More are refused as a whole. */
export const maxBatch = 128

/** Requests in flight by id: of one dispatcher, or of all that serve the same peer, each over an outlet of its own. */
export type InFlight = Map<Id, { abort(): void; silence(): void }>

/**
 * Serves many requests at once over one outlet. Every request gets exactly one answer, unless it is cancelled, and then
 * none: nothing at all goes out for it from then on.
 */
export function createDispatcher(handlers: Handlers, outlet: Outlet, inFlight: InFlight = new Map()): Dispatcher {
  const own = new Set<Id>()
  let closing: AbortController | undefined
  let waiting: (() => void)[] = []
  const idle = () => (own.size === 0 ? undefined : new Promise<void>((resolve) => void waiting.push(resolve)))
  const draining = () => (closing ??= new AbortController())

  const dispatch = (value: unknown, reply: (response: Response | undefined) => void, batched: boolean): void => {
    const incoming = readMessage(value)
    switch (incoming.kind) {
      case 'request':
        return serve(incoming.request, reply, batched)
      case 'invalid':
        return reply(failure(incoming.id, new RpcError(invalidRequest, `Invalid request: ${incoming.reason}`)))
      case 'notification':
        handlers.notice(incoming.notification, (id) => inFlight.get(id as Id)?.silence())
        return reply(undefined)
      case 'ignored':
        return reply(undefined)
    }
  }

  const serve = (request: Request, reply: (response: Response | undefined) => void, batched: boolean): void => {
    const { id } = request
    if (inFlight.has(id)) {
      return reply(failure(id, new RpcError(invalidRequest, 'Invalid request: this id is already in flight')))
    }
    const exchange = new OpenExchange(id, batched, outlet, draining)
    const settle = (response: Response | undefined) => {
      if (exchange.isOver) return
      exchange.isOver = true
      inFlight.delete(id)
      own.delete(id)
      reply(response)
      if (own.size > 0) return
      const resumed = waiting
      waiting = []
      for (const resume of resumed) resume()
    }
    try {
      const result = handlers.serve(request, exchange)
      if (!(result instanceof Promise)) return reply(success(id, result))
      own.add(id)
      inFlight.set(id, {
        abort: () => exchange.interrupt(),
        silence() {
          settle(undefined)
          exchange.interrupt()
        },
      })
      result.then(
        (value) => settle(success(id, value)),
        (error: unknown) => settle(failure(id, error)),
      )
    } catch (error) {
      reply(failure(id, error))
    }
  }

  const answer = (responses: Response | Response[]) => {
    try {
      outlet.send(responses)
    } catch (error) {
      // A result that cannot be written, one that nests without end say, must not cost the other calls.
      if (Array.isArray(responses)) answerEach(responses, error)
      else outlet.send(failure(responses.id, error))
    }
  }

  const answerEach = (responses: Response[], error: unknown) => {
    try {
      outlet.send(responses.map(writable))
    } catch {
      // Together they may be longer than a string can be, of which none is to blame alone.
      outlet.send(responses.map(({ id }) => failure(id, error)))
    }
  }

  const dispatchBatch = (values: unknown[]): void => {
    if (!handlers.acceptsBatches() || values.length === 0 || values.length > maxBatch) {
      const reason = handlers.acceptsBatches() ? `a batch holds 1 to ${maxBatch} messages` : 'one message a line'
      outlet.send(failure(undefined, new RpcError(invalidRequest, `Invalid request: ${reason}`)))
      return
    }
    const responses: Response[] = []
    let open = values.length
    for (const value of values) {
      dispatch(
        value,
        (response) => {
          if (response) responses.push(response)
          if (--open === 0 && responses.length > 0) answer(responses)
        },
        true,
      )
    }
  }

  return {
    receive(frame) {
      if ('error' in frame) outlet.send(failure(frame.id, frame.error))
      else if (Array.isArray(frame.value)) dispatchBatch(frame.value)
      else dispatch(frame.value, (response) => response && answer(response), false)
    },
    busy: () => own.size > 0,
    idle,
    drain() {
      draining().abort()
      return idle() ?? Promise.resolve()
    },
    interrupt() {
      for (const id of own) inFlight.get(id)?.abort()
    },
    cancel() {
      for (const id of own) inFlight.get(id)?.silence()
    },
  }
}

/** A class, because a getter in a literal costs each request more than all that stands beside it. */
class OpenExchange implements Exchange {
  readonly id: Id
  readonly batched: boolean
  readonly congested: Outlet['congested']
  readonly drained: Outlet['drained']
  /** It is answered, or nobody waits for its answer any more. */
  isOver = false
  private readonly send: Outlet['send']
  private readonly closing: () => AbortController
  private controller: AbortController | undefined

  constructor(id: Id, batched: boolean, { send, congested, drained }: Outlet, closing: () => AbortController) {
    this.id = id
    this.batched = batched
    this.send = send
    this.congested = congested
    this.drained = drained
    this.closing = closing
  }

  /** Made on demand, as all that leads to it: most requests are answered at once and never look at their signal. */
  private get interruption(): AbortController {
    this.controller ??= new AbortController()
    return this.controller
  }

  get signal(): AbortSignal {
    return this.interruption.signal
  }

  get draining(): AbortSignal {
    return this.closing().signal
  }

  interrupt(): void {
    this.interruption.abort()
  }

  notify(method: string, params: object): void {
    if (!this.isOver) this.send({ jsonrpc: '2.0', method, params: params as Record<string, unknown> })
  }
}

/** The response if it can be written, and else that it could not. */
function writable(response: Response): Response {
  try {
    JSON.stringify(response)
    return response
  } catch (error) {
    return failure(response.id, error)
  }
}
