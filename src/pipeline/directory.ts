import type { Events, ModelInfo, ModelsAsk } from '../gateway.ts'
import { nearest } from '../nearest.ts'

/** Which models each provider has, as it last said. */
export type Directory = {
  /** Asks the provider unless it was asked lately; throws its Fault. */
  list(provider: string, signal: AbortSignal, refresh?: boolean): Promise<readonly ModelInfo[]>
  /** Whether the provider lists a model. One that cannot say so soon does not, and is not asked again for a while. */
  holds(provider: string, model: string, signal: AbortSignal): Promise<boolean>
  /** What is known of a model without asking. */
  known(provider: string, model: string): ModelInfo | undefined
  /** Names that the provider lists and that are like one that it does not know; none if it cannot say soon. */
  like(provider: string, model: string, signal: AbortSignal): Promise<readonly string[]>
}

const freshMs = 300_000
/** A call is waiting to be routed meanwhile. */
const maxLookupMs = 5_000
const silentMs = 30_000
const maxModels = 10_000
const maxPages = 50
const maxAlike = 3
/** A name goes into results that a model reads: one that could pass for a sentence is left out. */
const decentWords = /^[\w./:@+~-]{1,32}(?: [\w./:@+~-]{1,32})?$/
const maxWords = 32
const decentName = /^[\w./:@+~-]{1,128}$/

export function createDirectory(
  ask: (ask: ModelsAsk, signal: AbortSignal) => AsyncIterable<Events>,
  now: () => number,
): Directory {
  const known = new Map<string, { models: readonly ModelInfo[]; atMs: number }>()
  const silentSince = new Map<string, number>()
  /** Lookups under way: calls that come meanwhile wait for the same one. */
  const lookups = new Map<string, Promise<readonly ModelInfo[]>>()

  const fresh = (provider: string) => {
    const entry = known.get(provider)
    return entry && now() - entry.atMs < freshMs ? entry.models : undefined
  }
  const fetch = async (provider: string, signal: AbortSignal, timeoutMs?: number): Promise<readonly ModelInfo[]> => {
    const models = new Map<string, ModelInfo>()
    const until = timeoutMs === undefined ? undefined : now() + timeoutMs
    let after: string | undefined
    for (let page = 0; page < maxPages; page++) {
      let next: string | undefined
      // All pages have one time in all.
      const leftMs = until === undefined ? undefined : Math.max(1, until - now())
      for await (const events of ask({ kind: 'models', provider, timeoutMs: leftMs, after }, signal)) {
        for (const event of events) {
          if (event.type === 'next-page') next = event.after
          else if (event.type === 'model' && decentName.test(event.model.name) && models.size < maxModels) {
            models.set(event.model.name, decent(event.model))
          }
        }
      }
      // A page that leads back to itself would have no end.
      if (next === undefined || next === after) break
      after = next
    }
    const list = [...models.values()]
    known.set(provider, { models: list, atMs: now() })
    silentSince.delete(provider)
    return list
  }

  /** It outlives the caller that began it, for a few seconds, because others may be waiting. */
  const lookUp = (provider: string): Promise<readonly ModelInfo[]> => {
    const lookup = fetch(provider, new AbortController().signal, maxLookupMs)
      .catch(() => {
        silentSince.set(provider, now())
        return []
      })
      .finally(() => lookups.delete(provider))
    lookups.set(provider, lookup)
    return lookup
  }

  /** For a caller that waits for something else: the list if it is there soon, or an empty one. */
  const listSoon = async (provider: string, signal: AbortSignal): Promise<readonly ModelInfo[]> => {
    const models = fresh(provider)
    if (models) return models
    const since = silentSince.get(provider)
    if (since !== undefined && now() - since < silentMs) return []
    return unlessAborted(lookups.get(provider) ?? lookUp(provider), signal)
  }

  return {
    async list(provider, signal, refresh = false) {
      return (refresh ? undefined : fresh(provider)) ?? fetch(provider, signal)
    },
    known: (provider, model) => fresh(provider)?.find(({ name }) => name === model),
    async like(provider, model, signal) {
      const models = await listSoon(provider, signal)
      const names = models.map(({ name }) => name)
      return nearest(model, names, maxAlike)
    },
    async holds(provider, model, signal) {
      const models = await listSoon(provider, signal)
      return models.some(({ name }) => name === model)
    },
  }
}

/** The value, or the signal's reason if that comes first. */
function unlessAborted<T>(value: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason)
    if (signal.aborted) return onAbort()
    signal.addEventListener('abort', onAbort, { once: true })
    value.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}

/** The other words of a list are held to the same: short, visible, and few. */
function decent({ ownedBy, capabilities, ...model }: ModelInfo): ModelInfo {
  return {
    ...model,
    ...(ownedBy !== undefined && decentWords.test(ownedBy) ? { ownedBy } : {}),
    ...(capabilities ? { capabilities: capabilities.filter((word) => decentName.test(word)).slice(0, maxWords) } : {}),
  }
}
