import { readFileSync } from 'node:fs'
import * as z from 'zod/mini'
import type { ProxySettings } from './http/pool.ts'
import { type LogLevel, logLevels } from './log.ts'
import { type Preset, presets } from './providers/index.ts'
import type { KeySource } from './secrets.ts'

export type Environment = Readonly<Record<string, string | undefined>>

export type ProviderConfig = {
  name: string
  type: string
  preset: Preset
  /** Where the dialect's operations begin; no slash at the end. */
  baseUrl: string
  key?: KeySource
  headers: Readonly<Record<string, string>>
  defaultModel?: string
  limits: { firstByteMs: number; slowFirstByteMs: number; idleMs: number }
  maxRetries: number
  maxConcurrency?: number
  requestsPerMinute?: number
  /** Why this provider cannot be called; one sentence that names what to set. */
  problem?: string
}

export type RouteConfig = {
  strategy: 'failover' | 'weighted' | 'round-robin' | 'least-latency'
  targets: readonly { model: string; weight: number }[]
}

export type Config = {
  providers: ReadonlyMap<string, ProviderConfig>
  routes: ReadonlyMap<string, RouteConfig>
  /** An alias, `provider/model`, or a bare name for the default provider. */
  defaultModel?: string
  defaultProvider?: string
  proxy: ProxySettings
  recordDir?: string
  logLevel: LogLevel
  /** Why no call can be made at all; one sentence that names the variable. */
  problem?: string
  /** What was noticed and does not matter enough to stop anything. */
  notes: readonly string[]
}

/** The variables, as README.md shows them. */
export const variables: readonly { name: string; meaning: string; default: string }[] = [
  {
    name: 'GATEWAY_URL',
    meaning: 'base URL of the default provider, or of a company’s gateway',
    default: 'the provider’s own',
  },
  { name: 'GATEWAY_API_KEY', meaning: 'its key', default: 'the provider’s own variable, if set' },
  {
    name: 'PROVIDER_TYPE',
    meaning: `what \`GATEWAY_URL\` speaks: ${Object.keys(presets)
      .map((type) => `\`${type}\``)
      .join(', ')}`,
    default: 'inferred from the URL, else `openai`',
  },
  { name: 'DEFAULT_MODEL', meaning: 'model when a call names none', default: 'the provider’s first sensible one' },
  {
    name: 'TIMEOUT',
    meaning: 'seconds of silence from a provider before the call fails (first byte, between bytes)',
    default: '30; unset, 300 for a local provider and for a reasoning call’s first byte',
  },
  { name: 'MAX_RETRIES', meaning: 'retries after the first attempt', default: '3' },
  {
    name: 'PROVIDER_CONFIG',
    meaning: 'JSON text, or the path of a JSON file, for everything else',
    default: 'none',
  },
  {
    name: 'LOG_LEVEL',
    meaning: `${logLevels.map((level) => `\`${level}\``).join(', ')}, on stderr`,
    default: '`info`',
  },
  { name: 'GATEWAY_RECORD', meaning: 'a folder in which every exchange with a provider is recorded', default: 'none' },
  ...Object.entries(presets).flatMap(([type, preset]) => [
    {
      name: preset.keyVariable,
      meaning: `key of \`${type}\`${preset.needsKey ? '; turns it on' : ''}`,
      default: 'none',
    },
    ...preset.urlVariables.map((name) => ({
      name,
      meaning: `base URL of \`${type}\`; turns it on`,
      default: `\`${preset.baseUrl}\``,
    })),
  ]),
  {
    name: 'HTTPS_PROXY, HTTP_PROXY, NO_PROXY',
    meaning: 'the proxy for calls to providers, and the hosts that need none',
    default: 'none',
  },
  { name: 'NODE_EXTRA_CA_CERTS', meaning: 'a file of further certificate authorities to trust', default: 'none' },
]

const named = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/
const count = (least: number, most: number) => z.int().check(z.minimum(least), z.maximum(most))
const seconds = z.number().check(z.positive(), z.maximum(86_400))

const ProviderEntry = z.strictObject({
  type: z.enum(Object.keys(presets)),
  baseUrl: z.optional(z.string()),
  apiKey: z.optional(z.string()),
  apiKeyEnv: z.optional(z.string()),
  apiKeyFile: z.optional(z.string()),
  headers: z.optional(z.record(z.string(), z.string())),
  defaultModel: z.optional(z.string()),
  timeout: z.optional(seconds),
  maxRetries: z.optional(count(0, 20)),
  maxConcurrency: z.optional(count(1, 1000)),
  requestsPerMinute: z.optional(count(1, 1_000_000)),
})
type ProviderEntry = z.infer<typeof ProviderEntry>

const RouteEntry = z.strictObject({
  strategy: z.enum(['failover', 'weighted', 'round-robin', 'least-latency']),
  targets: z
    .array(
      z.strictObject({ model: z.string().check(z.minLength(1)), weight: z.optional(z.number().check(z.positive())) }),
    )
    .check(z.minLength(1), z.maxLength(64)),
})

/** What PROVIDER_CONFIG may hold; its JSON Schema is spec/provider-config.schema.json. */
export const ProviderConfigFile = z.strictObject({
  $schema: z.optional(z.string()),
  providers: z.optional(z.record(z.string().check(z.regex(named)), ProviderEntry)),
  routes: z.optional(z.record(z.string().check(z.minLength(1)), RouteEntry)),
  defaultModel: z.optional(z.string()),
})
type ProviderConfigFile = z.infer<typeof ProviderConfigFile>

/** A value that somebody forgot to fill in, in the ways of the clients that hand it on. */
const placeholder = /^(?:<[^<>]*>|\$\{[^}]*\}|\$[A-Za-z_]\w*|\{\{[^}]*\}\}|se:\/\/.*|your[-_ \w]*key[-_ \w]*)$/i

const hostedMs = 30_000
const patientMs = 300_000

/**
 * Reads the configuration. Never throws: what is wrong stands in `problem`, of the whole or of one provider, so that the
 * server can start and say it in answer to a call.
 */
export function readConfig(env: Environment = process.env): Config {
  const notes: string[] = []
  const problems: string[] = []
  const setting = (name: string): string | undefined => {
    const value = env[name]?.trim()
    if (value === undefined || value === '') return undefined
    if (!placeholder.test(value)) return value
    notes.push(`${name} still holds a placeholder and counts as unset`)
    return undefined
  }
  const keySource = (name: string): KeySource | undefined => {
    const value = setting(name)
    const file = setting(`${name}_FILE`)
    return value !== undefined ? { value } : file !== undefined ? { file } : undefined
  }
  const bounded = (name: string, most: number, whole: boolean): number | undefined => {
    const text = setting(name)
    if (text === undefined) return undefined
    const value = Number(text)
    const valid = value >= 0 && value <= most && (whole ? Number.isInteger(value) : value > 0)
    if (valid) return value
    problems.push(`${name} must be a ${whole ? 'whole number from 0' : 'number of seconds'} up to ${most}`)
    return undefined
  }

  const timeout = bounded('TIMEOUT', 86_400, false)
  const maxRetries = bounded('MAX_RETRIES', 20, true) ?? 3
  const limitsFor = (preset: Preset, seconds: number | undefined) => ({
    idleMs: seconds ? seconds * 1000 : preset.local ? patientMs : hostedMs,
    firstByteMs: seconds ? seconds * 1000 : preset.local ? patientMs : hostedMs,
    slowFirstByteMs: seconds ? seconds * 1000 : patientMs,
  })
  const logLevel = setting('LOG_LEVEL')?.toLowerCase() ?? 'info'
  if (!logLevels.includes(logLevel as LogLevel)) notes.push(`LOG_LEVEL must be one of ${logLevels.join(', ')}`)

  const providers = new Map<string, ProviderConfig>()
  const add = (
    name: string,
    type: string,
    entry: Partial<ProviderEntry>,
    key: KeySource | undefined,
    origin: string,
  ) => {
    const preset = presets[type] as Preset
    const url = normalizeUrl(entry.baseUrl, preset)
    const problem =
      url === undefined
        ? `the base URL of ${name} (${origin}) is not an http or https URL without a user name`
        : key === undefined && preset.needsKey && entry.baseUrl === undefined
          ? `${name} needs a key: set ${preset.keyVariable}, or ${preset.keyVariable}_FILE to the path of a file that holds it`
          : headerProblem(name, entry.headers)
    providers.set(name, {
      name,
      type,
      preset,
      baseUrl: `${url ?? preset.baseUrl}${preset.path}`,
      ...(key && url !== undefined ? { key } : {}),
      headers: entry.headers ?? {},
      ...(entry.defaultModel ? { defaultModel: entry.defaultModel } : {}),
      limits: limitsFor(preset, entry.timeout ?? timeout),
      maxRetries: entry.maxRetries ?? maxRetries,
      ...(entry.maxConcurrency ? { maxConcurrency: entry.maxConcurrency } : {}),
      ...(entry.requestsPerMinute ? { requestsPerMinute: entry.requestsPerMinute } : {}),
      ...(problem ? { problem } : {}),
    })
  }

  const gatewayUrl = setting('GATEWAY_URL')
  const gatewayKey = keySource('GATEWAY_API_KEY')
  const namedType = setting('PROVIDER_TYPE')?.toLowerCase()
  const known = Object.keys(presets)
  if (namedType !== undefined && !known.includes(namedType)) {
    problems.push(`PROVIDER_TYPE is "${namedType}", and this version speaks ${known.join(', ')}`)
  }
  const gatewayType =
    (gatewayUrl ?? gatewayKey ?? namedType)
      ? (known.find((type) => type === namedType) ?? inferType(gatewayUrl))
      : undefined

  for (const [type, preset] of Object.entries(presets)) {
    const ownUrl = preset.urlVariables.map((name) => [name, setting(name)] as const).findLast(([, url]) => url)
    const ownKey = keySource(preset.keyVariable)
    if (type === gatewayType) {
      const baseUrl = gatewayUrl ?? ownUrl?.[1]
      add(
        type,
        type,
        baseUrl ? { baseUrl } : {},
        gatewayKey ?? ownKey,
        gatewayUrl ? 'GATEWAY_URL' : (ownUrl?.[0] ?? ''),
      )
    } else if (ownUrl?.[1] || (ownKey && preset.needsKey)) {
      add(type, type, ownUrl?.[1] ? { baseUrl: ownUrl[1] } : {}, ownKey, ownUrl?.[0] ?? '')
    }
  }

  const file = readFile(setting('PROVIDER_CONFIG'), problems)
  for (const [name, entry] of Object.entries(file.providers ?? {})) {
    const inherited = providers.get(name)
    const sameAsInherited = inherited?.type === entry.type && entry.baseUrl === undefined
    const baseUrl = entry.baseUrl ?? (sameAsInherited ? withoutPath(inherited, entry.type) : undefined)
    const key: KeySource | undefined = entry.apiKey
      ? placeholder.test(entry.apiKey)
        ? undefined
        : { value: entry.apiKey }
      : entry.apiKeyEnv
        ? keySource(entry.apiKeyEnv)
        : entry.apiKeyFile
          ? { file: entry.apiKeyFile }
          : // A key of the environment goes to its own provider only, never to a URL that the file has chosen.
            entry.baseUrl === undefined
            ? (inherited?.key ?? keySource((presets[entry.type] as Preset).keyVariable))
            : undefined
    add(name, entry.type, baseUrl ? { ...entry, baseUrl } : entry, key, `PROVIDER_CONFIG providers.${name}.baseUrl`)
  }

  const routes = new Map<string, RouteConfig>(
    Object.entries(file.routes ?? {}).map(([alias, { strategy, targets }]) => [
      alias,
      { strategy, targets: targets.map(({ model, weight = 1 }) => ({ model, weight })) },
    ]),
  )
  const defaultModel = setting('DEFAULT_MODEL') ?? file.defaultModel
  const defaultProvider = gatewayType ?? providers.keys().next().value
  const recordDir = setting('GATEWAY_RECORD')
  if (providers.size === 0 && problems.length === 0) {
    const forgotten = notes.length > 0 ? ` (${notes.join('; ')})` : ''
    problems.push(
      `no provider is configured: set OPENAI_API_KEY, or GATEWAY_URL to the base URL of a server that speaks OpenAI's dialect${forgotten}`,
    )
  }
  return Object.freeze({
    providers,
    routes,
    ...(defaultModel ? { defaultModel } : {}),
    ...(defaultProvider ? { defaultProvider } : {}),
    proxy: {
      http: env['HTTP_PROXY'] || env['http_proxy'] || undefined,
      https: env['HTTPS_PROXY'] || env['https_proxy'] || undefined,
      except: env['NO_PROXY'] || env['no_proxy'] || undefined,
    },
    ...(recordDir ? { recordDir } : {}),
    logLevel: logLevels.find((level) => level === logLevel) ?? 'info',
    ...(problems.length > 0 ? { problem: problems.join('; ') } : {}),
    notes,
  })
}

/** A base URL as the vendors' own variables have it: the scheme and the usual port may be missing, as in `0.0.0.0:11434`. */
function normalizeUrl(text: string | undefined, preset: Preset): string | undefined {
  if (text === undefined) return preset.baseUrl
  const usual = new URL(preset.baseUrl)
  const bare = !/^[a-z][a-z0-9+.-]*:\/\//i.test(text)
  try {
    const url = new URL(bare ? `${usual.protocol}//${text.startsWith(':') ? usual.hostname : ''}${text}` : text)
    if (!/^https?:$/.test(url.protocol) || url.username || url.password) return undefined
    if (bare && url.port === '') url.port = usual.port
    if (url.hostname === '0.0.0.0' || url.hostname === '[::]') url.hostname = '127.0.0.1'
    const path = url.pathname === '/' && bare ? usual.pathname : url.pathname
    return `${url.origin}${path.replace(/\/+$/, '')}`
  } catch {
    return undefined
  }
}

function withoutPath(provider: ProviderConfig, type: string): string {
  const { path } = presets[type] as Preset
  return provider.baseUrl.slice(0, provider.baseUrl.length - path.length)
}

/** The kind of provider that a base URL gives away by its host or its usual port. */
function inferType(url: string | undefined): string {
  const found = Object.entries(presets).find(([, preset]) => {
    const { host, port, hostname } = new URL(preset.baseUrl)
    return (
      url !== undefined && (preset.local ? new RegExp(`:${port}(?:/|$)`).test(url) : url.includes(hostname || host))
    )
  })
  return found?.[0] ?? 'openai'
}

function headerProblem(name: string, headers: Readonly<Record<string, string>> = {}): string | undefined {
  const bad = Object.entries(headers).find(
    ([header, value]) => !/^[!#$%&'*+.^_`|~\w-]+$/.test(header) || !/^[\t\x20-\x7e]*$/.test(value),
  )
  return bad
    ? `PROVIDER_CONFIG providers.${name}.headers: ${JSON.stringify(bad[0])} is no valid HTTP header`
    : undefined
}

function readFile(text: string | undefined, problems: string[]): ProviderConfigFile {
  if (text === undefined) return {}
  const inline = text.startsWith('{')
  const source = inline ? 'PROVIDER_CONFIG' : `PROVIDER_CONFIG (${text})`
  let value: unknown
  try {
    value = JSON.parse(inline ? text : readFileSync(text, 'utf8').replace(/^\ufeff/, ''))
  } catch (error) {
    // The parser's own message would quote the text, and the text may hold a key.
    const unreadable = error instanceof SyntaxError ? 'is not valid JSON' : 'cannot be read'
    problems.push(`${source} ${unreadable}`)
    return {}
  }
  const parsed = ProviderConfigFile.safeParse(value)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  problems.push(`${source}: ${issue?.path.join('.') || 'the top level'}: ${issue?.message ?? 'is not understood'}`)
  return {}
}
