import type { Config, ProviderConfig } from '../config.ts'
import { Fault } from '../errors.ts'
import type { Ask } from '../gateway.ts'
import type { Middleware } from '../handle.ts'
import { rescued } from '../iteration.ts'

/** Where nothing listens at the place of a local server, says how it is started; and which ones were looked for, if it could be any. */
export function withStartAdvice({ providers, defaultProviders }: Config): Middleware {
  const anyOf = defaultProviders.flatMap((name) => providers.get(name) ?? [])
  const areLocal = [...providers.values()].some(({ preset }) => preset.startedBy !== undefined)
  if (!areLocal) return (next) => next
  return (next) => (ask, call) =>
    rescued(next(ask, call)[Symbol.asyncIterator](), (error) => {
      const provider =
        error instanceof Fault && isAbsent(error) ? providers.get(error.detail.provider ?? '') : undefined
      if (!provider || !(error instanceof Fault)) throw error
      const message = triedAll(ask, error, anyOf) ? noneOf(anyOf) : alone(error, provider)
      throw new Fault(error.code, message, error.detail)
    })
}

function isAbsent({ detail }: Fault): boolean {
  return detail.cause === 'connect_refused'
}

/** Whether each was turned to in vain: all are asked for their models where none is named, and the named one is tried at each. */
function triedAll(ask: Ask, { detail: { provider, met = [] } }: Fault, anyOf: readonly ProviderConfig[]): boolean {
  if (anyOf.length < 2 || ask.kind === 'models' || ask.kind === 'tool' || provider !== anyOf.at(-1)?.name) return false
  return ask.model === undefined || anyOf.every(({ name }) => met.some((one) => one.provider === name))
}

function noneOf(anyOf: readonly ProviderConfig[]): string {
  const places = anyOf.map(({ name, baseUrl }) => `${name} at ${new URL(baseUrl).host}`).join(', ')
  const starts = anyOf.flatMap(({ preset }) => preset.startedBy ?? []).join(' or ')
  return `none of the local servers can be reached (${places}): start one, with ${starts}`
}

function alone({ message }: Fault, { preset: { startedBy } }: ProviderConfig): string {
  return startedBy === undefined ? message : `${message.replace(/[.\s]+$/, '')} It is started with ${startedBy}.`
}
