import type { Clock } from '../clock.ts'
import { Fault, type FaultDetail, type Met } from '../errors.ts'
import type { Ask, Event, Events } from '../gateway.ts'
import { readErrorText } from '../http/body.ts'
import type { HttpRequest, Send } from '../http/message.ts'
import { createPace } from '../http/rate-limit.ts'
import { createRetryBudget, type RetryBudget, withRetry } from '../http/retry.ts'
import { withPatience } from '../http/timeouts.ts'
import { opening, over, stepping } from '../iteration.ts'
import type { Dialect, EncodedRequest, Operation, Target } from '../provider.ts'
import type { Secrets } from '../secrets.ts'
import { createHolding, type Holding } from './holding.ts'
import { createLessons } from './lessons.ts'
import type { Route } from './router.ts'

/** What bounds an attempt; the deadline is a time of the clock. */
export type Attempted = {
  signal: AbortSignal
  deadline: number
  /** Whether the caller sees the answer while it comes: then nothing of it can be taken back. */
  streaming: boolean
}

/** Answers an ask at one route. What fails before anything was delivered is tried again. */
export type Translate = (ask: Ask, route: Route, attempted: Attempted) => AsyncIterableIterator<Events>

/** Events that show nothing to the caller yet. */
const preliminary = new Set<Event['type']>(['response', 'warning', 'usage'])
/** A list of models is no answer to wait minutes for. */
const maxListMs = 30_000

export function createTranslator({ send, secrets, clock }: { send: Send; secrets: Secrets; clock: Clock }): Translate {
  const lessons = createLessons()
  const pace = createPace(clock.now)
  const budgets = new Map<string, RetryBudget>()
  const budgetOf = (provider: string) => {
    const budget = budgets.get(provider) ?? createRetryBudget(clock.now)
    budgets.set(provider, budget)
    return budget
  }

  /**
   * One attempt: its events up to the first that commits, and the rest if there may be more. A caller that sees the
   * answer while it comes is committed by the first event that shows something, any other by the last.
   */
  const attempt = async (ask: Ask, route: Route, encoded: EncodedRequest, attempted: Attempted): Promise<Begun> => {
    const response = await send(await requestFor(ask, route, encoded, secrets), attempted.signal)
    pace.learn(route.provider.name, response.headers)
    if (response.status !== 200) {
      const body = await readErrorText(response)
      throw await route.provider.preset.dialect.fault(response.status, response.headers, body)
    }
    const decode = (encoded.decode as Operation<Ask>['decode'] | undefined) ?? operationOf(ask, route).decode
    const decoded = decode(response, ask)[Symbol.asyncIterator]()
    const { idleMs } = route.provider.limits
    const rest = withPatience(decoded, 10 * idleMs, clock, (fault) => response.interrupt?.(fault))
    const held = createHolding(encoded.warnings.map((message) => ({ type: 'warning', message })))
    try {
      for (let next = await rest.next(); !next.done; next = await rest.next()) {
        for (const event of next.value) held.add(event)
        if (attempted.streaming && !next.value.every(({ type }) => preliminary.has(type))) return { held, rest }
      }
      return { held }
    } catch (error) {
      if (!(error instanceof Fault)) throw error
      throw withDetail(error, { partialText: held.text(), requestId: held.requestId() })
    }
  }

  return (ask, route, attempted) => {
    const { provider, target } = route
    const met: Met[] = []
    let requestId: string | undefined

    /**
     * An attempt, and one more for each refusal that says what to mend: a key whose file has been replaced since it was
     * read, once, and each parameter that this model does not take, which is not sent to it again.
     */
    const mended = async (encoded: EncodedRequest): Promise<Begun> => {
      let reread = false
      for (;;) {
        const sent = lessons.apply(route, encoded, ask)
        const generation = secrets.generation(provider.name)
        const restMs = pace.restMs(provider.name)
        if (restMs > 0) await clock.sleep(restMs, attempted.signal)
        const startedMs = clock.now()
        try {
          return await attempt(ask, route, sent, attempted)
        } catch (error) {
          if (!(error instanceof Fault)) throw error
          met.push(metBy(error, target, clock.now() - startedMs))
          const keyRefused = error.code === 'authentication' || error.detail.cause === 'key_file'
          const rotated: boolean = keyRefused && !reread && secrets.reread(provider.name, generation)
          if (!rotated && !lessons.learn(route, error, sent, ask)) throw error
          reread ||= rotated
        }
      }
    }

    const failed = (error: unknown): never => {
      if (!(error instanceof Fault)) throw error
      throw withDetail(error, {
        requestId: error.detail.requestId ?? requestId,
        provider: target.provider,
        ...(target.model === '' ? {} : { model: target.model }),
        attempts: met.length,
        ...(met.length > 0 ? { met } : {}),
      })
    }
    /** Nothing can be taken back any more. */
    const failedLate = (error: unknown): never => {
      if (error instanceof Fault) met.push(metBy(error, target, 0))
      return failed(error)
    }
    const begin = async () => {
      const encoded = await operationOf(ask, route).encode(ask, target)
      return withRetry(() => mended(encoded), {
        retries: provider.maxRetries,
        budget: budgetOf(provider.name),
        signal: attempted.signal,
        clock,
        deadline: attempted.deadline,
        sendOnce: isSentOnce(ask, route),
      })
    }
    return opening(async () => {
      const begun = await begin().catch(failed)
      requestId = begun.held.requestId()
      const { provider: name, model } = target
      const attempts = met.length + 1
      const served: Event = { type: 'served', provider: name, model, attempts, ...(met.length > 0 ? { met } : {}) }
      return delivering(begun, served, failedLate)
    })
  }
}

/** The events of an attempt up to the one that commits, and how to come by the others. */
type Begun = { held: Holding; rest?: AsyncIterator<Events> }

/** What was held, behind the event that says who serves it, and then the others as they come. */
function delivering({ held, rest }: Begun, served: Event, failed: (error: unknown) => never): AsyncIterator<Events> {
  const released = held.release(served)[Symbol.iterator]()
  let isReleased = false
  const step = (): Promise<IteratorResult<Events>> => {
    if (!isReleased) {
      const next = released.next()
      // Of a long answer: others have their turn in between.
      if (!next.done) return held.isLong() ? turn().then(() => next) : Promise.resolve(next)
      isReleased = true
    }
    return rest ? rest.next().catch(failed) : Promise.resolve(over)
  }
  return stepping(step, () => rest?.return?.())
}

function metBy({ code, detail: { cause, status } }: Fault, { provider, model }: Target, elapsedMs: number): Met {
  return { provider, model, code, cause, status, elapsedMs: Math.round(elapsedMs) }
}

function withDetail(fault: Fault, more: FaultDetail): Fault {
  return new Fault(fault.code, fault.message, { ...fault.detail, ...more })
}

type AnyOperation = Operation<Ask, EncodedRequest | Promise<EncodedRequest>>

/** Asks and operations are keyed by the same kinds, which the type system cannot follow through a look-up. */
function operationOf(ask: Ask, { provider }: Route): AnyOperation {
  const { dialect } = provider.preset
  const operation = ask.kind === 'tool' ? toolOf(dialect, ask.name) : dialect[ask.kind]
  if (!operation) throw new Fault('invalid_request', `it does not offer ${ask.kind === 'tool' ? ask.name : ask.kind}`)
  return operation as AnyOperation
}

function isSentOnce(ask: Ask, { provider }: Route): boolean {
  return ask.kind === 'tool' && (toolOf(provider.preset.dialect, ask.name)?.sendOnce ?? true)
}

function toolOf({ tools = {} }: Dialect, name: string) {
  return Object.hasOwn(tools, name) ? tools[name] : undefined
}

async function requestFor(ask: Ask, route: Route, encoded: EncodedRequest, secrets: Secrets): Promise<HttpRequest> {
  const { provider } = route
  const { limits, headers, name, preset } = provider
  const key = secrets.keyFor(name, encoded.url)
  if (provider.key && 'file' in provider.key && key === undefined) {
    throw new Fault('configuration', `the file that ${provider.key.setBy} names cannot be read or is empty`, {
      cause: 'key_file',
    })
  }
  if (key !== undefined && !/^[\x21-\x7e]+$/.test(key)) {
    throw new Fault('configuration', 'its key holds characters that no HTTP header can carry', { cause: 'bad_key' })
  }
  const patientMs = encoded.slowStart ? limits.slowFirstByteMs : limits.firstByteMs
  return {
    method: encoded.method,
    url: encoded.url,
    headers: lowerCased(
      encoded.headers,
      encoded.json && { 'content-type': 'application/json' },
      key === undefined ? undefined : await preset.dialect.authorize(key),
      headers,
    ),
    ...(encoded.json ? { body: JSON.stringify(encoded.json) } : encoded.bytes ? { body: encoded.bytes } : {}),
    limits: { firstByteMs: ask.kind === 'models' ? Math.min(patientMs, maxListMs) : patientMs, idleMs: limits.idleMs },
    once: isSentOnce(ask, route),
  }
}

/** Names of headers have no case: one that a plugin or the configuration sets replaces ours however it is spelled. */
function lowerCased(...all: (Readonly<Record<string, string>> | undefined)[]): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const some of all) for (const name in some) headers[name.toLowerCase()] = some[name] as string
  return headers
}

/** Resolves when the event loop has come round. */
function turn(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve))
}
