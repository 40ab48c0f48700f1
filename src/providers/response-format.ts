import { isObject, type Json } from './json.ts'

/** Keywords that constrain values and that vendors' own decoders of schemas refuse. */
const refused = [
  'minimum',
  'maximum',
  'exclusiveMinimum',
  'exclusiveMaximum',
  'multipleOf',
  'minLength',
  'maxLength',
  'pattern',
  'minItems',
  'maxItems',
  'uniqueItems',
  'minProperties',
  'maxProperties',
]

/**
 * A JSON Schema within the subset that vendors compile into a grammar: every object closed, constraints on values moved
 * into descriptions. The answer is checked against the caller's own schema all the same.
 */
export function closedSchema(schema: Json): { schema: Json; warnings: string[] } {
  const moved = new Set<string>()
  const closed = close(schema, moved)
  const warnings =
    moved.size > 0
      ? [`responseSchema was sent with ${[...moved].join(', ')} as words: the provider enforces the rest`]
      : []
  return { schema: closed as Json, warnings }
}

function close(value: unknown, moved: Set<string>): unknown {
  if (Array.isArray(value)) return value.map((item) => close(item, moved))
  if (!isObject(value)) return value
  const constraints = Object.entries(value).filter(([keyword]) => refused.includes(keyword))
  for (const [keyword] of constraints) moved.add(keyword)
  const kept = Object.entries(value)
    .filter(([keyword]) => !refused.includes(keyword))
    .map(([keyword, inner]): [string, unknown] => [keyword, closeKeyword(keyword, inner, moved)])
  const result = Object.fromEntries(kept)
  if (constraints.length > 0) {
    const words = constraints.map(([keyword, bound]) => `${keyword}: ${JSON.stringify(bound)}`).join(', ')
    const description = typeof result['description'] === 'string' ? `${result['description']} ` : ''
    result['description'] = `${description}(${words})`
  }
  if (result['type'] === 'object') result['additionalProperties'] = false
  return result
}

/** Below these keywords stand schemas by name, or values that only look like schemas. */
function closeKeyword(keyword: string, inner: unknown, moved: Set<string>): unknown {
  if (keyword === 'properties' || keyword === '$defs' || keyword === 'definitions') {
    const named = isObject(inner) ? Object.entries(inner) : []
    return Object.fromEntries(named.map(([name, schema]) => [name, close(schema, moved)]))
  }
  return ['enum', 'const', 'default', 'examples', 'required'].includes(keyword) ? inner : close(inner, moved)
}

/**
 * Whether a schema is as OpenAI's strict mode wants it, which then enforces it: every object closed, every member
 * required, and nothing of what its grammar leaves out.
 */
export function isStrict(schema: unknown): boolean {
  if (Array.isArray(schema)) return schema.every(isStrict)
  if (!isObject(schema)) return true
  if (Object.keys(schema).some((keyword) => refused.includes(keyword) || unions.includes(keyword))) return false
  const { type, properties, required, additionalProperties, items } = schema
  if (type !== 'object') return items === undefined || isStrict(items)
  const members = isObject(properties) ? properties : {}
  const names = Array.isArray(required) ? required : []
  return (
    additionalProperties === false &&
    Object.keys(members).every((name) => names.includes(name)) &&
    Object.values(members).every(isStrict)
  )
}

const unions = ['allOf', 'oneOf', 'not', 'if', 'patternProperties', 'dependentRequired', 'dependentSchemas']
