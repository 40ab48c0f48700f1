import type { Ask, AskKind } from '../../src/gateway.ts'
import type { EncodedRequest, Provider, Target } from '../../src/provider.ts'
import { presets } from '../../src/providers/index.ts'

/** One way in which a provider is spoken to: a column of the matrix. */
export type Surface = {
  name: string
  /** What all surfaces of a provider have in common in their names. */
  group: string
  /** The providers that are spoken to so: one, or all that share a dialect. */
  providers: readonly string[]
  /** One, or several that differ in peculiarities alone: something is offered where one of them offers it. */
  dialects: readonly Provider[]
  kinds: readonly AskKind[]
  /** Where a request may be aimed to find out what is offered: at an ordinary model, and at one that reasons. */
  targets: readonly Target[]
  /** Whether a request to this path was made here; of several surfaces of a provider, the last that says so. */
  isAt(path: string): boolean
}

type Endpoint = { suffix: string; at: RegExp; models?: readonly string[]; apiVersion?: string; chatAlone?: boolean }

const ordinary = ['gpt-4.1', 'o4-mini']
const responses: Endpoint = { suffix: ' responses', at: /\/responses(?:\?|$)/, models: ['gpt-5-pro'], chatAlone: true }

/** The providers with more than one surface, the most particular last; what a model accepts is told by its name. */
const endpoints: Readonly<Record<string, readonly Endpoint[]>> = {
  openai: [{ suffix: '', at: /^/, models: ordinary }, responses],
  azure: [
    { suffix: '', at: /^/, models: ordinary },
    { suffix: ' dated', at: /[?&]api-version=\d{4}-/, models: ordinary, apiVersion: '2024-10-21' },
    responses,
  ],
  anthropic: [{ suffix: '', at: /^/, models: ['claude-sonnet-4-5'] }],
}

const only: readonly Endpoint[] = [{ suffix: '', at: /^/ }]
const allKinds: readonly AskKind[] = ['chat', 'text', 'embed', 'models', 'tool']

/** Every column, the providers in the order of the list; those that share a dialect are one. */
export const surfaces: readonly Surface[] = [
  ...Map.groupBy(Object.entries(presets), ([, preset]) => kinOf(preset)).values(),
].flatMap((kin) => {
  const providers = kin.map(([type]) => type)
  const dialects = kin.map(([, { dialect }]) => dialect)
  const [first = ''] = providers
  const group = providers.length > 1 ? 'compatible' : first
  return (endpoints[first] ?? only).map(({ suffix, at, models = ['house-model'], apiVersion, chatAlone }) => ({
    name: `${group}${suffix}`,
    group,
    providers,
    dialects,
    kinds: chatAlone ? (['chat'] as const) : allKinds,
    targets: models.map((model) => targetOf(first, model, apiVersion)),
    isAt: (path: string) => at.test(path),
  }))
})

/** What the servers that are like OpenAI's have in common: all but peculiarities of chat. */
function kinOf({ dialect }: (typeof presets)[string]): unknown {
  return dialect.tools ? dialect : (dialect.text ?? dialect)
}

/** A provider without an address of its own is aimed at one that stands for any. */
function targetOf(provider: string, model: string, apiVersion?: string): Target {
  return {
    provider,
    model,
    baseUrl: presets[provider]?.baseUrl ?? 'https://name.example.com',
    headers: {},
    ...(apiVersion === undefined ? {} : { apiVersion }),
  }
}

/** What a dialect would send, as a text to compare; undefined where it offers nothing of the kind. */
export function requestOf(dialect: Provider, ask: Ask | undefined, target: Target): string | undefined {
  try {
    const encoded = ask && encode(dialect, ask, target)
    return encoded && JSON.stringify([encoded.url, encoded.json, encoded.bytes?.length])
  } catch {
    return undefined
  }
}

function encode(dialect: Provider, ask: Ask, target: Target): EncodedRequest | undefined {
  switch (ask.kind) {
    case 'chat':
      return dialect.chat?.encode(ask, target)
    case 'text':
      return dialect.text?.encode(ask, target)
    case 'embed':
      return dialect.embed?.encode(ask, target)
    case 'models':
      return dialect.models?.encode(ask, target)
    case 'tool':
      return dialect.tools?.[ask.name]?.encode(ask, target)
  }
}
