// Loaded when a call brings a schema: zod's reader of JSON Schema is not part of the smaller zod that all else uses.
import { fromJSONSchema } from 'zod'

export type Reading = { value: unknown; warning?: string } | { problem: string }

/** Parses a text as JSON and holds it against the caller's own JSON Schema. */
export function readAgainst(schema: Record<string, unknown>, text: string): Reading {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return { problem: 'it is not JSON' }
  }
  try {
    const checked = fromJSONSchema(schema as Parameters<typeof fromJSONSchema>[0]).safeParse(value)
    if (checked.success) return { value }
    const [issue] = checked.error.issues
    return { problem: `${issue?.path.join('.') || 'the value'}: ${issue?.message ?? 'does not fit'}` }
  } catch {
    return {
      value,
      warning: 'responseSchema uses keywords that the gateway cannot check; object was parsed but not validated',
    }
  }
}

/** What keeps a value from fitting a schema of ours, in words; undefined if it fits. */
export function checkArguments(schema: object, value: unknown): string | undefined {
  const closed = { ...schema, additionalProperties: false }
  const checked = fromJSONSchema(closed as Parameters<typeof fromJSONSchema>[0]).safeParse(value)
  const [issue] = checked.error?.issues ?? []
  return issue ? `${issue.path.join('.') || 'the value'}: ${issue.message}` : undefined
}
