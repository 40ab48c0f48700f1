import { readFileSync } from 'node:fs'
import { isAbsolute } from 'node:path'
import { presets } from './providers/index.ts'
import * as z from './schema.ts'

const named = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/
const count = (least: number, most: number) => z.int().check(z.minimum(least), z.maximum(most))
const seconds = z.number().check(z.positive(), z.maximum(86_400))

const ProviderEntry = z.strictObject({
  // One of these, or a plugin's.
  type: z.union([z.enum(Object.keys(presets)), z.string()]),
  baseUrl: z.optional(z.string()),
  apiKey: z.optional(z.string()),
  apiKeyEnv: z.optional(z.string()),
  apiKeyFile: z.optional(z.string()),
  headers: z.optional(z.record(z.string(), z.string())),
  defaultModel: z.optional(z.string()),
  apiVersion: z.optional(z.string()),
  deployments: z.optional(z.record(z.string(), z.string())),
  timeout: z.optional(seconds),
  maxRetries: z.optional(count(0, 20)),
  maxConcurrency: z.optional(count(1, 1000)),
  requestsPerMinute: z.optional(count(1, 1_000_000)),
})
export type ProviderEntry = z.infer<typeof ProviderEntry>

const RouteEntry = z.strictObject({
  strategy: z.enum(['failover', 'weighted', 'round-robin', 'least-latency']),
  targets: z
    .array(
      z.strictObject({ model: z.string().check(z.minLength(1)), weight: z.optional(z.number().check(z.positive())) }),
    )
    .check(z.minLength(1), z.maxLength(64)),
  failoverOn: z.optional(z.array(z.enum(['context_length', 'content_filter']))),
})

const PluginEntry = z.strictObject({
  path: z.string().check(z.refine(isAbsolute, 'must be an absolute path')),
  sha256: z.string().check(z.regex(/^[0-9a-fA-F]{64}$/)),
})

/** What PROVIDER_CONFIG may hold; its JSON Schema is spec/provider-config.schema.json. */
export const ProviderConfigFile = z.strictObject({
  $schema: z.optional(z.string()),
  providers: z.optional(z.record(z.string().check(z.regex(named)), ProviderEntry)),
  plugins: z.optional(z.record(z.string().check(z.regex(named)), PluginEntry)),
  routes: z.optional(z.record(z.string().check(z.minLength(1)), RouteEntry)),
  defaultModel: z.optional(z.string()),
})
type ProviderConfigFile = z.infer<typeof ProviderConfigFile>

/** Reads JSON text or the file that it names. What is wrong is added to the problems, in words that quote nothing. */
export function readConfigFile(text: string | undefined, problems: string[]): ProviderConfigFile {
  if (text === undefined) return {}
  const inline = /^[{["']/.test(text)
  let value: unknown
  try {
    value = JSON.parse(inline ? text : readFileSync(text, 'utf8').replace(/^\ufeff/, ''))
  } catch (error) {
    const fault = error instanceof SyntaxError ? 'is not valid JSON' : 'cannot be read'
    problems.push(
      `PROVIDER_CONFIG${inline ? '' : pathOf(text)} ${fault}; it holds JSON text or the path of a JSON file`,
    )
    return {}
  }
  const parsed = ProviderConfigFile.safeParse(value)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  problems.push(
    `PROVIDER_CONFIG: ${issue?.path.join('.') || 'the top level'}: ${issue?.message ?? 'is not understood'}`,
  )
  return {}
}

/** A path is worth showing; what does not look like one may be anything, a key among them. */
function pathOf(text: string): string {
  return /^[\w./\\: ~@+-]{1,260}$/.test(text) && /[/\\.]/.test(text) ? ` (${text})` : ''
}
