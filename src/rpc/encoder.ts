import { isObject } from '../json.ts'
import { isLongText, longTextLength, piecesOf } from '../text.ts'
import type { Outgoing } from './message.ts'

/** Takes secrets out of a text. */
export type Redact = (text: string) => string

export type Redaction = {
  text: Redact
  /** The same for a text in pieces, over which a secret may be spread. */
  pieces(pieces: Iterable<string>): Iterable<string>
}

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

/** Where the texts of a result stand: message, result, content, block, text; a batch is one level more. */
const maxDepth = 4

/**
 * The same line, newline included, made piece by piece while it is written, where the message holds a long text; undefined
 * for all others. Of such a text there is then no copy as JSON, let alone two. Throws on what cannot be written, at once.
 */
export function encodeLong(message: Outgoing, redaction: Redaction): LongLine | undefined {
  const depth = Array.isArray(message) ? -1 : 0
  if (!holdsLongText(message, depth)) return undefined
  const parts = [...partsOf(message, redaction.text, depth), '\n']
  return { length: parts.reduce((sum, { length }) => sum + length, 0), pieces: encodedPieces(parts, redaction) }
}

/** JSON as it is, or what stands between the quotes of a long string. */
type Part = string | { length: number; pieces(): Iterable<string> }

function holdsLongText(value: unknown, depth: number): boolean {
  if (typeof value === 'string') return value.length >= longTextLength
  if (typeof value !== 'object' || value === null) return false
  if (isLongText(value)) return true
  if (depth >= maxDepth) return false
  if (Array.isArray(value)) return value.some((item) => holdsLongText(item, depth + 1))
  for (const name in value) if (holdsLongText((value as Record<string, unknown>)[name], depth + 1)) return true
  return false
}

function* partsOf(value: unknown, redact: Redact, depth: number): Generator<Part> {
  if (!holdsLongText(value, depth)) yield encodeValue(value, redact) ?? 'null'
  else if (typeof value === 'string') yield* ['"', { length: value.length, pieces: () => piecesOf(value) }, '"']
  else if (isLongText(value)) yield* ['"', value, '"']
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

function* encodedPieces(parts: readonly Part[], redaction: Redaction): Generator<string> {
  let held = ''
  for (const part of parts) {
    if (typeof part === 'string') held += part
    else {
      for (const piece of redaction.pieces(part.pieces())) {
        yield held + JSON.stringify(piece).slice(1, -1)
        held = ''
      }
    }
  }
  yield held
}
