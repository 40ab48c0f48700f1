import type { Ask, Events } from './gateway.ts'
import type { Call as ToolCall } from './tool.ts'

/** A tool's call, with the time of the clock at which it must have ended. */
export type Call = ToolCall & { readonly deadline?: number }

/** The one shape of work in the chat tower: an ask is answered by a stream of events. */
export type Handle = (ask: Ask, call: Call) => AsyncIterable<Events>

/** What cuts across all asks, as what stands around a handle. */
export type Middleware = (next: Handle) => Handle

/** Puts middleware around a handle, the first one outermost. */
export function compose(middleware: readonly Middleware[], handle: Handle): Handle {
  return middleware.reduceRight((next, wrap) => wrap(next), handle)
}
