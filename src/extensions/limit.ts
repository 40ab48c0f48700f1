import pLimit, { type LimitFunction } from 'p-limit'
import type { ProviderConfig } from '../config.ts'
import { Fault, type FaultDetail } from '../errors.ts'
import type { Translate } from '../pipeline/translator.ts'

/** Calls that may wait for a free place at one provider. */
const maxQueued = 256
const minuteMs = 60_000

type Gate = { limit: LimitFunction | undefined; bucket: Bucket | undefined; waiting: number }

/** A token bucket over one minute; takes a token or says in how many milliseconds there will be one. */
type Bucket = { take(): number }

/**
 * Holds each provider to its configured `maxConcurrency` and `requestsPerMinute`. Over the concurrency a call waits for
 * its turn; over the queue, or the rate, it is `busy` at once and told when to come back.
 */
export function withLimits(translate: Translate, now: () => number): Translate {
  const gates = new Map<string, Gate>()
  const gateOf = (provider: ProviderConfig): Gate => {
    const known = gates.get(provider.name)
    if (known) return known
    const gate = {
      limit: provider.maxConcurrency ? pLimit(provider.maxConcurrency) : undefined,
      bucket: provider.requestsPerMinute ? createBucket(provider.requestsPerMinute, now) : undefined,
      waiting: 0,
    }
    gates.set(provider.name, gate)
    return gate
  }

  const limited: Translate = async function* (ask, route, attempted) {
    const gate = gateOf(route.provider)
    const { limit, bucket } = gate
    const where = { provider: route.target.provider, model: route.target.model || undefined }
    const waitMs = bucket?.take() ?? 0
    if (waitMs > 0) {
      throw new Fault('busy', 'the configured requestsPerMinute are used up', {
        ...where,
        retryable: true,
        retryAfterMs: waitMs,
      })
    }
    if (!limit) return yield* translate(ask, route, attempted)
    // Counted here and not by the limit, which keeps the places of callers that have gone until their turn comes.
    if (gate.waiting >= maxQueued) {
      throw new Fault('busy', `${maxQueued} calls are waiting already`, {
        ...where,
        retryable: true,
        retryAfterMs: 1000,
      })
    }
    gate.waiting += 1
    const leave = await enter(limit, attempted.signal, where).finally(() => (gate.waiting -= 1))
    try {
      yield* translate(ask, route, attempted)
    } finally {
      leave()
    }
  }
  // A provider without limits costs its events no further step.
  return (ask, route, attempted) => {
    const { maxConcurrency, requestsPerMinute } = route.provider
    const handle = maxConcurrency || requestsPerMinute ? limited : translate
    return handle(ask, route, attempted)
  }
}

/** Waits for a place; resolves with the function that gives it back. A caller that goes away leaves the queue. */
function enter(limit: LimitFunction, signal: AbortSignal, where: FaultDetail): Promise<() => void> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(interruption(signal, where))
    if (signal.aborted) return onAbort()
    signal.addEventListener('abort', onAbort, { once: true })
    void limit(() => {
      signal.removeEventListener('abort', onAbort)
      return signal.aborted ? undefined : new Promise<void>((leave) => resolve(leave))
    })
  })
}

function interruption({ reason }: AbortSignal, where: FaultDetail): Fault {
  return reason instanceof Fault
    ? new Fault(reason.code, reason.message, { ...reason.detail, ...where })
    : new Fault('unavailable', 'the call was interrupted in the queue', {
        cause: 'cancelled',
        retryable: true,
        ...where,
      })
}

function createBucket(perMinute: number, now: () => number): Bucket {
  let tokens = perMinute
  let countedMs = now()
  return {
    take() {
      const nowMs = now()
      tokens = Math.min(perMinute, tokens + ((nowMs - countedMs) / minuteMs) * perMinute)
      countedMs = nowMs
      if (tokens < 1) return Math.ceil(((1 - tokens) / perMinute) * minuteMs)
      tokens -= 1
      return 0
    },
  }
}
