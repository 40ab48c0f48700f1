import { readFileSync } from 'node:fs'
import { isAbsolute } from 'node:path'
import { faultIn, placeOf } from './json-text.ts'
import { nearest } from './nearest.ts'
import { presets } from './providers/index.ts'
import * as z from './schema.ts'

const named = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/
const count = (least: number, most: number) => z.int().check(z.minimum(least), z.maximum(most))

/** What PROVIDER_CONFIG may hold; its JSON Schema is spec/provider-config.schema.json. */
export const shapes = z.lazily(() => {
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
    tokensPerMinute: z.optional(count(1, 1_000_000_000)),
  })

  const TargetEntry = z.strictObject({
    model: z.string().check(z.minLength(1)),
    weight: z.optional(z.number().check(z.positive())),
  })

  const RouteEntry = z.strictObject({
    strategy: z.enum(['failover', 'weighted', 'round-robin', 'least-latency']),
    targets: z.array(TargetEntry).check(z.minLength(1), z.maxLength(64)),
    failoverOn: z.optional(z.array(z.enum(['context_length', 'content_filter']))),
  })

  const PluginEntry = z.strictObject({
    path: z.string().check(z.refine(isAbsolute, 'must be an absolute path')),
    sha256: z.string().check(z.regex(/^[0-9a-fA-F]{64}$/)),
  })

  const ProviderConfigFile = z
    .strictObject({
      $schema: z.optional(z.string()),
      providers: z.optional(z.record(z.string().check(z.regex(named)), ProviderEntry)),
      plugins: z.optional(z.record(z.string().check(z.regex(named)), PluginEntry)),
      routes: z.optional(z.record(z.string().check(z.minLength(1)), RouteEntry)),
      defaultModel: z.optional(z.string()),
    })
    .check(({ value: { providers = {}, plugins = {}, routes = {} }, issues }) => {
      for (const [alias, { targets }] of Object.entries(routes)) {
        const at = targets.findIndex(
          ({ model }) => model !== alias && !model.includes('/') && Object.hasOwn(routes, model),
        )
        const path = ['routes', alias, 'targets', at, 'model']
        if (at !== -1) issues.push({ code: 'custom', message: 'it is a route, and no model', path, input: alias })
      }
      const taken = Object.keys(plugins).find((type) => Object.hasOwn(presets, type))
      if (taken) issues.push({ code: 'custom', message: 'this name is taken', path: ['plugins', taken], input: taken })
      const values = [...Object.keys(presets), ...Object.keys(plugins)]
      for (const [name, { type }] of Object.entries(providers)) {
        if (!values.includes(type))
          issues.push({ code: 'invalid_value', values, path: ['providers', name, 'type'], input: type })
      }
    })
  return { ProviderEntry, TargetEntry, RouteEntry, PluginEntry, ProviderConfigFile }
})
type Shapes = ReturnType<typeof shapes>
type ProviderConfigFile = z.infer<Shapes['ProviderConfigFile']>
export type ProviderEntry = z.infer<Shapes['ProviderEntry']>

/** Reads JSON text or the file that it names. What is wrong is added to the problems, in words that quote no value. */
export function readConfigFile(setting: string | undefined, problems: string[]): ProviderConfigFile {
  if (setting === undefined) return {}
  const inline = /^[{["']/.test(setting)
  const source = `PROVIDER_CONFIG${inline ? '' : pathOf(setting)}`
  const text = inline ? setting : readText(setting)
  const fault = text === undefined ? undefined : faultIn(text)
  if (text === undefined || fault !== undefined) {
    const wrong = text === undefined ? 'cannot be read' : `is not valid JSON (${fault})`
    problems.push(`${source} ${wrong}; it holds JSON text or the path of a JSON file`)
    return {}
  }
  const value: unknown = JSON.parse(text)
  const parsed = shapes().ProviderConfigFile.safeParse(value)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  problems.push(issue ? `${source}: ${sentenceOf(issue, value, text)}` : `${source} is not understood`)
  return {}
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').replace(/^\ufeff/, '')
  } catch {
    return undefined
  }
}

/** What is wrong, where it stands, and for a name that is not known the one that is most like it. */
function sentenceOf(issue: z.core.$ZodIssue, value: unknown, text: string): string {
  const misspelt = issue.code === 'unrecognized_keys' ? (issue.keys[0] ?? '') : undefined
  const path = (misspelt === undefined ? issue.path : [...issue.path, misspelt]) as (string | number)[]
  const known =
    issue.code === 'unrecognized_keys'
      ? namesAt(issue.path)
      : issue.code === 'invalid_value'
        ? issue.values.map(String)
        : []
  const given = misspelt ?? path.reduce<unknown>((inner, step) => (inner as Record<string, unknown>)?.[step], value)
  const [likest] = typeof given === 'string' ? nearest(given, known, 1) : []
  const words =
    misspelt !== undefined
      ? 'there is no such name'
      : likest !== undefined
        ? 'not a value that it can have'
        : issue.message
  const hint = likest === undefined ? '' : `; the nearest known one is ${likest}`
  const place = placeOf(text, path)
  return `${path.join('.') || 'the top level'}${place === undefined ? '' : ` (${place})`}: ${words}${hint}`
}

/** The names that an object at this place may have. */
function namesAt(path: readonly PropertyKey[]): string[] {
  const [section, , list] = path
  const { ProviderEntry, PluginEntry, RouteEntry, TargetEntry, ProviderConfigFile } = shapes()
  if (section === 'providers') return Object.keys(ProviderEntry.shape)
  if (section === 'plugins') return Object.keys(PluginEntry.shape)
  if (section === 'routes') return Object.keys(list === undefined ? RouteEntry.shape : TargetEntry.shape)
  return Object.keys(ProviderConfigFile.shape)
}

/** A path is worth showing; what does not look like one may be anything, a key among them. */
function pathOf(text: string): string {
  return /^[\w./\\: ~@+-]{1,260}$/.test(text) && /[/\\.]/.test(text) ? ` (${text})` : ''
}
