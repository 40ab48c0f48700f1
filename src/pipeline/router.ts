import type { Config, ProviderConfig, RouteConfig } from '../config.ts'
import { Fault } from '../errors.ts'
import type { Ask, ModelInfo } from '../gateway.ts'
import type { Target } from '../provider.ts'
import type { Directory } from './directory.ts'

/** One way to answer an ask: a provider and, unless the ask is about the provider itself, a model there. */
export type Route = { provider: ProviderConfig; target: Target }

export type Router = {
  /** The routes to try, best first, at least one; throws a Fault when the ask leads nowhere. */
  route(ask: Ask, signal: AbortSignal): Promise<readonly Route[]>
  /** Takes note of how long a route took to answer. */
  observe(route: Route, ms: number): void
}

/** Models that do something else than to chat, by words that their names carry everywhere. */
const notForChat =
  /embed|whisper|tts|dall-e|moderation|transcri|image|audio|realtime|sora|davinci|babbage|instruct$|rerank|guard|bge-/i
const forEmbedding = /embed|bge-|e5-|minilm/i
/** How much a new observation weighs in the moving average of latencies. */
const latencyWeight = 0.3

export function createRouter(config: Config, directory: Directory, random: () => number): Router {
  const turns = new Map<string, number>()
  const latencies = new Map<string, number>()
  const providers = [...config.providers.values()]

  const routeTo = (provider: ProviderConfig, model: string): Route => {
    if (provider.problem) throw new Fault('configuration', provider.problem)
    const { name, baseUrl, headers } = provider
    return { provider, target: { provider: name, model, baseUrl, headers } }
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

  const bare = async (name: string, signal: AbortSignal): Promise<Route> => {
    const fallback = config.providers.get(config.defaultProvider ?? '') ?? (providers[0] as ProviderConfig)
    if (providers.length === 1) return routeTo(fallback, name)
    const listed = await Promise.all(
      providers.map((provider) => !provider.problem && directory.holds(provider.name, name, signal)),
    )
    const owner =
      providers.find((_, at) => listed[at]) ?? providers.find(({ preset }) => preset.owns?.test(name)) ?? fallback
    return routeTo(owner, name)
  }

  const named = async (name: string, signal: AbortSignal): Promise<readonly Route[]> => {
    const alias = config.routes.get(name)
    if (!alias) return [qualified(name) ?? (await bare(name, signal))]
    return Promise.all(order(name, alias).map(async ({ model }) => qualified(model) ?? (await bare(model, signal))))
  }

  /** The first model of the default provider that can do what is asked. */
  const sensible = async (ask: Ask, signal: AbortSignal): Promise<readonly Route[]> => {
    const provider = config.providers.get(config.defaultProvider ?? '') ?? (providers[0] as ProviderConfig)
    if (provider.defaultModel && ask.kind !== 'embed') return [routeTo(provider, provider.defaultModel)]
    routeTo(provider, '')
    const models = await directory.list(provider.name, signal)
    const fits = ({ name }: ModelInfo) => (ask.kind === 'embed' ? forEmbedding.test(name) : !notForChat.test(name))
    const first = models.find(fits)?.name ?? (models.length === 1 ? models[0]?.name : undefined)
    if (first !== undefined) return [routeTo(provider, first)]
    throw new Fault(
      'invalid_request',
      `say which model: ${provider.name} lists none that suits this call (listModels shows what there is)`,
    )
  }

  return {
    async route(ask, signal) {
      if (config.problem) throw new Fault('configuration', config.problem)
      if (ask.kind === 'models') {
        const provider = config.providers.get(ask.provider)
        if (!provider) throw unknownProvider(ask.provider, config)
        return [routeTo(provider, '')]
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
        latencies.set(name, before === undefined ? ms : before + latencyWeight * (ms - before))
      }
    },
  }
}

export function unknownProvider(name: string, config: Config): Fault {
  return new Fault(
    'invalid_request',
    `there is no provider ${JSON.stringify(name).slice(0, 80)}; configured: ${[...config.providers.keys()].join(', ')}`,
  )
}
