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
    // Made on demand: most requests are answered at once and never look at their signal.
    let controller: AbortController | undefined
    const interruption = () => (controller ??= new AbortController())
    let silent = false
    let settled = false
    const settle = (response: Response | undefined) => {
      if (settled) return
      settled = true
      inFlight.delete(id)
      own.delete(id)
      reply(response)
      if (own.size > 0) return
      const resumed = waiting
      waiting = []
      for (const resume of resumed) resume()
    }
    const exchange: Exchange = {
      id,
      get signal() {
        return interruption().signal
      },
      get draining() {
        return draining().signal
      },
      batched,
      notify(method, params) {
        if (!silent && !settled) outlet.send({ jsonrpc: '2.0', method, params: params as Record<string, unknown> })
      },
      congested: outlet.congested,
      drained: outlet.drained,
    }
    try {
      const result = handlers.serve(request, exchange)
      if (!(result instanceof Promise)) return reply(success(id, result))
      own.add(id)
      inFlight.set(id, {
        abort: () => interruption().abort(),
        silence() {
          silent = true
          interruption().abort()
          settle(undefined)
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

/** The response if it can be written, and else that it could not. */
function writable(response: Response): Response {
  try {
    JSON.stringify(response)
    return response
  } catch (error) {
    return failure(response.id, error)
  }
}
