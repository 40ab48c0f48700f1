import { type ProviderEntry, readConfigFile } from './config-file.ts'
import { createProvider, type ProviderConfig, type ProviderSource } from './config-provider.ts'
import { createSettings, type Environment, isPlaceholder, type Settings } from './config-settings.ts'
import type { ProxySettings } from './http/proxy.ts'
import { type LogLevel, logLevels } from './log.ts'
import { anyLocal, type Preset, pluginPreset, presets, presetsAt, thisHost } from './providers/index.ts'
import type { KeySource } from './secrets.ts'

export type { ProviderConfig }

export type RouteConfig = {
  strategy: 'failover' | 'weighted' | 'round-robin' | 'least-latency'
  targets: readonly { model: string; weight: number }[]
  failoverOn: readonly ('context_length' | 'content_filter')[]
}

/** A file that brings a kind of provider, and what it must be to be loaded. */
export type PluginSource = { path: string; sha256: string }

/** How the gateway is reached over HTTP, where a command line says nothing else. As it was written: the command reads it. */
export type HttpConfig = {
  host?: string
  port?: string
  allowedHosts?: string
  /** The tokens that it asks for. */
  tokens?: KeySource
}

export type Config = {
  providers: ReadonlyMap<string, ProviderConfig>
  /** By the type that each brings. */
  plugins: ReadonlyMap<string, PluginSource>
  routes: ReadonlyMap<string, RouteConfig>
  /** An alias, `provider/model`, or a bare name for the default provider. */
  defaultModel?: string
  /** Whom a name goes to that nobody else claims; of several, the first that is there. */
  defaultProviders: readonly string[]
  proxy: ProxySettings
  http: HttpConfig
  recordDir?: string
  logLevel: LogLevel
  /** Why no call can be made at all; one sentence that names the variable. */
  problem?: string
  /** What was noticed and does not matter enough to stop anything. */
  notes: readonly string[]
}

const maxTimeoutSeconds = 86_400
const maxMaxRetries = 20
const gatewayVariables = ['GATEWAY_URL', 'GATEWAY_API_KEY', 'GATEWAY_API_KEY_FILE', 'PROVIDER_TYPE']
const versionVariables = ['OPENAI_API_VERSION', 'AZURE_OPENAI_API_VERSION']

/**
 * Reads the configuration. Never throws: what is wrong stands in `problem`, of the whole or of one provider, so that the
 * server can start and say it in answer to a call.
 */
export function readConfig(env: Environment = process.env): Config {
  const settings = createSettings(env)
  const { problems, notes } = settings
  const common = {
    timeoutSeconds: settings.number('TIMEOUT', maxTimeoutSeconds, 'seconds'),
    maxRetries: settings.number('MAX_RETRIES', maxMaxRetries, 'whole') ?? 3,
  }
  const known = presetsAt(readLocalHost(settings))
  const providers = new Map<string, ProviderConfig>()
  /** Base URLs as the environment gives them, by provider. */
  const urls = new Map<string, Named>()
  const add = (name: string, source: Pick<ProviderSource, 'type' | 'setBy' | 'entry' | 'key' | 'origin'>) =>
    providers.set(name, createProvider({ name, preset: known[source.type] ?? pluginPreset, ...source, ...common }))

  const gateway = readGateway(settings)
  for (const [type, preset] of Object.entries(known)) {
    const ownUrl = settings.lastOf(preset.urlVariables)
    const ownKey = settings.key(preset.keyVariable)
    const isGateway = gateway?.types.includes(type) ?? false
    const url = (isGateway && gateway?.url) || ownUrl
    const apiVersion = preset.baseUrl === undefined ? settings.lastOf(versionVariables)?.value : undefined
    if (url) urls.set(type, url)
    const entry = { ...(url ? { baseUrl: url.value } : {}), ...(apiVersion ? { apiVersion } : {}) }
    const setBy = settings.setOf([
      ...(isGateway ? gatewayVariables : []),
      ...[preset.keyVariable, `${preset.keyVariable}_FILE`, ...preset.urlVariables],
    ])
    const source = { type, setBy, entry, origin: url?.name ?? '' }
    if (isGateway) add(type, { ...source, key: gateway?.key ?? ownKey })
    else if (ownUrl || (ownKey && preset.needsKey)) add(type, { ...source, key: ownKey })
  }

  const file = readConfigFile(settings.text('PROVIDER_CONFIG'), problems)
  const plugins = new Map(Object.entries(file.plugins ?? {}))
  for (const [name, given] of Object.entries(file.providers ?? {})) {
    // An entry that only refines a provider of the environment keeps that one's address.
    const refines = given.baseUrl === undefined && providers.get(name)?.type === given.type
    const url = refines ? urls.get(name) : undefined
    const entry = url ? { ...given, baseUrl: url.value } : given
    const key = keyOf(name, given, known[given.type], providers, settings)
    const origin = url?.name ?? `PROVIDER_CONFIG providers.${name}.baseUrl`
    const setBy = [
      'PROVIDER_CONFIG',
      ...settings.setOf(given.apiKeyEnv ? [given.apiKeyEnv] : []),
      ...(refines ? (providers.get(name)?.setBy ?? []) : []),
    ]
    add(name, { type: given.type, setBy, entry, key, origin })
  }

  const defaultModel = settings.text('DEFAULT_MODEL') ?? file.defaultModel
  const recordDir = settings.text('GATEWAY_RECORD')
  const logLevel = settings.text('LOG_LEVEL')?.toLowerCase() ?? 'info'
  if (!logLevels.some((level) => level === logLevel)) notes.push(`LOG_LEVEL must be one of ${logLevels.join(', ')}`)
  const proxies = readProxies(env)
  if (providers.size === 0 && problems.length === 0) {
    const forgotten = notes.length > 0 ? ` (${notes.join('; ')})` : ''
    problems.push(
      `no provider is configured: set OPENAI_API_KEY or another provider's key, or GATEWAY_URL to the base URL of a server${forgotten}`,
    )
  }
  return Object.freeze({
    providers: new Map([...providers].map(([name, provider]) => [name, throughProxy(provider, proxies)])),
    plugins,
    routes: new Map(
      Object.entries(file.routes ?? {}).map(
        ([alias, { strategy, targets, failoverOn = [] }]): [string, RouteConfig] => [
          alias,
          { strategy, targets: targets.map(({ model, weight = 1 }) => ({ model, weight })), failoverOn },
        ],
      ),
    ),
    ...(defaultModel ? { defaultModel } : {}),
    defaultProviders: gateway?.types ?? [...providers.keys()].slice(0, 1),
    proxy: proxies.settings,
    http: readHttp(settings),
    ...(recordDir ? { recordDir } : {}),
    logLevel: logLevels.find((level) => level === logLevel) ?? 'info',
    ...(problems.length > 0 ? { problem: problems.join('; ') } : {}),
    notes,
  })
}

/** A variable that is set, and its value unless that is a key. */
export type SetVariable = { name: string; value?: string }

const copied = [...gatewayVariables, 'DEFAULT_MODEL', 'TIMEOUT', 'MAX_RETRIES', 'PROVIDER_CONFIG', ...versionVariables]

/** What is set here and makes a gateway elsewhere the same one: what a client's configuration has to say of it. */
export function readVariables(env: Environment = process.env): SetVariable[] {
  const settings = createSettings(env)
  const own = Object.values(presets).flatMap(({ keyVariable, urlVariables }) => [
    keyVariable,
    `${keyVariable}_FILE`,
    ...urlVariables,
  ])
  return settings.setOf([...copied, ...own]).map((name) => {
    const value = settings.text(name) as string
    // PROVIDER_CONFIG as text may hold keys, as a path it holds none; an URL may hold a password, wrong as that is.
    const secret =
      name.endsWith('_KEY') || /\/\/[^/]*@/.test(value) || (name === 'PROVIDER_CONFIG' && /^[{["']/.test(value))
    return secret ? { name } : { name, value }
  })
}

type Providers = ReadonlyMap<string, ProviderConfig>
type Named = { name: string; value: string }
type Gateway = { types: readonly string[]; url?: Named; key: KeySource | undefined }

/** The provider that GATEWAY_URL, GATEWAY_API_KEY and PROVIDER_TYPE describe, if any of them is set. */
function readGateway(settings: Settings): Gateway | undefined {
  const url = settings.text('GATEWAY_URL')
  const key = settings.key('GATEWAY_API_KEY')
  const type = settings.text('PROVIDER_TYPE')?.toLowerCase()
  if (url === undefined && key === undefined && type === undefined) return undefined
  const known = [...Object.keys(presets), anyLocal.type]
  if (type !== undefined && !known.includes(type)) {
    settings.problems.push(`PROVIDER_TYPE is "${type}", and this version speaks ${known.join(', ')}`)
    return undefined
  }
  const inferred = Object.entries(presets).find(([, { isAt }]) => url !== undefined && isAt.test(url))?.[0] ?? 'openai'
  const types = type === anyLocal.type ? anyLocal.among : [type ?? inferred]
  return { types, ...(url === undefined ? {} : { url: { name: 'GATEWAY_URL', value: url } }), key }
}

function readHttp(settings: Settings): HttpConfig {
  const host = settings.text('GATEWAY_HTTP_HOST')
  const port = settings.text('GATEWAY_HTTP_PORT')
  const allowedHosts = settings.text('GATEWAY_HTTP_ALLOW_HOSTS')
  const tokens = settings.key('GATEWAY_HTTP_TOKEN')
  return {
    ...(host === undefined ? {} : { host }),
    ...(port === undefined ? {} : { port }),
    ...(allowedHosts === undefined ? {} : { allowedHosts }),
    ...(tokens === undefined ? {} : { tokens }),
  }
}

/** Where local providers are that have no address of their own: the container image says the name of the machine around it. */
function readLocalHost(settings: Settings): string {
  const host = settings.text('GATEWAY_LOCAL_HOST') ?? thisHost
  if (/^[\w.-]+$|^\[[\da-f:.]+\]$/i.test(host) && URL.canParse(`http://${host}`)) return host
  settings.problems.push('GATEWAY_LOCAL_HOST is not the name or the address of a host')
  return thisHost
}

/**
 * A key of the environment goes where the environment sends it, never to another address: neither to one that the file has
 * chosen, nor to the provider's own when the environment has chosen one.
 */
function keyOf(
  name: string,
  entry: ProviderEntry,
  preset: Preset | undefined,
  providers: Providers,
  settings: Settings,
): KeySource | undefined {
  if (entry.apiKey !== undefined) return isPlaceholder(entry.apiKey) ? undefined : { value: entry.apiKey }
  if (entry.apiKeyEnv !== undefined) return settings.key(entry.apiKeyEnv)
  if (entry.apiKeyFile !== undefined) {
    return { file: entry.apiKeyFile, setBy: `PROVIDER_CONFIG providers.${name}.apiKeyFile` }
  }
  if (entry.baseUrl !== undefined) return undefined
  // What a plugin may know is said in so many words.
  if (preset === undefined) return undefined
  const refined = providers.get(name)
  if (refined?.type === entry.type) return refined.key
  const sibling = providers.get(entry.type)
  return sibling && sibling.baseUrl !== preset.baseUrl ? undefined : (sibling?.key ?? settings.key(preset.keyVariable))
}

/** `broken` names the variable that is in the way, by the protocol that it stands for. */
type Proxies = { settings: ProxySettings; broken: Partial<Record<'http' | 'https', string>> }

/** Proxies by the usual variables; one without a scheme is meant for http, as curl takes it. */
function readProxies(env: Environment): Proxies {
  const broken: Proxies['broken'] = {}
  const proxyOf = (protocol: 'http' | 'https'): string | undefined => {
    const name = `${protocol.toUpperCase()}_PROXY`
    const text = (env[name] || env[name.toLowerCase()])?.trim()
    if (!text) return undefined
    const url = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`
    if (/^https?:/i.test(url) && URL.canParse(url)) return url
    broken[protocol] = name
    return undefined
  }
  const http = proxyOf('http')
  const https = proxyOf('https')
  return { settings: { http, https, except: env['NO_PROXY'] || env['no_proxy'] || undefined }, broken }
}

/** A call that was meant to go through a proxy never goes around it instead. */
function throughProxy(provider: ProviderConfig, { settings, broken }: Proxies): ProviderConfig {
  const { protocol } = new URL(provider.baseUrl)
  // Without a proxy of its own, https takes that of http.
  const name = protocol === 'http:' ? broken.http : (broken.https ?? (settings.https ? undefined : broken.http))
  return name === undefined ? provider : { ...provider, problem: `${name} is not the URL of an http proxy` }
}
