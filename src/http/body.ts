import { systemClock } from '../clock.ts'
import { Fault } from '../errors.ts'
import { stepping } from '../iteration.ts'
import type { HttpResponse } from './message.ts'

/** The largest JSON answer that is read, in bytes. */
const maxJsonBytes = 64 * 1024 * 1024
/** The most white space that may stand before an answer, in bytes: servers have been seen to send it while they think. */
const maxBlankBytes = 1024 * 1024
/** How much of an error's body is looked at, in bytes, and how long its end is waited for. */
const maxErrorBytes = 64 * 1024
const maxErrorMs = 5_000

export type TextDecoding = {
  /** The next bytes as text; without bytes, the end. Stops for good before the first that are no UTF-8. */
  decode(chunk?: Uint8Array): string
  /** Set once bytes were met that are no UTF-8, rather than to replace them in silence. */
  fault: Fault | undefined
}

/** Bytes to text across chunk boundaries: the same text for every way of cutting them, faulty ones included. */
export function createTextDecoding(): TextDecoding {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  let pending = noBytes
  const decoding: TextDecoding = {
    fault: undefined,
    decode(chunk) {
      if (decoding.fault) return ''
      try {
        const text = chunk ? decoder.decode(chunk, { stream: true }) : decoder.decode()
        pending = chunk ? unfinished(pending, chunk) : pending
        return text
      } catch {
        decoding.fault = badEncoding()
        return validBeginning(Buffer.concat([pending, chunk ?? noBytes]))
      }
    },
  }
  return decoding
}

export function badEncoding(): Fault {
  return new Fault('invalid_response', 'the answer holds bytes that are not UTF-8', { cause: 'bad_encoding' })
}

const noBytes: Uint8Array = new Uint8Array()

/** The bytes of a character that the chunk has begun and not finished; at most three. */
function unfinished(before: Uint8Array, chunk: Uint8Array): Uint8Array {
  if ((chunk.at(-1) ?? 0x80) < 0x80) return noBytes
  const tail = chunk.length >= 3 ? chunk.subarray(-3) : Buffer.concat([before, chunk]).subarray(-3)
  for (let length = 1; length <= tail.length; length++) {
    const lead = tail[tail.length - length] as number
    const needed = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1
    if (lead < 0x80) break
    if (needed > 1) return needed > length ? Uint8Array.from(tail.subarray(-length)) : noBytes
  }
  return noBytes
}

/** Bytes that are no UTF-8 do not come back the same: all before the first difference was sound. */
function validBeginning(bytes: Buffer): string {
  const again = Buffer.from(bytes.toString('utf8'), 'utf8')
  let sound = 0
  while (sound < bytes.length && bytes[sound] === again[sound]) sound++
  return new TextDecoder('utf-8').decode(bytes.subarray(0, sound), { stream: true })
}

/** A success that says nothing at all: something on the way has lost it. */
export function emptyAnswer(): Fault {
  return new Fault('invalid_response', 'the answer is empty', { cause: 'empty', retryable: true })
}

/** An answer that did not come to its end; a document that is none of this dialect had none that could be cut off. */
export function unfinishedAnswer(isOfDialect = true): Fault {
  return !isOfDialect
    ? new Fault('invalid_response', 'the answer is JSON, but no answer of this dialect', { cause: 'bad_json' })
    : new Fault('truncated', 'the answer ended before its end marker', { cause: 'no_end_marker', retryable: true })
}

/** The whole body as a JSON value. */
export async function readJson(
  response: HttpResponse,
  parseText: (text: string) => unknown = JSON.parse,
): Promise<unknown> {
  const decoding = createTextDecoding()
  const texts: string[] = []
  let bytes = 0
  for await (const chunk of response.body) {
    bytes += chunk.length
    if (bytes > maxJsonBytes) {
      throw new Fault('too_large', `the answer is larger than ${maxJsonBytes} bytes`, { cause: 'json_body' })
    }
    texts.push(decoding.decode(chunk))
    if (decoding.fault) throw decoding.fault
  }
  texts.push(decoding.decode())
  if (decoding.fault) throw decoding.fault
  const text = texts.join('')
  if (text.trim() === '') throw emptyAnswer()
  try {
    return parseText(text)
  } catch {
    const html = /^\s*</.test(text)
    throw new Fault(
      'invalid_response',
      html ? 'the answer is a web page, not JSON: check the base URL and any proxy' : 'the answer is not valid JSON',
      { cause: html ? 'bad_content_type' : 'bad_json' },
    )
  }
}

/**
 * Tells a whole JSON answer from a stream of events by its first character, whatever its type says: servers and proxies
 * have been seen to answer each under the other's name. A web page is neither; its body is begun all the same, so that it
 * is also ended.
 */
export async function tellWhole({
  headers,
  body,
}: HttpResponse): Promise<{ whole: boolean; body: AsyncIterable<Uint8Array> }> {
  const type = headers['content-type'] ?? ''
  const chunks = body[Symbol.asyncIterator]()
  if (type.includes('text/html')) {
    await chunks.next()
    await chunks.return?.()
    throw new Fault('invalid_response', 'it answered with a web page: check the base URL and any proxy', {
      cause: 'bad_content_type',
    })
  }
  const begun: Uint8Array[] = []
  let blankBytes = 0
  for (let next = await chunks.next(); !next.done; next = await chunks.next()) {
    begun.push(next.value)
    const begin = firstCharacter(next.value)
    if (begin === undefined) {
      blankBytes += next.value.length
      if (blankBytes <= maxBlankBytes) continue
      await chunks.return?.()
      throw new Fault('too_large', 'the answer begins with more white space than the gateway accepts', {
        cause: 'blank',
      })
    }
    const isEvents = startsField.test(begin)
    // What begins like neither is left to the one that its type names, who will say what is wrong with it.
    return { whole: '{['.includes(begin) || (!isEvents && type.includes('json')), body: putBack(begun, chunks) }
  }
  return { whole: type.includes('json'), body: putBack(begun, chunks) }
}

/** How a line of an event stream begins: data, event, id, retry, or a comment. */
const startsField = /[deir:]/

/** White space, and the bytes of a byte order mark. */
const blank = new Set([0x20, 0x09, 0x0a, 0x0d, 0xef, 0xbb, 0xbf])

/** The first character that is none of these. */
function firstCharacter(chunk: Uint8Array): string | undefined {
  const at = chunk.findIndex((byte) => !blank.has(byte))
  return at === -1 ? undefined : String.fromCharCode(chunk[at] as number)
}

/** The chunks that have been looked at, and then the others. */
function putBack(begun: Uint8Array[], rest: AsyncIterator<Uint8Array>): AsyncIterableIterator<Uint8Array> {
  const step = (): Promise<IteratorResult<Uint8Array>> => {
    const value = begun.shift()
    return value ? Promise.resolve({ done: false, value }) : rest.next()
  }
  return stepping(step, () => rest.return?.())
}

/** The beginning of an error's body as text, whatever its bytes are. */
export async function readErrorText(response: HttpResponse): Promise<string> {
  const chunks: Uint8Array[] = []
  const timer = systemClock.timer(maxErrorMs, () => response.interrupt?.(unfinishedAnswer()))
  let bytes = 0
  try {
    for await (const chunk of response.body) {
      chunks.push(chunk)
      bytes += chunk.length
      if (bytes >= maxErrorBytes) break
    }
  } catch {
    // The status has said enough; what came of the body is used.
  } finally {
    timer.stop()
  }
  return Buffer.concat(chunks).toString('utf8', 0, maxErrorBytes)
}
