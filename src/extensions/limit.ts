import pLimit, { type LimitFunction } from 'p-limit'
import type { ProviderConfig } from '../config.ts'
import { Fault, type FaultDetail } from '../errors.ts'
import { type Ask, type Events, textOf } from '../gateway.ts'
import type { Translate } from '../pipeline/translator.ts'

/** Calls that may wait for a free place at one provider. */
const maxQueued = 256
/** Calls whose places the limit still keeps, those that have gone while they waited among them. */
const maxPending = 10_000
const minuteMs = 60_000

type Gate = {
  limit: LimitFunction | undefined
  requests: Bucket | undefined
  tokens: Bucket | undefined
  queue: Queue
  /** Calls that are running or waiting, and how many may be. */
  inside: number
  room: number
}

/** What may be used in a minute; it fills up evenly. */
type Bucket = {
  /** Milliseconds until the amount is there; of more than a minute's worth, until all is there. */
  waitMs(amount: number): number
  /** Takes an amount, which may turn out to be more than there was, or gives one back. */
  take(amount: number): void
}

/**
 * Holds each provider to its configured `maxConcurrency`, `requestsPerMinute` and `tokensPerMinute`. Over the concurrency
 * a call waits for its turn and tells its place; over the queue, or the rates, it is `busy` at once and told when to come back.
 */
export function withLimits(translate: Translate, now: () => number): Translate {
  const gates = new Map<string, Gate>()
  const gateOf = (provider: ProviderConfig): Gate => {
    const known = gates.get(provider.name)
    if (known) return known
    const { maxConcurrency, requestsPerMinute, tokensPerMinute } = provider
    const gate = {
      limit: maxConcurrency ? pLimit(maxConcurrency) : undefined,
      requests: requestsPerMinute ? createBucket(requestsPerMinute, now) : undefined,
      tokens: tokensPerMinute ? createBucket(tokensPerMinute, now) : undefined,
      queue: createQueue(),
      inside: 0,
      room: maxConcurrency ? maxConcurrency + maxQueued : Number.POSITIVE_INFINITY,
    }
    gates.set(provider.name, gate)
    return gate
  }

  const limited: Translate = async function* (ask, route, attempted) {
    const gate = gateOf(route.provider)
    const { limit, requests, tokens, queue } = gate
    const where = { provider: route.target.provider, model: route.target.model || undefined }
    const estimate = tokens ? estimatedTokens(ask) : 0
    const rates = [
      { setting: 'requestsPerMinute', waitMs: requests?.waitMs(1) ?? 0 },
      { setting: 'tokensPerMinute', waitMs: tokens?.waitMs(estimate) ?? 0 },
    ]
    const over = rates.find(({ waitMs }) => waitMs > 0)
    if (over) throw busy(`the configured ${over.setting} are used up`, over.waitMs, where)
    // Counted here and not by the limit, which keeps the places of callers that have gone until their turn comes.
    if (limit && (gate.inside >= gate.room || limit.pendingCount >= maxPending))
      throw busy('as many calls as may are waiting already', 1000, where)
    requests?.take(1)
    tokens?.take(estimate)
    gate.inside += 1
    const place = limit && enter(limit, attempted.signal, where)
    let made = 0
    let used: number | undefined
    try {
      if (place) yield* queued(place, queue, attempted.streaming)
      made = 1
      for await (const events of translate(ask, route, attempted)) {
        for (const event of events) {
          if (event.type === 'usage') used = event.usage.totalTokens
          else if (event.type === 'served') made = event.attempts
        }
        yield events
      }
    } catch (error) {
      if (error instanceof Fault) made = error.detail.attempts ?? made
      throw error
    } finally {
      gate.inside -= 1
      // Repeats are requests too, and a call that never left has used nothing.
      requests?.take(made - 1)
      if (made === 0) used = 0
      if (used !== undefined) tokens?.take(used - estimate)
      // Also where it has come free, or will, after its reader has gone.
      place?.then(
        (leave) => leave(),
        () => {},
      )
    }
  }
  return (ask, route, attempted) => {
    const { maxConcurrency, requestsPerMinute, tokensPerMinute } = route.provider
    // A list takes no model's time, and calls that have been let in wait for it. Without limits, events cost no further step.
    const isLimited = ask.kind !== 'models' && (maxConcurrency || requestsPerMinute || tokensPerMinute)
    return (isLimited ? limited : translate)(ask, route, attempted)
  }
}

function busy(message: string, retryAfterMs: number, where: FaultDetail): Fault {
  return new Fault('busy', message, { ...where, retryable: true, retryAfterMs })
}

const charsPerToken = 4

/** Before the provider has counted: four characters a token, and as many as the answer may have. */
function estimatedTokens(ask: Ask): number {
  const answer = ask.kind === 'chat' || ask.kind === 'text' ? (ask.maxTokens ?? 0) : 0
  return Math.ceil(charsOf(ask) / charsPerToken) + answer
}

function charsOf(ask: Ask): number {
  switch (ask.kind) {
    case 'chat':
      return ask.messages.reduce((sum, { content }) => sum + textOf(content).length, 0)
    case 'text':
      return ask.prompt.length
    case 'embed':
      return ask.input.reduce((sum, text) => sum + text.length, 0)
    default:
      return 0
  }
}

/** Who waits, in order; a change wakes all, so that each can tell its place. */
type Queue = { join(): Ticket }
type Ticket = { place(): number; changed(): Promise<void>; leave(): void }

function createQueue(): Queue {
  const waiting: object[] = []
  let wake = () => {}
  let change = new Promise<void>((resolve) => (wake = resolve))
  return {
    join() {
      const ticket = {}
      waiting.push(ticket)
      return {
        place: () => waiting.indexOf(ticket) + 1,
        changed: () => change,
        leave() {
          waiting.splice(waiting.indexOf(ticket), 1)
          wake()
          change = new Promise((resolve) => (wake = resolve))
        },
      }
    },
  }
}

/** Waits until a place has come free, and tells who watches how many are in front. */
async function* queued(place: Promise<unknown>, queue: Queue, streaming: boolean): AsyncGenerator<Events> {
  const ticket = queue.join()
  let free = false
  const coming = place.then(() => (free = true))
  // Told below; nobody may be waiting when it fails.
  coming.catch(() => {})
  try {
    // To wake all who wait at each change costs the square of them: it is done for those alone who tell it.
    if (!streaming) {
      await coming
      return
    }
    // A free place is there a few turns later.
    await Promise.race([coming, new Promise((resolve) => setImmediate(resolve))])
    for (let told = 0; !free; ) {
      const position = ticket.place()
      if (position !== told) yield [{ type: 'queued', place: position }]
      told = position
      await Promise.race([coming, ticket.changed()])
    }
  } finally {
    ticket.leave()
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
  let left = perMinute
  let countedMs = now()
  const fill = () => {
    const nowMs = now()
    left = Math.min(perMinute, left + ((nowMs - countedMs) / minuteMs) * perMinute)
    countedMs = nowMs
  }
  return {
    waitMs(amount) {
      fill()
      const missing = Math.min(amount, perMinute) - left
      return missing > 0 ? Math.ceil((missing / perMinute) * minuteMs) : 0
    },
    take(amount) {
      fill()
      left = Math.min(perMinute, left - amount)
    },
  }
}
