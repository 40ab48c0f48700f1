import pRetry from 'p-retry'
import type { Clock } from '../clock.ts'
import { Fault } from '../errors.ts'

/** A longer wait is the caller's to decide: the fault is returned with the time instead. */
const maxWaitMs = 30_000
const baseBackoffMs = { rate_limited: 1000, overloaded: 1000 } as Readonly<Record<string, number>>
const defaultBackoffMs = 100
const maxBackoffMs = 10_000

/**
 * Milliseconds to wait before the next attempt: exponential with full jitter, never less than half the step and never
 * less than the provider asked for.
 */
export function waitMs(fault: Fault, attempt: number, random: () => number): number {
  const step = Math.min((baseBackoffMs[fault.code] ?? defaultBackoffMs) * 2 ** (attempt - 1), maxBackoffMs)
  const backoff = step * (0.5 + random() / 2)
  return Math.max(backoff, fault.detail.retryAfterMs ?? 0)
}

/** Faults after which the request may have been carried out and only its answer was lost: worth one more attempt. */
const answerLost = new Set(['reset', 'closed_early', 'empty', 'stream_error'])

/** Faults before the request has left: nothing can have come of it. */
const neverSent = new Set(['connect_refused', 'connect', 'dns', 'unreachable'])

/** Whether another attempt is right after this one, of which nothing has been delivered to the caller. */
function worthRepeating(fault: Fault, attempt: number, sendOnce: boolean): boolean {
  const { retryable, cause, retryAfterMs = 0 } = fault.detail
  if (!retryable || retryAfterMs > maxWaitMs) return false
  if (sendOnce) return neverSent.has(cause ?? '')
  // A silent provider has used up the time that the user gave it.
  if (fault.code === 'timeout') return cause === 'connect'
  return answerLost.has(cause ?? '') || fault.code === 'truncated' ? attempt === 1 : true
}

/** What keeps a provider that is down from being asked many times over: retries cost, successes earn. */
export type RetryBudget = { take(): boolean; reward(): void }

const maxTokens = 20
const rewardTokens = 0.1
/** So that a quiet user is not left without a retry for good. */
const refillMs = 5_000

export function createRetryBudget(now: () => number): RetryBudget {
  let tokens = maxTokens
  let countedMs = now()
  return {
    take() {
      const nowMs = now()
      tokens = Math.min(maxTokens, tokens + (nowMs - countedMs) / refillMs)
      countedMs = nowMs
      if (tokens < 1) return false
      tokens -= 1
      return true
    },
    reward() {
      tokens = Math.min(maxTokens, tokens + rewardTokens)
    },
  }
}

export type RetryOptions = {
  retries: number
  budget?: RetryBudget
  signal: AbortSignal
  clock: Clock
  /** When the call's time is up, on the clock: no wait reaches beyond it. */
  deadline: number
  /** Whether the request must not go out again once it may have arrived. */
  sendOnce?: boolean
}

/** Repeats an attempt while its fault says that repeating helps. Throws the last fault, and any other error at once. */
export async function withRetry<T>(
  attempt: (number: number) => Promise<T>,
  { retries, budget, signal, clock, deadline, sendOnce = false }: RetryOptions,
): Promise<T> {
  const outcome = await attempt(1).catch((first: unknown) => {
    if (!(first instanceof Fault)) throw first
    let waited = false
    // What goes well at once, as nearly everything does, need not set up what repeats.
    return pRetry((number) => (number === 1 ? Promise.reject(first) : attempt(number)), {
      retries,
      // The waiting is done below, where the provider's own wish is known.
      minTimeout: 0,
      maxTimeout: 0,
      shouldRetry: () => waited && !signal.aborted,
      onFailedAttempt: async ({ error, attemptNumber, retriesLeft }) => {
        waited = false
        if (retriesLeft === 0 || !(error instanceof Fault) || !worthRepeating(error, attemptNumber, sendOnce)) return
        const wait = waitMs(error, attemptNumber, clock.random)
        if (clock.now() + wait >= deadline) return
        // What never left has burdened nobody.
        if (!neverSent.has(error.detail.cause ?? '') && budget?.take() === false) return
        await clock.sleep(wait, signal)
        waited = true
      },
    })
  })
  budget?.reward()
  return outcome
}
