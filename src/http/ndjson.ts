import { isUtf8 } from 'node:buffer'
import { Fault } from '../errors.ts'
import { badEncoding, emptyAnswer } from './body.ts'

const maxLineBytes = 4 * 1024 * 1024
const maxStreamBytes = 64 * 1024 * 1024
const lineFeed = 0x0a

/**
 * Bytes to JSON values, one a line, those of one chunk together: the same values for every way of cutting the same
 * bytes. Blank lines and CRLF are fine. A last line that lacks its end counts if it is whole, and is cut off if not.
 */
export async function* readLines(
  body: AsyncIterable<Uint8Array>,
  parseText: (text: string) => unknown = JSON.parse,
): AsyncGenerator<readonly unknown[]> {
  const pending = createLineBuffer()
  let bytes = 0

  for await (const chunk of body) {
    bytes += chunk.length
    if (bytes > maxStreamBytes) throw tooLarge()
    const values: unknown[] = []
    try {
      // No other character of UTF-8 has the byte of a line feed in it, so that lines are cut before they are decoded.
      let start = 0
      for (let end = chunk.indexOf(lineFeed); end !== -1; end = chunk.indexOf(lineFeed, start)) {
        const value = parse(pending.complete(chunk.subarray(start, end)), parseText)
        if (value !== undefined) values.push(value)
        start = end + 1
      }
      pending.append(chunk.subarray(start))
    } catch (error) {
      // What stood before the broken line has come, however the bytes were cut.
      if (values.length > 0) yield values
      throw error
    }
    if (values.length > 0) yield values
  }
  if (bytes === 0) throw emptyAnswer()
  const value = parseLast(pending.complete(new Uint8Array()), parseText)
  if (value !== undefined) yield [value]
}

/** A line to its value; undefined for a blank one. */
function parse(line: Uint8Array, parseText: (text: string) => unknown): unknown {
  if (!isUtf8(line)) throw badEncoding()
  const text = Buffer.from(line.buffer, line.byteOffset, line.byteLength).toString('utf8').trim()
  if (text === '') return undefined
  try {
    return parseText(text)
  } catch {
    const html = text.startsWith('<')
    throw new Fault(
      'invalid_response',
      html
        ? 'the answer is a web page, not lines of JSON: check the base URL and any proxy'
        : 'a line of the answer is not valid JSON',
      { cause: html ? 'bad_content_type' : 'bad_json' },
    )
  }
}

/** What the end of the stream has cut off says nothing, unless it shows that these were never lines of JSON. */
function parseLast(line: Uint8Array, parseText: (text: string) => unknown): unknown {
  try {
    return parse(line, parseText)
  } catch (error) {
    if (error instanceof Fault && error.detail.cause === 'bad_content_type') throw error
    return undefined
  }
}

type LineBuffer = {
  append(piece: Uint8Array): void
  /** The line with its last piece, which leaves the buffer empty. */
  complete(piece: Uint8Array): Uint8Array
}

/** Holds the line that has not ended yet. It doubles when full, so that a line in many pieces costs linear time. */
function createLineBuffer(): LineBuffer {
  let held = new Uint8Array(1024)
  let length = 0
  const append = (piece: Uint8Array) => {
    const needed = length + piece.length
    if (needed > maxLineBytes) throw tooLarge()
    if (needed > held.length) {
      const larger = new Uint8Array(Math.max(needed, 2 * held.length))
      larger.set(held.subarray(0, length))
      held = larger
    }
    held.set(piece, length)
    length = needed
  }
  return {
    append,
    complete(piece) {
      // Most lines come in one piece, which needs no copy.
      if (length === 0 && piece.length <= maxLineBytes) return piece
      append(piece)
      const line = held.subarray(0, length)
      length = 0
      return line
    },
  }
}

function tooLarge(): Fault {
  return new Fault('too_large', 'the streamed answer is larger than the gateway accepts', { cause: 'ndjson' })
}
