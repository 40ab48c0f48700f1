import type { ProviderEntry } from './config-file.ts'
import { type Preset, thisHost } from './providers/index.ts'
import type { KeySource } from './secrets.ts'

export type ProviderConfig = {
  name: string
  type: string
  preset: Preset
  /** The variables that say so, in words of the environment. */
  setBy: readonly string[]
  /** As the vendor's own SDK takes it; no slash at the end. */
  baseUrl: string
  key?: KeySource
  headers: Readonly<Record<string, string>>
  defaultModel?: string
  apiVersion?: string
  deployments?: Readonly<Record<string, string>>
  limits: { firstByteMs: number; slowFirstByteMs: number; idleMs: number }
  maxRetries: number
  maxConcurrency?: number
  requestsPerMinute?: number
  tokensPerMinute?: number
  /** Why this provider cannot be called; one sentence that names what to set. */
  problem?: string
}

/** What the configuration says of one provider. */
export type ProviderSource = {
  name: string
  type: string
  preset: Preset
  entry: Partial<ProviderEntry>
  key: KeySource | undefined
  setBy: readonly string[]
  /** What the base URL is called where it was set. */
  origin: string
  timeoutSeconds: number | undefined
  maxRetries: number
}

const hostedMs = 30_000
const patientMs = 300_000
/** Stands where a provider has no address, so that it is still an URL; `problem` keeps it from being called. */
const nowhere = 'http://127.0.0.1:9'

export function createProvider(source: ProviderSource): ProviderConfig {
  const { name, type, preset, setBy, entry, key } = source
  const url = normalizeUrl(entry.baseUrl, preset)
  const problem = problemOf(source, url)
  const seconds = entry.timeout ?? source.timeoutSeconds
  const silenceMs = seconds !== undefined ? seconds * 1000 : preset.local ? patientMs : hostedMs
  const { defaultModel, apiVersion, deployments, maxConcurrency, requestsPerMinute, tokensPerMinute } = entry
  return {
    name,
    type,
    preset,
    setBy,
    baseUrl: url ?? nowhere,
    ...(key && url !== undefined ? { key } : {}),
    headers: entry.headers ?? {},
    ...(defaultModel === undefined ? {} : { defaultModel }),
    ...(apiVersion === undefined ? {} : { apiVersion }),
    ...(deployments === undefined ? {} : { deployments }),
    limits: {
      idleMs: silenceMs,
      firstByteMs: silenceMs,
      slowFirstByteMs: seconds !== undefined ? silenceMs : patientMs,
    },
    maxRetries: entry.maxRetries ?? source.maxRetries,
    ...(maxConcurrency === undefined ? {} : { maxConcurrency }),
    ...(requestsPerMinute === undefined ? {} : { requestsPerMinute }),
    ...(tokensPerMinute === undefined ? {} : { tokensPerMinute }),
    ...(problem === undefined ? {} : { problem }),
  }
}

function problemOf({ name, preset, entry, key, origin }: ProviderSource, url: string | undefined): string | undefined {
  const { keyVariable, urlVariables, needsKey, baseUrl } = preset
  if (entry.baseUrl === undefined && baseUrl === undefined) {
    return `${name} needs the address of its endpoint: set ${urlVariables.at(-1) ?? `PROVIDER_CONFIG providers.${name}.baseUrl`}`
  }
  if (url === undefined)
    return `the base URL of ${name} (${origin}) is not an http or https URL without a user name and without a query`
  if (key === undefined && needsKey && (entry.baseUrl === undefined || baseUrl === undefined)) {
    return `${name} needs a key: set ${keyVariable}, or ${keyVariable}_FILE to the path of a file that holds it`
  }
  const bad = Object.entries(entry.headers ?? {}).find(
    ([header, value]) => !/^[!#$%&'*+.^_`|~\w-]+$/.test(header) || !/^[\t\x20-\x7e]*$/.test(value),
  )
  return bad && `PROVIDER_CONFIG providers.${name}.headers: ${JSON.stringify(bad[0])} is no valid HTTP header`
}

/** A base URL as the vendors' own variables have it: the scheme and the usual port may be missing, as in `0.0.0.0:11434`. */
function normalizeUrl(text: string | undefined, preset: Preset): string | undefined {
  const usual = new URL(preset.baseUrl ?? 'https://NAME.example.com')
  if (text === undefined) return preset.baseUrl
  const bare = !/^[a-z][a-z0-9+.-]*:\/\//i.test(text)
  try {
    const url = new URL(bare ? `${usual.protocol}//${text.startsWith(':') ? usual.hostname : ''}${text}` : text)
    if (!/^https?:$/.test(url.protocol) || url.username || url.password || url.search || url.hash) return undefined
    if (bare && url.port === '') url.port = usual.port
    if (url.hostname === '0.0.0.0' || url.hostname === '[::]') url.hostname = preset.local ? usual.hostname : thisHost
    const path = url.pathname === '/' && bare ? usual.pathname : url.pathname
    const trimmed = path.replace(/\/+$/, '')
    return `${url.origin}${preset.foreignPath ? trimmed.replace(preset.foreignPath, '') : trimmed}`
  } catch {
    return undefined
  }
}
