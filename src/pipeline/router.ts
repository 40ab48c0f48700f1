import type { Config, ProviderConfig, RouteConfig } from '../config.ts'
import { Fault, type FaultCode } from '../errors.ts'
import type { Ask, ModelInfo } from '../gateway.ts'
import type { Target } from '../provider.ts'
import type { Directory } from './directory.ts'

/** One way to answer an ask: a provider and, unless the ask is about the provider itself, a model there. */
export type Route = {
  provider: ProviderConfig
  target: Target
  /** Faults of the request after which the next route is tried all the same. */
  failoverOn?: readonly FaultCode[]
}

export type Router = {
  /** The routes to try, best first, at least one; throws a Fault when the ask leads nowhere. */
  route(ask: Ask, signal: AbortSignal): Promise<readonly Route[]>
  /** Takes note of how long a route took to answer. */
  observe(route: Route, ms: number): void
}

/** Models that do something else than to chat, by words that their names carry everywhere. */
const notForChat =
  /embed|whisper|tts|dall-e|moderation|transcri|image|audio|realtime|sora|davinci|babbage|turbo-instruct|rerank|guard|bge-/i
const forEmbedding = /embed|bge-|e5-|gte-|mxbai|minilm/i
/** How much a new observation weighs in the moving average of latencies. */
const latencyWeight = 0.3

export function createRouter(config: Config, directory: Directory, random: () => number): Router {
  const turns = new Map<string, number>()
  const latencies = new Map<string, number>()
  /** Other names are the caller's to choose, and have no end. */
  const compared = new Set(
    [...config.routes.values()].flatMap(({ strategy, targets }) =>
      strategy === 'least-latency' ? targets.map(({ model }) => model) : [],
    ),
  )
  const providers = [...config.providers.values()]
  const defaults = config.defaultProviders.flatMap((name) => config.providers.get(name) ?? [])

  const routeTo = (provider: ProviderConfig, model: string): Route => {
    const { name, baseUrl, headers, apiVersion, deployments } = provider
    const further = { ...(apiVersion ? { apiVersion } : {}), ...(deployments ? { deployments } : {}) }
    return { provider, target: { provider: name, model, baseUrl, headers, ...further } }
  }

  const order = (alias: string, { strategy, targets }: RouteConfig): readonly { model: string }[] => {
    switch (strategy) {
      case 'failover':
        return targets
      case 'round-robin': {
        const turn = turns.get(alias) ?? 0
        turns.set(alias, (turn + 1) % targets.length)
        return [...targets.slice(turn), ...targets.slice(0, turn)]
      }
      case 'weighted': {
        // Exponential keys draw without replacement in proportion to the weights.
        const keyed = targets.map((target) => ({ target, key: -Math.log(1 - random()) / target.weight }))
        return keyed.sort((a, b) => a.key - b.key).map(({ target }) => target)
      }
      case 'least-latency':
        // One that was never tried counts as quickest, so that each gets its chance.
        return targets.toSorted((a, b) => (latencies.get(a.model) ?? 0) - (latencies.get(b.model) ?? 0))
    }
  }

  /** `provider/model`, or undefined where the first segment is part of the model's own name. */
  const qualified = (name: string): Route | undefined => {
    const slash = name.indexOf('/')
    const provider = slash > 0 ? config.providers.get(name.slice(0, slash)) : undefined
    return provider && slash + 1 < name.length ? routeTo(provider, name.slice(slash + 1)) : undefined
  }

  /** More than one where the configuration leaves open which of several is there. */
  const bare = async (name: string, signal: AbortSignal): Promise<readonly Route[]> => {
    if (providers.length > 1) {
      const lookups = providers.map((provider) => !provider.problem && directory.holds(provider.name, name, signal))
      for (const lookup of lookups) void Promise.resolve(lookup).catch(() => {})
      // Asked side by side and decided in order: one that is slow holds up only the names of those behind it.
      for (const [at, provider] of providers.entries()) if (await lookups[at]) return [routeTo(provider, name)]
      const owner = providers.find(({ preset }) => preset.owns?.test(name))
      if (owner) return [routeTo(owner, name)]
    }
    return defaults.map((provider) => routeTo(provider, name))
  }

  const located = async (model: string, signal: AbortSignal): Promise<readonly Route[]> => {
    const exact = qualified(model)
    return exact ? [exact] : bare(model, signal)
  }

  const named = async (name: string, signal: AbortSignal): Promise<readonly Route[]> => {
    const alias = config.routes.get(name)
    if (!alias) return located(name, signal)
    const found = await Promise.all(order(name, alias).map(({ model }) => located(model, signal)))
    return found.flat().map((route) => ({ ...route, failoverOn: alias.failoverOn }))
  }

  /** The first model of a default provider that can do what is asked. */
  const sensible = async (ask: Ask, signal: AbortSignal): Promise<readonly Route[]> => {
    const fits = ({ name }: ModelInfo) => (ask.kind === 'embed' ? forEmbedding.test(name) : !notForChat.test(name))
    const [provider, models] = await firstListing(signal)
    if (provider.defaultModel && ask.kind !== 'embed') return [routeTo(provider, provider.defaultModel)]
    const first = models.find(fits)?.name ?? (models.length === 1 ? models[0]?.name : undefined)
    if (first !== undefined) return [routeTo(provider, first)]
    if (config.defaultModel !== undefined) return named(config.defaultModel, signal)
    throw new Fault(
      'invalid_request',
      `say which model: ${provider.name} lists none that suits this call (listModels shows what there is)`,
    )
  }

  /** The first default provider that answers, with its models; one with a model of its own is not even asked. */
  const firstListing = async (signal: AbortSignal): Promise<[ProviderConfig, readonly ModelInfo[]]> => {
    for (const [at, provider] of defaults.entries()) {
      try {
        assertUsable(provider)
        return [provider, provider.defaultModel ? [] : await directory.list(provider.name, signal)]
      } catch (error) {
        if (at === defaults.length - 1 || signal.aborted) throw error
      }
    }
    throw new Fault('configuration', 'no provider is configured')
  }

  return {
    async route(ask, signal) {
      if (config.problem) throw new Fault('configuration', config.problem)
      if (ask.kind === 'models' || ask.kind === 'tool') {
        const provider = config.providers.get(ask.provider)
        if (!provider) throw unknownProvider(ask.provider, config)
        return [routeTo(provider, ask.model ?? '')]
      }
      if (ask.model !== undefined) return named(ask.model, signal)
      const { defaultModel } = config
      // The default is meant for answers; it serves embeddings only if its name says so.
      const usable = defaultModel !== undefined && (ask.kind !== 'embed' || forEmbedding.test(defaultModel))
      return usable ? named(defaultModel, signal) : sensible(ask, signal)
    },
    observe({ target }, ms) {
      for (const name of [`${target.provider}/${target.model}`, target.model]) {
        const before = latencies.get(name)
        if (compared.has(name)) latencies.set(name, before === undefined ? ms : before + latencyWeight * (ms - before))
      }
    },
  }
}

/** A provider that cannot be called is a route like others, which fails when it is tried. */
export function assertUsable({ name, problem }: ProviderConfig): void {
  if (problem) throw new Fault('configuration', problem, { provider: name })
}

export function unknownProvider(name: string, config: Config): Fault {
  return new Fault(
    'invalid_request',
    `there is no provider ${JSON.stringify(name).slice(0, 80)}; configured: ${[...config.providers.keys()].join(', ')}`,
  )
}
