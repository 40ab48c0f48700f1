import type { Event, ModelInfo } from '../gateway.ts'

/** Which models each provider has, as it last said. */
export type Directory = {
  /** Asks the provider unless it was asked lately; throws its Fault. */
  list(provider: string, signal: AbortSignal, refresh?: boolean): Promise<readonly ModelInfo[]>
}

const freshMs = 300_000
const maxModels = 10_000
/** A name goes into results that a model reads: one that could pass for a sentence is left out. */
const decentName = /^[\w./:@+~-]{1,128}$/

export function createDirectory(
  ask: (provider: string, signal: AbortSignal) => AsyncIterable<Event>,
  now: () => number,
): Directory {
  const known = new Map<string, { models: readonly ModelInfo[]; atMs: number }>()
  return {
    async list(provider, signal, refresh = false) {
      const entry = known.get(provider)
      if (entry && !refresh && now() - entry.atMs < freshMs) return entry.models
      const models = new Map<string, ModelInfo>()
      for await (const event of ask(provider, signal)) {
        if (event.type === 'model' && decentName.test(event.model.name) && models.size < maxModels) {
          models.set(event.model.name, event.model)
        }
      }
      const list = [...models.values()]
      known.set(provider, { models: list, atMs: now() })
      return list
    },
  }
}
