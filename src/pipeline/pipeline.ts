import type { Clock } from '../clock.ts'
import { Fault, type FaultCode, type Met } from '../errors.ts'
import type { Ask, Events, Part, Substituted } from '../gateway.ts'
import type { Handle } from '../handle.ts'
import { ending, opening, stepping } from '../iteration.ts'
import type { Directory } from './directory.ts'
import { createHealth } from './health.ts'
import { assertUsable, type Route, type Router } from './router.ts'
import type { Attempted, Translate } from './translator.ts'

/** Calls at once, each with a socket of its own; beyond, the system's own limits are near. */
const maxActive = 1000

/** Faults that another route would meet as well, unless its list says that it might not, or that leave no time for one. */
const final = new Set(['invalid_request', 'context_length', 'content_filter', 'internal'])

export type Parts = { router: Router; translate: Translate; directory: Directory; clock: Clock }

/** Router and Translator behind one Handle: the routes are tried in turn until one delivers its first event. */
export function createPipeline({ router, translate, directory, clock }: Parts): Handle {
  const health = createHealth(clock.now)
  let active = 0
  return (ask, call) => {
    // A lookup of models on behalf of a call that was let in must not be turned away.
    let counted = ask.kind === 'models' ? 0 : 1
    return opening(async () => {
      if (counted > 0 && active >= maxActive) {
        throw new Fault('busy', `${maxActive} calls are in progress already`, { retryable: true, retryAfterMs: 1000 })
      }
      active += counted
      const leave = () => {
        active -= counted
        counted = 0
      }
      try {
        const found = await router.route(ask, call.signal)
        const { signal, streaming, deadline = Number.POSITIVE_INFINITY } = call
        const attempted = { signal, streaming, deadline }
        if (isAboutModel(ask)) return ending(inTurn(ask, found, attempted), leave)
        const [only] = found as readonly [Route]
        assertUsable(only.provider)
        return ending(translate(ask, only, attempted)[Symbol.asyncIterator](), leave)
      } catch (error) {
        leave()
        throw error
      }
    })
  }

  /** The events of the first route that delivers some. */
  function inTurn(ask: Ask, found: readonly Route[], attempted: Attempted): AsyncIterator<Events> {
    // What cannot be called is told as a fault only where there is nothing else.
    const usable = found.filter(({ provider }) => provider.problem === undefined)
    const routes = health.order(usable.length > 0 ? usable : found)
    const codes = new Map<string, FaultCode>()
    const met: Met[] = []
    let at = 0
    let route: Route
    let routedMs: number
    let delivered: boolean
    let events: AsyncIterator<Events> | undefined

    const start = (): Promise<IteratorResult<Events>> => {
      route = routes[at] as Route
      routedMs = clock.now()
      delivered = false
      try {
        assertUsable(route.provider)
        assertTakes(ask, route, directory)
      } catch (error) {
        return failed(error)
      }
      events = translate(ask, route, attempted)[Symbol.asyncIterator]()
      return events.next().then(told, failed)
    }
    const told = (next: IteratorResult<Events>): IteratorResult<Events> => {
      if (next.done) {
        health.succeeded(route)
        return next
      }
      if (delivered || !next.value.some(({ type }) => type === 'served')) return next
      delivered = true
      router.observe(route, clock.now() - routedMs)
      // The first that came to mind, as nearly always.
      if (at === 0 && route === found[0]) return next
      return { done: false, value: withHistory(next.value, met, passedOver(found, route, codes)) }
    }
    const failed = async (error: unknown): Promise<IteratorResult<Events>> => {
      if (!(error instanceof Fault)) throw error
      health.failed(route, error)
      met.push(...(error.detail.met ?? []))
      const isFinal = final.has(error.code) && !route.failoverOn?.includes(error.code)
      if (at === routes.length - 1 || delivered || attempted.signal.aborted || isFinal) {
        const detail = { ...error.detail, attempts: met.length, ...(met.length > 0 ? { met } : {}) }
        const hint = await hintOf(error, route, attempted.signal)
        throw new Fault(error.code, hint === '' ? error.message : error.message.replace(/[.\s]+$/, '') + hint, detail)
      }
      codes.set(nameOf(route), error.code)
      at += 1
      return start()
    }
    const step = () => (events ? events.next().then(told, failed) : start())
    return stepping(step, () => events?.return?.())
  }

  /** What to ask for instead of a model that is not there. */
  async function hintOf(fault: Fault, { provider, target }: Route, signal: AbortSignal): Promise<string> {
    if (!isUnknownModel(fault)) return ''
    const alike = await directory.like(provider.name, target.model, signal).catch(() => [])
    return alike.length > 0 ? `; the nearest names there are ${alike.join(', ')}` : ''
  }
}

/** What befell the call at other routes is told with who serves it at last. */
function withHistory(events: Events, met: readonly Met[], substituted: readonly Substituted[]): Events {
  return events.map((event) => {
    if (event.type !== 'served') return event
    return {
      ...event,
      attempts: event.attempts + met.length,
      ...(met.length > 0 ? { met: [...met, ...(event.met ?? [])] } : {}),
      ...(substituted.length > 0 ? { substituted } : {}),
    }
  })
}

/** Other asks are about the provider itself, and have one way to go. */
function isAboutModel({ kind }: Ask): boolean {
  return kind !== 'models' && kind !== 'tool'
}

function nameOf({ target }: Route): string {
  return `${target.provider}/${target.model}`
}

/** Who would have come before the one that serves and did not answer: of those not even tried, most have stood back. */
function passedOver(found: readonly Route[], served: Route, failed: ReadonlyMap<string, FaultCode>): Substituted[] {
  const untried = found
    .slice(0, found.indexOf(served))
    .map((route): [string, FaultCode] => [nameOf(route), route.provider.problem ? 'configuration' : 'unavailable'])
  const codes = new Map([...untried, ...failed])
  codes.delete(nameOf(served))
  return [...codes].map(([model, code]) => ({ model, code }))
}

/** Content that the model is known not to take is refused before anything is sent; what is not known is tried. */
function assertTakes(ask: Ask, { target }: Route, directory: Directory): void {
  if (ask.kind !== 'chat') return
  const { capabilities } = directory.known(target.provider, target.model) ?? {}
  if (capabilities === undefined || capabilities.includes('vision')) return
  if (!ask.messages.some(({ content }) => holdsImage(content))) return
  throw new Fault('invalid_request', 'this model takes no images', {
    cause: 'no_vision',
    provider: target.provider,
    model: target.model,
    attempts: 0,
  })
}

function holdsImage(parts: readonly Part[]): boolean {
  return parts.some(
    (part) =>
      part.type === 'image' || part.type === 'image-url' || (part.type === 'tool-result' && holdsImage(part.content)),
  )
}

function isUnknownModel({ code, detail }: Fault): boolean {
  return code === 'model_not_found' && detail.cause === undefined
}
