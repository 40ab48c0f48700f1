import { Fault } from '../errors.ts'
import type { Ask, Part } from '../gateway.ts'
import type { Handle } from '../handle.ts'
import type { Clock } from '../http/retry.ts'
import type { Directory } from './directory.ts'
import type { Route, Router } from './router.ts'
import type { Translate } from './translator.ts'

/** Calls at once, each with a socket of its own; beyond, the system's own limits are near. */
const maxActive = 1000

/** Faults that another route would meet as well, or that leave no time for one. */
const final = new Set(['invalid_request', 'context_length', 'content_filter', 'internal'])

export type Parts = { router: Router; translate: Translate; directory: Directory; clock: Clock }

/** Router and Translator behind one Handle: the routes are tried in turn until one delivers its first event. */
export function createPipeline({ router, translate, directory, clock }: Parts): Handle {
  let active = 0
  return async function* pipeline(ask, call) {
    // A lookup of models on behalf of a call that was let in must not be turned away.
    const counted = ask.kind === 'models' ? 0 : 1
    if (counted > 0 && active >= maxActive) {
      throw new Fault('busy', `${maxActive} calls are in progress already`, { retryable: true, retryAfterMs: 1000 })
    }
    active += counted
    const { signal, deadline = Number.POSITIVE_INFINITY } = call
    let attempts = 0
    try {
      const routes = await router.route(ask, signal)
      for (const [at, route] of routes.entries()) {
        const routedMs = clock.now()
        let delivered = false
        try {
          assertTakes(ask, route, directory)
          for await (const event of translate(ask, route, { signal, deadline })) {
            if (!delivered) router.observe(route, clock.now() - routedMs)
            delivered = true
            yield event.type === 'served' ? { ...event, attempts: event.attempts + attempts } : event
          }
          return
        } catch (error) {
          if (!(error instanceof Fault)) throw error
          attempts += error.detail.attempts ?? 0
          const last = at === routes.length - 1 || delivered || signal.aborted || final.has(error.code)
          if (!last) continue
          const alike = isUnknownModel(error, ask)
            ? await directory.like(route.provider.name, route.target.model, signal).catch(() => [])
            : []
          const hint = alike.length > 0 ? `; the nearest names there are ${alike.join(', ')}` : ''
          throw new Fault(error.code, hint === '' ? error.message : error.message.replace(/[.\s]+$/, '') + hint, {
            ...error.detail,
            attempts,
          })
        }
      }
    } finally {
      active -= counted
    }
  }
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

/** The list of models is itself an ask, which must not lead back here. */
function isUnknownModel(fault: Fault, ask: Ask): boolean {
  return (
    fault.code === 'model_not_found' && fault.detail.cause === undefined && ask.kind !== 'models' && ask.kind !== 'tool'
  )
}
