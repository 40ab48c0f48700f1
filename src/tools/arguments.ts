import { Fault } from '../errors.ts'
import { isObject } from '../json.ts'
import { nearest } from '../nearest.ts'
import * as z from '../schema.ts'

/** The providers' own names for arguments, besides the same words in snake_case. */
const spellings: Readonly<Record<string, string>> = {
  max_completion_tokens: 'maxTokens',
  max_output_tokens: 'maxTokens',
  maxOutputTokens: 'maxTokens',
  stop_sequences: 'stop',
  stopSequences: 'stop',
  encoding_format: 'encoding',
}

type Arguments = Record<string, unknown>

const maxItems = 10_000

/**
 * Reads a tool's arguments against its schema: takes the providers' spellings, and a lone string where the schema says a
 * list of strings. Throws an `invalid_request` that names the argument, and for an unknown one the nearest known name.
 */
export function readArguments<S extends z.ZodMiniObject>(schema: S, args: unknown): z.infer<S> {
  const given = translate(schema, args as Arguments)
  // Told before the schema looks at every item: millions of faulty ones would take it minutes.
  const long = Object.keys(given).find(
    (name) => Array.isArray(given[name]) && (given[name] as unknown[]).length > maxItems,
  )
  if (long !== undefined) throw new Fault('invalid_request', `${long} must not hold more than ${maxItems} items`)
  const parsed = schema.safeParse(given)
  if (parsed.success) return parsed.data as z.infer<S>
  const [issue] = parsed.error.issues
  throw new Fault(
    'invalid_request',
    issue?.code === 'unrecognized_keys' ? unknown(schema, issue.keys[0] ?? '') : sentence(issue),
  )
}

function translate(schema: z.ZodMiniObject, args: Arguments): Arguments {
  const known = schema.shape
  const entries: [string, unknown][] = []
  const add = (name: string, given: unknown) => {
    const value = name === 'toolChoice' ? toolChoice(given) : given
    entries.push([name, typeof value === 'string' && isList(known[name]) ? [value] : value])
  }
  for (const [name, value] of Object.entries(args)) {
    // A client that fills in every argument sends null for what it has nothing to say about.
    if (value === null) continue
    if (Object.hasOwn(known, name)) add(name, value)
    else if (name === 'response_format' && isObject(value)) for (const entry of responseFormat(value)) add(...entry)
    else {
      const spelled = Object.hasOwn(spellings, name) ? (spellings[name] as string) : camelCase(name)
      add(Object.hasOwn(known, spelled) ? spelled : name, value)
    }
  }
  return merged(entries)
}

/** `Object.fromEntries` defines members, so that `__proto__` is a name like any other; options are joined, not replaced. */
function merged(entries: [string, unknown][]): Arguments {
  const result = Object.fromEntries(entries)
  const options = entries.flatMap(([name, value]) =>
    name === 'options' && isObject(value) ? Object.entries(value) : [],
  )
  return isObject(result['options']) ? { ...result, options: Object.fromEntries(options) } : result
}

/** OpenAI's response_format: a schema is ours, anything else is passed through. */
function responseFormat(format: Arguments): [string, unknown][] {
  const inner = isObject(format['json_schema']) ? format['json_schema']['schema'] : format['schema']
  if (isObject(inner)) return [['responseSchema', inner]]
  return format['type'] === 'text' ? [] : [['options', { response_format: format }]]
}

/** `any` is Anthropic's word for `required`; both vendors wrap the name of a tool in an object. */
function toolChoice(choice: unknown): unknown {
  if (choice === 'any') return 'required'
  if (!isObject(choice)) return choice
  const inner = isObject(choice['function']) ? choice['function']['name'] : choice['name']
  return inner ?? toolChoice(choice['type'])
}

function isList(type: unknown): boolean {
  const inner = type instanceof z.ZodMiniOptional ? type.def.innerType : type
  return inner instanceof z.ZodMiniArray && inner.def.element instanceof z.ZodMiniString
}

function camelCase(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
}

function unknown(schema: z.ZodMiniObject, name: string): string {
  const names = Object.keys(schema.shape)
  const [likest] = nearest(name, names, 1)
  const shown = JSON.stringify(name).slice(0, 80)
  const further = names.includes('options') ? '; fields for the provider alone go into options' : ''
  return `there is no argument ${shown}; the nearest known one is ${likest}${further}`
}

function sentence(issue: z.core.$ZodIssue | undefined): string {
  const where = issue?.path.join('.') || 'the arguments'
  return `${where}: ${issue?.message ?? 'not understood'}`
}
