import type { Event, ModelInfo } from '../gateway.ts'

/** Which models each provider has, as it last said. */
export type Directory = {
  /** Asks the provider unless it was asked lately; throws its Fault. */
  list(provider: string, signal: AbortSignal, refresh?: boolean): Promise<readonly ModelInfo[]>
  /** Whether the provider lists a model. One that cannot say so soon does not, and is not asked again for a while. */
  holds(provider: string, model: string, signal: AbortSignal): Promise<boolean>
}

const freshMs = 300_000
/** A call is waiting to be routed meanwhile. */
const maxLookupMs = 5_000
const silentMs = 30_000
const maxModels = 10_000
/** A name goes into results that a model reads: one that could pass for a sentence is left out. */
const decentName = /^[\w./:@+~-]{1,128}$/

export function createDirectory(
  ask: (provider: string, signal: AbortSignal, timeoutMs: number | undefined) => AsyncIterable<Event>,
  now: () => number,
): Directory {
  const known = new Map<string, { models: readonly ModelInfo[]; atMs: number }>()
  const silentSince = new Map<string, number>()

  const fresh = (provider: string) => {
    const entry = known.get(provider)
    return entry && now() - entry.atMs < freshMs ? entry.models : undefined
  }
  const fetch = async (provider: string, signal: AbortSignal, timeoutMs?: number): Promise<readonly ModelInfo[]> => {
    const models = new Map<string, ModelInfo>()
    for await (const event of ask(provider, signal, timeoutMs)) {
      if (event.type === 'model' && decentName.test(event.model.name) && models.size < maxModels) {
        models.set(event.model.name, event.model)
      }
    }
    const list = [...models.values()]
    known.set(provider, { models: list, atMs: now() })
    silentSince.delete(provider)
    return list
  }

  return {
    async list(provider, signal, refresh = false) {
      return (refresh ? undefined : fresh(provider)) ?? fetch(provider, signal)
    },
    async holds(provider, model, signal) {
      const since = silentSince.get(provider)
      if (since !== undefined && now() - since < silentMs) return false
      try {
        const models = fresh(provider) ?? (await fetch(provider, signal, maxLookupMs))
        return models.some(({ name }) => name === model)
      } catch {
        silentSince.set(provider, now())
        return false
      }
    },
  }
}
