// Loaded when a call brings a schema: zod's reader of JSON Schema is not part of the smaller zod that all else uses.
import { fromJSONSchema, type z } from 'zod'
import { quote } from '../http/problem.ts'
import { losesDigits, nestsDeeperThan } from '../json.ts'

const maxDepth = 128

/** Patterns are the caller's and the text is a model's: together they can run for ever, so they are not run. */
const unchecked = new Set(['pattern', 'patternProperties'])

/** Keywords under which the keys are names of the caller's, not keywords. */
const naming = new Set(['properties', '$defs', 'definitions', 'dependentSchemas'])

/** Keywords under which values stand as they are, whatever their keys are called. */
const literal = new Set(['enum', 'const', 'default', 'examples'])

/** Keywords under which a schema that says less takes fewer values, or other ones. */
const inverting = new Set(['not', 'oneOf', 'if'])

export type Reading = { value: unknown; warnings: readonly string[] } | { problem: string }

/** Parses a text as JSON and holds it against the caller's own JSON Schema. */
export function readAgainst(schema: Record<string, unknown>, text: string): Reading {
  const bare = unfenced(text)
  let value: unknown
  try {
    value = JSON.parse(bare)
  } catch {
    return { problem: 'it is not JSON' }
  }
  if (nestsDeeperThan(value, maxDepth)) return { problem: `it nests deeper than ${maxDepth} levels` }
  const warnings = losesDigits(bare)
    ? ['object holds an integer beyond 2^53; it stands with all its digits in text']
    : []
  try {
    const checked = fromJSONSchema(explicit(schema) as Parameters<typeof fromJSONSchema>[0]).safeParse(value)
    if (!checked.success) return { problem: sentenceOf(checked.error) }
    if (holdsPattern(schema)) warnings.push('responseSchema holds patterns, which the gateway cannot check')
  } catch {
    warnings.push('responseSchema uses keywords that the gateway cannot check; object was parsed but not validated')
  }
  return { value, warnings }
}

/** What keeps a value from fitting a schema of ours, in words; undefined if it fits. */
export function checkArguments(schema: object, value: unknown): string | undefined {
  const closed = { ...schema, additionalProperties: false }
  const { error } = fromJSONSchema(closed as Parameters<typeof fromJSONSchema>[0]).safeParse(value)
  return error && sentenceOf(error)
}

/** The first thing that is wrong. Names of members stand in it, which may be many and of any kind. */
function sentenceOf({ issues: [issue] }: z.ZodError): string {
  const isFraction = issue?.code === 'not_multiple_of' && issue.divisor === 1
  const what = isFraction ? 'must be an integer' : (issue?.message ?? 'does not fit')
  return quote(`${issue?.path.join('.') || 'the value'}: ${what}`)
}

/** Says what a schema means where zod only looks at what it says: objects by their keywords, members that are required. */
function explicit(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(explicit)
  if (typeof schema !== 'object' || schema === null) return schema
  const { properties, required, enum: values, const: value, ...rest } = schema as Record<string, unknown>
  const names = Array.isArray(required) ? required.filter((name) => typeof name === 'string') : []
  const isObject = properties !== undefined || names.length > 0
  const members = { ...Object.fromEntries(names.map((name) => [name, {}])), ...(properties as object | undefined) }
  if (Object.entries(rest).some(([keyword, inner]) => inverting.has(keyword) && holdsPattern(inner))) {
    throw new Error('the meaning hangs on a pattern')
  }
  // Without the patterns of names, nothing is known of the members that are not listed.
  const open = 'patternProperties' in rest
  const left = ([keyword]: [string, unknown]) =>
    !unchecked.has(keyword) && !(open && /^(additional|unevaluated)Properties$/.test(keyword))
  return {
    ...Object.fromEntries(
      Object.entries(rest)
        .filter(left)
        .map(([keyword, inner]) => [keyword, explicitUnder(keyword, inner)]),
    ),
    ...integersOfAnySize(rest),
    ...(values === undefined ? {} : { enum: values }),
    ...(value === undefined ? {} : { const: value }),
    ...(isObject && rest['type'] === undefined ? { type: 'object' } : {}),
    ...(isObject ? { properties: explicitMembers(members) } : {}),
    ...(names.length > 0 ? { required: names } : {}),
  }
}

/** zod's integers end at 2^53, and those of JSON Schema nowhere. */
function integersOfAnySize({ type, multipleOf = 1 }: Record<string, unknown>): object {
  const types = [type].flat()
  if (!types.includes('integer') || types.includes('number') || !Number.isInteger(multipleOf)) return {}
  const numbers = types.map((one) => (one === 'integer' ? 'number' : one))
  return { type: Array.isArray(type) ? numbers : 'number', multipleOf }
}

/** Whether a pattern stands anywhere in the schema as a keyword. */
function holdsPattern(schema: unknown): boolean {
  if (typeof schema !== 'object' || schema === null) return false
  return Object.entries(schema).some(([keyword, inner]) => {
    if (literal.has(keyword)) return false
    if (naming.has(keyword)) return Object.values(inner ?? {}).some(holdsPattern)
    return unchecked.has(keyword) || holdsPattern(inner)
  })
}

function explicitUnder(keyword: string, inner: unknown): unknown {
  if (literal.has(keyword)) return inner
  const named = naming.has(keyword) && typeof inner === 'object' && inner !== null
  return named ? explicitMembers(inner) : explicit(inner)
}

function explicitMembers(members: object): object {
  return Object.fromEntries(Object.entries(members).map(([name, schema]) => [name, explicit(schema)]))
}

/** Models that were only asked for JSON like to put it into a block of Markdown. */
function unfenced(text: string): string {
  return /^\s*```(?:json)?\n([\s\S]*?)\n?```\s*$/.exec(text)?.[1] ?? text
}
