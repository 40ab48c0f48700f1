import { isDeepStrictEqual } from 'node:util'
import { findNodeAtLocation, type Node, parse, parseTree } from 'jsonc-parser'
import { Fault } from '../errors.ts'
import { isObject, type Json } from '../json.ts'
import { faultIn } from '../json-text.ts'
import { type Block, type Input, serverName } from './clients.ts'

/** Our entry in a JSON text of somebody else, which may have comments and trailing commas. */

type JsonBlock = Extract<Block, { section: string }>

const lenient = { allowTrailingComma: true }

/** The block as a file of its own. */
export function asJson({ section, entry, inputs = [] }: JsonBlock): string {
  const whole = { ...(inputs.length > 0 ? { inputs } : {}), [section]: { [serverName]: entry } }
  return `${JSON.stringify(whole, undefined, 2)}\n`
}

/**
 * The text with our entry in it and nothing else changed, to the letter. The same text if the entry is there already. Throws
 * a Fault when the text is not understood, or holds another entry of our name and it is not to be replaced.
 */
export function withEntry(text: string, block: JsonBlock, replace: boolean): string {
  const mark = text.startsWith('\ufeff') ? '\ufeff' : ''
  const body = text.slice(mark.length)
  if (body.trim() === '') return mark + asJson(block)
  const fault = faultIn(body, true)
  if (fault !== undefined) throw unchanged(`is not valid JSON (${fault})`)
  const before: unknown = parse(body, [], lenient)
  const { section, entry, inputs = [] } = block
  const { [section]: servers = {}, inputs: asked = [] } = isObject(before) ? before : { [section]: undefined }
  if (!isObject(before) || !isObject(servers))
    throw unchanged(`has something else than an object where the servers stand (${section})`)
  const present = servers[serverName]
  const isThere = isDeepStrictEqual(present, entry)
  if (present !== undefined && !isThere && !replace) {
    throw unchanged(`has another ${serverName} already; --replace puts the new one in its place`)
  }
  if (inputs.length > 0 && !Array.isArray(asked)) throw unchanged('has something else than a list as inputs')
  const missing = inputs.filter(({ id }) => !(asked as Partial<Input>[]).some((input) => input?.id === id))

  const asking = missing.reduce((json, input) => withItem(json, 'inputs', input), body)
  const after = isThere ? asking : withMember(asking, section, serverName, entry)
  const expected: Json = {
    ...before,
    ...(missing.length > 0 ? { inputs: [...(asked as unknown[]), ...missing] } : {}),
    [section]: { ...servers, [serverName]: entry },
  }
  // A name that stands there twice, say, is read in one place and changed in the other.
  if (!isDeepStrictEqual(parse(after, [], lenient), expected)) throw unchanged('could not be changed safely')
  return mark + after
}

function unchanged(what: string): Fault {
  return new Fault('configuration', `it ${what}; nothing was changed`)
}

function withMember(text: string, section: string, name: string, value: unknown): string {
  const root = parseTree(text, [], lenient) as Node
  const present = findNodeAtLocation(root, [section, name])
  if (present) {
    const form = formOf(text)
    return spliced(text, present.offset, present.length, written(value, indentAt(text, present.offset), form))
  }
  const container = findNodeAtLocation(root, [section])
  return container ? inserted(text, container, name, value) : inserted(text, root, section, { [name]: value })
}

function withItem(text: string, name: string, item: unknown): string {
  const root = parseTree(text, [], lenient) as Node
  const list = findNodeAtLocation(root, [name])
  return list ? inserted(text, list, undefined, item) : inserted(text, root, name, [item])
}

/** A new last member of an object, or item of a list, on lines of its own; a comment stays on the line of what it is about. */
function inserted(text: string, container: Node, name: string | undefined, value: unknown): string {
  const form = formOf(text)
  const outer = indentAt(text, container.offset)
  const last = container.children?.at(-1)
  const indent =
    last && indentAt(text, last.offset).length > outer.length ? indentAt(text, last.offset) : outer + form.unit
  const label = name === undefined ? '' : `${JSON.stringify(name)}: `
  const member = `${form.eol}${indent}${label}${written(value, indent, form)}`
  if (!last) {
    const start = container.offset + 1
    const inside = text.slice(start, container.offset + container.length - 1)
    return spliced(text, start, 0, inside.includes('\n') ? member : `${member}${form.eol}${outer}`)
  }
  const end = last.offset + last.length
  const line = /^[ \t]*(?:(,)[ \t]*)?(?:\/\/[^\r\n]*|\/\*(?:(?!\*\/)[^\r\n])*\*\/[ \t]*)?(?=\r?\n)/.exec(
    text.slice(end),
  )
  if (!line) return spliced(text, end, 0, `,${member}`)
  const [rest, comma] = line
  return comma
    ? spliced(text, end + rest.length, 0, `${member},`)
    : spliced(text, end, rest.length, `,${rest}${member}`)
}

function spliced(text: string, offset: number, length: number, replacement: string): string {
  return text.slice(0, offset) + replacement + text.slice(offset + length)
}

type Form = { unit: string; eol: string }

/** How the file is indented, and how its lines end. */
function formOf(text: string): Form {
  return { unit: /^([ \t]+)["[{]/m.exec(text)?.[1] ?? '  ', eol: text.includes('\r\n') ? '\r\n' : '\n' }
}

function written(value: unknown, indent: string, { unit, eol }: Form): string {
  return JSON.stringify(value, undefined, unit).replaceAll('\n', eol + indent)
}

/** The white space that begins the line of this place. */
function indentAt(text: string, offset: number): string {
  const start = text.lastIndexOf('\n', offset - 1) + 1
  return /^[ \t]*/.exec(text.slice(start, offset))?.[0] ?? ''
}
