import type { Config, ProviderConfig } from '../config.ts'
import { revisions } from '../mcp/handshake.ts'
import { statelessVersions } from '../mcp/stateless.ts'
import { nearest } from '../nearest.ts'
import { declarations } from '../tools/declarations.ts'
import type { RunTool } from './tools.ts'

/** What the doctor found. Nothing of it is a key. */
export type Checkup = {
  ok: boolean
  version: string
  node: string
  /** Revisions of MCP that are served, by the request that opens them. */
  protocols: { initialize: string[]; 'server/discover': string[] }
  /** What the list of tools costs a client's context: the bytes of the answer to tools/list, and tokens by a rule of thumb. */
  toolList: { tools: number; bytes: number; estimatedTokens: number }
  proxy: { http?: string; https?: string; except?: string }
  recordDir?: string
  defaultModel?: string
  providers: Examined[]
  /** What stops every call. */
  problem?: string
  /** What stops none. */
  notes: string[]
}

export type Examined = {
  name: string
  type: string
  /** Its base URL, unless there is none that could be called. */
  address?: string
  /** The variables that turned it on. */
  setBy: readonly string[]
  ok: boolean
  /** `not checked`: the provider lists its models to anybody, or did not come to look at the key. */
  key: 'accepted' | 'refused' | 'not checked' | 'none'
  /** How many models it lists. */
  models?: number
  /** Milliseconds from the question for its models to the last of them. */
  listMs?: number
  /** What is wrong, and what to do. */
  problem?: string
}

type Row = { provider: string; code: string; message: string }
type Listed = { models: { id: string; name: string }[]; unavailable: Row[] }
type Asked = { listed: Listed; ms: number }

/** Makes the tools over a configuration. */
export type MakeTools = (config: Config) => Promise<RunTool>

const maxSilenceMs = 10_000
/** English text and JSON have about this many bytes a token with the tokenizers of the large providers. */
const bytesPerToken = 4

/**
 * Asks every provider for its models, which costs nothing, side by side and once. A key is accepted when the list comes with
 * it and does not come without it.
 */
export async function examine(
  config: Config,
  version: string,
  makeTools: MakeTools,
  signal: AbortSignal,
): Promise<Checkup> {
  const { problem, recordDir, defaultModel } = config
  const tools = await makeTools(impatient(config, ({ key, ...rest }) => (key ? { ...rest, key } : rest)))
  const keyless = await makeTools(impatient(config, ({ key: _, ...rest }) => rest))
  const examined = await Promise.all(
    [...config.providers.values()].map((provider) => examineProvider(provider, tools, keyless, signal)),
  )
  const providers = examined.map(({ provider }) => provider)
  const { defaultProviders } = config
  // Of several that stand for one another, one is enough.
  const spare = new Set(providers.some(({ name, ok }) => ok && defaultProviders.includes(name)) ? defaultProviders : [])
  const unlisted = unlistedDefault(
    config,
    examined.flatMap(({ listed }) => listed.models),
    providers,
  )
  return {
    ok: problem === undefined && providers.every(({ ok, name }) => ok || spare.has(name)),
    version,
    node: process.versions.node,
    protocols: { initialize: Object.keys(revisions), 'server/discover': [...statelessVersions] },
    toolList: toolListCost(),
    proxy: withoutPasswords(config),
    ...(recordDir === undefined ? {} : { recordDir }),
    ...(defaultModel === undefined ? {} : { defaultModel }),
    providers,
    ...(problem === undefined ? {} : { problem }),
    notes: [...config.notes.filter((note) => !problem?.includes(note)), ...(unlisted === undefined ? [] : [unlisted])],
  }
}

/** Each provider is asked once, and does not keep the doctor waiting; a problem with something else does not matter here. */
function impatient(
  { problem: _, recordDir: __, ...config }: Config,
  change: (provider: ProviderConfig) => ProviderConfig,
): Config {
  const limits = { firstByteMs: maxSilenceMs, slowFirstByteMs: maxSilenceMs, idleMs: maxSilenceMs }
  const providers = [...config.providers].map(([name, provider]): [string, ProviderConfig] => [
    name,
    { ...change(provider), limits, maxRetries: 0 },
  ])
  return { ...config, providers: new Map(providers), logLevel: 'silent', notes: [] }
}

async function examineProvider(provider: ProviderConfig, tools: RunTool, keyless: RunTool, signal: AbortSignal) {
  const { name, type, baseUrl, setBy, key } = provider
  const none: Listed = { models: [], unavailable: [] }
  const about = { name, type, setBy }
  if (provider.problem !== undefined) {
    const examined: Examined = { ...about, ok: false, key: 'none', problem: provider.problem }
    return { provider: examined, listed: none }
  }
  const [{ listed, ms }, open] = await Promise.all([
    ask(tools, name, signal),
    key ? ask(keyless, name, signal) : undefined,
  ])
  const [fault] = listed.unavailable
  const verdict = !key
    ? 'none'
    : fault
      ? refusal(fault)
      : open?.listed.unavailable.some(isRefusal)
        ? 'accepted'
        : 'not checked'
  const examined: Examined = {
    ...about,
    address: baseUrl,
    ok: fault === undefined,
    key: verdict,
    ...(fault
      ? { problem: joined(fault.message, remedy(fault, provider)) }
      : { models: listed.models.length, listMs: ms }),
  }
  return { provider: examined, listed }
}

async function ask(runTool: RunTool, provider: string, signal: AbortSignal): Promise<Asked> {
  const startedMs = performance.now()
  const result = await runTool('listModels', { provider }, { signal, streaming: false })
  return { listed: result.structuredContent as Listed, ms: Math.round(performance.now() - startedMs) }
}

function isRefusal({ code }: Row): boolean {
  return code === 'authentication' || code === 'permission'
}

function refusal(fault: Row): Examined['key'] {
  return isRefusal(fault) ? 'refused' : 'not checked'
}

/** What a person can do about it, by the names that they have to look at. */
function remedy(fault: Row, { setBy, preset, name, key }: ProviderConfig): string {
  const keys = setBy.filter((variable) => /_KEY(_FILE)?$/.test(variable))
  const urls = setBy.filter((variable) => !keys.includes(variable) && variable !== 'PROVIDER_TYPE')
  const own = setBy.includes('PROVIDER_CONFIG') ? `PROVIDER_CONFIG providers.${name}` : preset.keyVariable
  if (isRefusal(fault)) return keys.length > 0 || key ? `check the key: ${keys.join(', ') || own}` : `set a key: ${own}`
  const misled = ['network', 'timeout', 'invalid_response', 'model_not_found', 'invalid_request'].includes(fault.code)
  if (!misled) return ''
  if (urls.length > 0) return `check the address: ${urls.join(', ')}`
  if (preset.local) return `start it, or set ${preset.urlVariables.at(-1)} to where it runs`
  return 'check the network, and HTTPS_PROXY if there is a proxy'
}

function joined(sentence: string, advice: string): string {
  if (advice === '') return sentence
  return /[.!?]$/.test(sentence)
    ? `${sentence} ${advice.charAt(0).toUpperCase()}${advice.slice(1)}`
    : `${sentence}; ${advice}`
}

/** A default model that nobody lists is most often a slip; it stops nothing, because lists are not always whole. */
function unlistedDefault({ defaultModel, routes }: Config, models: Listed['models'], providers: readonly Examined[]) {
  const known = models.flatMap(({ id, name }) => [id, name])
  if (defaultModel === undefined || routes.has(defaultModel) || known.includes(defaultModel)) return undefined
  if (known.length === 0 || !providers.every(({ ok }) => ok)) return undefined
  const candidates = defaultModel.includes('/') ? models.map(({ id }) => id) : models.map(({ name }) => name)
  return `the default model ${JSON.stringify(defaultModel)} is in no provider's list; the nearest is ${nearest(defaultModel, candidates, 1)}`
}

function toolListCost(): Checkup['toolList'] {
  const bytes = Buffer.byteLength(JSON.stringify({ jsonrpc: '2.0', id: 1, result: { tools: declarations } }))
  return { tools: declarations.length, bytes, estimatedTokens: Math.round(bytes / bytesPerToken) }
}

function withoutPasswords({ proxy: { http, https, except } }: Config): Checkup['proxy'] {
  const plain = (url: string) => new URL(url).origin
  return {
    ...(http === undefined ? {} : { http: plain(http) }),
    ...(https === undefined ? {} : { https: plain(https) }),
    ...(except === undefined ? {} : { except }),
  }
}
