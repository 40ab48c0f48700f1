import type { Fault } from '../errors.ts'
import type { Ask } from '../gateway.ts'
import type { EncodedRequest } from '../provider.ts'
import type { Route } from './router.ts'

/** What models have refused so far: no list of names can know them all, and each is told only once. */
export type Lessons = {
  /** Takes note of what `sent` was refused for; whether `apply` takes it out of the next request. */
  learn(route: Route, fault: Fault, sent: EncodedRequest, ask: Ask): boolean
  /** The request as this model takes it, with a warning for each change. */
  apply(route: Route, encoded: EncodedRequest, ask: Ask): EncodedRequest
}

/** Without these a call is another call: a refusal of one is the answer. */
const essential = new Set([
  ...['model', 'messages', 'input', 'instructions', 'prompt', 'suffix', 'tools', 'stream', 'store'],
  ...['response_format', 'format', 'text', 'output_config'],
])
const maxRoutes = 1000

export function createLessons(): Lessons {
  const lessons = new Map<string, Map<string, string | undefined>>()
  const keyOf = ({ target }: Route) => `${target.provider}/${target.model}`
  /** What the caller passes through untouched is the caller's to take back. */
  const isOurs = (name: string, encoded: EncodedRequest, ask: Ask) =>
    encoded.json?.[name] !== undefined && !essential.has(name) && !Object.hasOwn(ask.options ?? {}, name)

  return {
    learn(route, { detail: { parameter } }, sent, ask) {
      if (!parameter || !isOurs(parameter.name, sent, ask)) return false
      const known = lessons.get(keyOf(route)) ?? new Map<string, string | undefined>()
      // Another call has learnt it while this one was under way.
      if (known.has(parameter.name)) return true
      if (lessons.size >= maxRoutes) lessons.clear()
      lessons.set(keyOf(route), known.set(parameter.name, parameter.replacement))
      return true
    },
    apply(route, encoded, ask) {
      const known = lessons.get(keyOf(route)) ?? new Map<string, string | undefined>()
      const refused = [...known].filter(([name]) => isOurs(name, encoded, ask))
      if (refused.length === 0) return encoded
      const json = { ...encoded.json }
      const warnings = refused.map(([name, replacement]) => {
        const renamed = replacement !== undefined && !known.has(replacement)
        if (renamed) json[replacement] = json[name]
        delete json[name]
        return !renamed
          ? `${name} was left out: ${route.target.model} refuses it`
          : `${name} was sent as ${replacement}: ${route.target.model} refuses the former`
      })
      return { ...encoded, json, warnings: [...encoded.warnings, ...warnings] }
    },
  }
}
