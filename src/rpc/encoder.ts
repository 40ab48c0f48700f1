import { isObject } from '../json.ts'
import type { Outgoing } from './message.ts'

/** Takes secrets out of a text. */
export type Redact = (text: string) => string

/** A message as one line of JSON, without its newline, in which no secret stands. Throws on what cannot be written. */
export function encodeMessage(message: Outgoing, redact: Redact): string {
  const line = JSON.stringify(message)
  if (redact(line) === line) return line
  // Only the strings of a message are cleaned, so that it stays a message whatever a key consists of.
  return encodeValue(message, redact)
}

function encodeValue(value: unknown, redact: Redact): string {
  return JSON.stringify(value, (_, inner: unknown) => (typeof inner === 'string' ? redact(inner) : inner))
}

/** The line of a message in which a text stands that is too long to be copied at once. */
export type LongLine = {
  /** About as many characters as the line has. */
  length: number
  pieces: Iterator<string>
}

/** From here on, the copies of a text weigh more than the walk through it. */
const longText = 256 * 1024
/** Short enough for the part of the heap that is cheap to clean. */
const pieceLength = 16 * 1024
/** Where the texts of a result stand: message, result, content, block, text; a batch is one level more. */
const maxDepth = 4

/**
 * The same line, newline included, made piece by piece while it is written, where the message holds a long text; undefined
 * for all others. Of such a text there is then no copy as JSON, let alone two. Throws on what cannot be written, at once.
 */
export function encodeLong(message: Outgoing, redact: Redact): LongLine | undefined {
  const depth = Array.isArray(message) ? -1 : 0
  if (!holdsLongText(message, depth)) return undefined
  const parts = [...partsOf(message, redact, depth), '\n']
  const length = parts.reduce((sum, part) => sum + (typeof part === 'string' ? part : part.text).length, 0)
  return { length, pieces: piecesOf(parts) }
}

/** JSON as it is, or what stands between the quotes of a long string. */
type Part = string | { text: string }

function holdsLongText(value: unknown, depth: number): boolean {
  if (typeof value === 'string') return value.length >= longText
  if (typeof value !== 'object' || value === null || depth >= maxDepth) return false
  if (Array.isArray(value)) return value.some((item) => holdsLongText(item, depth + 1))
  for (const name in value) if (holdsLongText((value as Record<string, unknown>)[name], depth + 1)) return true
  return false
}

function* partsOf(value: unknown, redact: Redact, depth: number): Generator<Part> {
  if (typeof value === 'string' && value.length >= longText) {
    yield '"'
    yield { text: redact(value) }
    yield '"'
  } else if (!holdsLongText(value, depth)) yield encodeValue(value, redact) ?? 'null'
  else if (Array.isArray(value)) {
    for (const [at, item] of value.entries()) {
      yield at === 0 ? '[' : ','
      yield* partsOf(item, redact, depth + 1)
    }
    yield ']'
  } else if (isObject(value)) {
    let before = '{'
    for (const [name, member] of Object.entries(value)) {
      if (member === undefined) continue
      yield `${before}${JSON.stringify(name)}:`
      yield* partsOf(member, redact, depth + 1)
      before = ','
    }
    yield '}'
  }
}

function* piecesOf(parts: readonly Part[]): Generator<string> {
  let held = ''
  for (const part of parts) {
    if (typeof part === 'string') held += part
    else {
      const { text } = part
      for (let at = 0; at < text.length; ) {
        // Not within a character of two halves: each alone would be written as an escape.
        const end = at + pieceLength
        const next = (text.codePointAt(end - 1) ?? 0) > 0xffff ? end + 1 : end
        yield held + JSON.stringify(text.slice(at, next)).slice(1, -1)
        held = ''
        at = next
      }
    }
  }
  yield held
}
