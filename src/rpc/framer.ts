import { type Id, invalidRequest, isId, parseError, RpcError } from './message.ts'

/** One line of input: a JSON value, or what is wrong with the line and the id that could be saved from it. */
export type Frame = { value: unknown } | { error: RpcError; id?: Id }

export type FramerLimits = {
  maxLineBytes: number
  maxDepth: number
  /** Of members of objects, and as much again of objects and arrays. */
  maxMembers: number
}

/**
 * 32 MiB is the largest request that a provider takes; nesting beyond 256 has no use and overflows recursive code; a
 * million members of objects take so long to parse that everything else waits. Ten million empty objects, which fit into
 * a line, take a gigabyte.
 */
export const defaultLimits: FramerLimits = { maxLineBytes: 32 * 1024 * 1024, maxDepth: 256, maxMembers: 100_000 }

const newline = 0x0a
const quote = 0x22
const backslash = 0x5c
const colon = 0x3a
const prefixBytes = 4096
const byteOrderMark = [0xef, 0xbb, 0xbf]

export type Framer = {
  /** Takes the next bytes over; complete lines go to the callback before it returns. */
  push(chunk: Uint8Array): void
  /** The input has ended: a last line without a newline still counts. */
  end(): void
}

/**
 * Cuts bytes into lines and parses each as JSON. Chunks are kept as they came and joined once a line, so the cost is
 * linear in the bytes; a line over the limit is skipped to its end while only its first 4 KiB are held.
 */
export function createFramer(onFrame: (frame: Frame) => void, limits: FramerLimits = defaultLimits): Framer {
  let held: Buffer[] = []
  let heldBytes = 0
  let skipping = false
  let atStart = true

  const hold = (part: Buffer) => {
    if (part.length === 0) return
    heldBytes += part.length
    if (!skipping) held.push(part)
    if (!skipping && heldBytes > limits.maxLineBytes) {
      const parts = held
      held = [beginningOf(parts)]
      skipping = true
      for (const part of parts) free(part)
    }
  }
  const joined = () => (held.length === 1 ? (held[0] as Buffer) : Buffer.concat(held))
  const finishLine = () => {
    const line = joined()
    const frame = skipping
      ? rejected(line, `a line must not exceed ${limits.maxLineBytes} bytes`)
      : parseFrame(line, limits, atStart)
    held = []
    heldBytes = 0
    skipping = false
    atStart = false
    if (frame) onFrame(frame)
  }

  return {
    push(chunk) {
      const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
      let start = 0
      for (let end = bytes.indexOf(newline); end !== -1; end = bytes.indexOf(newline, start)) {
        hold(bytes.subarray(start, end))
        finishLine()
        start = end + 1
      }
      hold(bytes.subarray(start))
      if (skipping) free(bytes)
    },
    end() {
      if (heldBytes > 0) finishLine()
    },
  }
}

/** Left to the collector, 64 MB of chunks would pile up first: it counts what they hold beside the heap. */
function free({ buffer, byteLength }: Buffer): void {
  const owned = buffer instanceof ArrayBuffer && buffer.byteLength === byteLength
  if (owned && byteLength > 0) buffer.transfer(0)
}

/** The first bytes of a line that is too long to be joined. */
function beginningOf(parts: readonly Buffer[]): Buffer {
  const few: Buffer[] = []
  let bytes = 0
  for (const part of parts) {
    if (bytes >= prefixBytes) break
    few.push(part.subarray(0, prefixBytes - bytes))
    bytes += part.length
  }
  return Buffer.concat(few)
}

/** Parses one message, whose length somebody else has limited; undefined where there is nothing but white space. */
export function parseFrame(
  bytes: Buffer,
  limits: FramerLimits = defaultLimits,
  mayHaveMark: boolean = true,
): Frame | undefined {
  // An import would fail to link on a Node too old to have it, before main.ts can say so, and costs a millisecond.
  const { isUtf8 } = process.getBuiltinModule('node:buffer')
  if (!isUtf8(bytes)) return { error: new RpcError(parseError, 'Parse error: the message is not UTF-8') }
  const message = mayHaveMark ? withoutByteOrderMark(bytes) : bytes
  const excess = excessOf(message, limits)
  if (excess !== undefined) return rejected(message, excess)
  const text = message.toString('utf8')
  try {
    return { value: JSON.parse(text) }
  } catch {
    // V8's message quotes the input, which may hold a secret: it is not passed on.
    return text.trim() === '' ? undefined : { error: new RpcError(parseError, 'Parse error: the message is not JSON') }
  }
}

function withoutByteOrderMark(line: Buffer): Buffer {
  return byteOrderMark.every((byte, at) => line[at] === byte) ? line.subarray(byteOrderMark.length) : line
}

function rejected(line: Buffer, reason: string): Frame {
  const id = idIn(line.toString('latin1', 0, prefixBytes))
  const error = new RpcError(invalidRequest, `Invalid request: ${reason}`)
  return id === undefined ? { error } : { error, id }
}

/** The top-level `id` of a message of which only the beginning is there, or undefined if it is not in it. */
function idIn(prefix: string): Id | undefined {
  let depth = 0
  for (let at = 0; at < prefix.length; at++) {
    const character = prefix[at]
    if (character === '{' || character === '[') depth++
    else if (character === '}' || character === ']') depth--
    else if (character === '"') {
      const end = endOfText(prefix, at)
      const value = depth === 1 && prefix.slice(at, end + 1) === '"id"' ? idValue.exec(prefix.slice(end + 1)) : null
      if (value?.[1] !== undefined) return parseId(value[1])
      at = end
    }
  }
  return undefined
}

const idValue = /^\s*:\s*("(?:[^"\\]|\\.)*"|-?\d+)\s*[,}]/

function endOfText(text: string, open: number): number {
  let at = open + 1
  while (at < text.length && text[at] !== '"') at += text[at] === '\\' ? 2 : 1
  return at
}

/** The prefix was read as Latin-1, because it may end within a character. */
function parseId(latin1: string): Id | undefined {
  try {
    const id: unknown = JSON.parse(Buffer.from(latin1, 'latin1').toString('utf8'))
    return isId(id) ? id : undefined
  } catch {
    return undefined
  }
}

/** What of the line is too much, found before parsing: recursion over deep nesting would overflow. */
function excessOf(line: Buffer, { maxDepth, maxMembers }: FramerLimits): string | undefined {
  if (line.length <= maxDepth) return undefined
  let depth = 0
  let members = 0
  let containers = 0
  for (let at = 0; at < line.length; at++) {
    const byte = line[at]
    if (byte === quote) at = endOfString(line, at)
    else if (byte === 0x7b || byte === 0x5b) {
      if (++depth > maxDepth) return `a message must not nest deeper than ${maxDepth} levels`
      if (++containers > maxMembers) return `a message must not have more than ${maxMembers} objects and arrays`
    } else if (byte === 0x7d || byte === 0x5d) depth--
    else if (byte === colon && ++members > maxMembers) return `a message must not have more than ${maxMembers} members`
  }
  return undefined
}

/** Index of the quote that closes the string opened at `open`, or the line's end. */
function endOfString(line: Buffer, open: number): number {
  let at = open + 1
  // Short strings are quickest byte by byte, long ones by the native search for the next quote.
  for (const near = Math.min(at + 64, line.length); at < near; at++) {
    if (line[at] === quote) return at
    if (line[at] === backslash) at++
  }
  const from = at
  for (;;) {
    const found = line.indexOf(quote, at)
    if (found === -1) return line.length
    let slashes = 0
    while (found - slashes > from && line[found - slashes - 1] === backslash) slashes++
    if (slashes % 2 === 0) return found
    at = found + 1
  }
}
