/** HTTP as values: what a provider wants sent, and what came back. */
import type { Fault } from '../errors.ts'

export type HttpRequest = {
  method: 'GET' | 'POST'
  url: string
  headers: Record<string, string>
  body?: string | Uint8Array
  limits: Limits
  /** Whether it must not go out again once it may have arrived. */
  once?: boolean
}

/** Milliseconds of silence after which a request has failed; see http/timeouts.ts. */
export type Limits = {
  firstByteMs: number
  idleMs: number
}

export type HttpResponse = {
  status: number
  /** Names in lower case; of a repeated header, the first value. */
  headers: Readonly<Record<string, string>>
  /** The bytes in the order in which they came. Ends early only by throwing a Fault. */
  body: AsyncIterable<Uint8Array>
  /** Aborted when nobody wants the answer any more. */
  signal?: AbortSignal
  /** Ends the body with this fault. */
  interrupt?: (fault: Fault) => void
}

/** Sends a request and resolves with the head of the response; throws a Fault. */
export type Send = (request: HttpRequest, signal: AbortSignal) => Promise<HttpResponse>
