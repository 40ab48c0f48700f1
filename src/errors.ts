/** Every code that a failed call can carry. The list is closed: clients may switch over it. */
export const faultCodes = [
  'invalid_request',
  'configuration',
  'authentication',
  'permission',
  'model_not_found',
  'context_length',
  'content_filter',
  'quota',
  'rate_limited',
  'overloaded',
  'timeout',
  'network',
  'tls',
  'truncated',
  'invalid_response',
  'too_large',
  'provider_error',
  'unavailable',
  'busy',
  'internal',
] as const

export type FaultCode = (typeof faultCodes)[number]

/** A request that failed, as a part of a call's history. */
export type Met = {
  provider: string
  model: string
  code: FaultCode
  cause?: string | undefined
  status?: number | undefined
  elapsedMs: number
}

export type FaultDetail = {
  /** The finer fault behind the code: `dns`, `connect_refused`, `first_byte`, `idle`, `bad_json`, … */
  cause?: string | undefined
  /** HTTP status of the provider's answer. */
  status?: number | undefined
  /** The provider's own word for the fault. */
  providerCode?: string | undefined
  /** The provider's id of the request, for its support desk. */
  requestId?: string | undefined
  /** Whether the same call may succeed later without being changed. */
  retryable?: boolean | undefined
  /** The parameter that the provider refuses, and the name it wants instead if it says so. */
  parameter?: { name: string; replacement?: string | undefined } | undefined
  /** Where it happened, filled in by the translator. */
  provider?: string | undefined
  model?: string | undefined
  /** Requests that were made for the call. */
  attempts?: number | undefined
  /** Milliseconds that the provider asked to be left alone. */
  retryAfterMs?: number | undefined
  /** What each request of the call met, in order. */
  met?: readonly Met[] | undefined
  /** Text that had come before the fault and that nobody has seen yet. */
  partialText?: string | undefined
}

/**
 * A failure fit to be shown: its message is one sentence for a person or a model, and holds no key, no stack and no
 * header. Whatever else is thrown inside the gateway is a bug and becomes `internal` at the formatter.
 */
export class Fault extends Error {
  override readonly name = 'Fault'
  readonly code: FaultCode
  readonly detail: FaultDetail

  constructor(code: FaultCode, message: string, detail: FaultDetail = {}) {
    super(message)
    this.code = code
    this.detail = detail
  }
}
