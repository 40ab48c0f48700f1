import { Fault } from '../errors.ts'
import type { Route } from './router.ts'

/** How each route has fared lately, by what real calls have met: nothing is sent to find out. */
export type Health = {
  /**
   * The routes as they should be tried: one that is down stands back behind those that are not, the least recently failed
   * first. Throws `unavailable` for one that is asked for by itself and has been down for long.
   */
  order(routes: readonly Route[]): readonly Route[]
  succeeded(route: Route): void
  failed(route: Route, fault: Fault): void
}

/** Failures in a row after which a route stands back while there is another. */
const standBackAfter = 5
/** After so many without an answer it is refused at once, if there is no other: being asked does not help who is down. */
const refusedAfter = 20
/** For how long; then one call is let through, which decides. */
const restMs = 15_000
const keyRestMs = 60_000
const maxParkedMs = 600_000
const maxRoutes = 1000

/** `unanswered` are the failures of which nothing came back at all. */
type State = { failures: number; unanswered: number; restsUntilMs: number; failedAtMs: number }

export function createHealth(now: () => number): Health {
  const states = new Map<string, State>()
  const keyOf = ({ target }: Route) => `${target.provider}/${target.model}`
  const failedAt = (route: Route) => states.get(keyOf(route))?.failedAtMs ?? 0

  const assertWorthAsking = (route: Route) => {
    const state = states.get(keyOf(route))
    if (state === undefined || state.unanswered < refusedAfter) return
    const leftMs = state.restsUntilMs - now()
    if (leftMs <= 0) {
      // This call is the one that finds out; until it has, the others stay away.
      state.restsUntilMs = now() + restMs
      return
    }
    throw new Fault(
      'unavailable',
      `its last ${state.unanswered} calls in a row have failed, and it is left alone for now`,
      {
        cause: 'circuit_open',
        provider: route.target.provider,
        model: route.target.model,
        attempts: 0,
        retryable: true,
        retryAfterMs: Math.ceil(leftMs),
      },
    )
  }

  return {
    order(routes) {
      const [only] = routes
      if (routes.length === 1 && only) {
        // On the user's own machine, starting the server is what the user does next.
        if (!only.provider.preset.local) assertWorthAsking(only)
        return routes
      }
      const nowMs = now()
      const rests = (route: Route) => nowMs < (states.get(keyOf(route))?.restsUntilMs ?? nowMs)
      const down = routes.filter(rests).sort((left, right) => failedAt(left) - failedAt(right))
      return [...routes.filter((route) => !rests(route)), ...down]
    },
    succeeded(route) {
      states.delete(keyOf(route))
    },
    failed(route, fault) {
      const meaning = meaningOf(fault)
      if (meaning === 'nothing') return
      if (states.size >= maxRoutes) states.clear()
      const before = states.get(keyOf(route))
      const failures = typeof meaning === 'number' ? 0 : (before?.failures ?? 0) + 1
      const unanswered = meaning === 'down' ? (before?.unanswered ?? 0) + 1 : 0
      const rest = typeof meaning === 'number' ? meaning : failures >= standBackAfter ? restMs : 0
      states.set(keyOf(route), { failures, unanswered, restsUntilMs: now() + rest, failedAtMs: now() })
    },
  }
}

/** What a fault says of the route: that it is down or failing, how many milliseconds it wants to be left alone, or nothing. */
function meaningOf({ code, detail }: Fault): 'down' | 'failing' | 'nothing' | number {
  // Nobody has been asked.
  if (detail.attempts === 0) return 'nothing'
  switch (code) {
    case 'timeout':
      return detail.cause === 'deadline' ? 'nothing' : 'down'
    case 'truncated':
      return 'failing'
    case 'network':
    case 'tls':
    case 'overloaded':
    case 'provider_error':
      return detail.cause === 'plugin' ? 'nothing' : detail.cause === 'stream_error' ? 'failing' : 'down'
    case 'rate_limited':
      return Math.min(detail.retryAfterMs ?? 0, maxParkedMs)
    case 'authentication':
    case 'permission':
    case 'quota':
      return keyRestMs
    case 'unavailable':
    case 'busy':
    case 'internal':
    case 'configuration':
      return 'nothing'
    default:
      // It has answered.
      return 0
  }
}
