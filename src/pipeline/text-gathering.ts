import { type LongText, longTextLength, pieceLength, piecesOf } from '../text.ts'

/** To be ended once, by either. */
export type TextGathering = {
  append(text: string): void
  /** All of it: a string as long as that is cheap. */
  text(): string | LongText
  /** All of it, piece by piece, each of which is forgotten when the next is asked for. */
  drain(): Iterable<string>
}

/** Gathers a text that comes in parts. When it becomes long, its pieces move out of the heap, as UTF-8. */
export function createTextGathering(): TextGathering {
  let strings: string[] = []
  let length = 0
  let storedLength = 0
  let stored: (string | Buffer<ArrayBuffer>)[] | undefined

  const store = (all: boolean) => {
    const text = strings.join('')
    // A first half waits for the second.
    const end = !all && isHighSurrogate(text.charCodeAt(text.length - 1)) ? text.length - 1 : text.length
    strings = [text.slice(end)]
    storedLength += end
    for (const piece of piecesOf(text.slice(0, end))) {
      // UTF-8 has no halves: what holds a half alone stays a string.
      stored?.push(piece.isWellFormed() ? bytesOf(piece) : piece)
    }
  }

  return {
    append(text) {
      strings.push(text)
      length += text.length
      if (length < longTextLength) return
      stored ??= []
      if (length - storedLength >= pieceLength) store(false)
    },
    text() {
      if (!stored) return strings.join('')
      store(true)
      return longTextOf(stored, length)
    },
    *drain() {
      if (!stored) return yield* piecesOf(strings.join(''))
      store(true)
      const pieces = stored
      for (const [at, piece] of pieces.entries()) {
        yield piece.toString()
        pieces[at] = ''
        if (typeof piece !== 'string') free(piece)
      }
    },
  }
}

function longTextOf(stored: readonly (string | Buffer<ArrayBuffer>)[], length: number): LongText {
  const text: LongText = {
    length,
    *pieces() {
      for (const piece of stored) yield piece.toString()
    },
    toString: () => stored.join(''),
    toJSON: () => text.toString(),
  }
  return text
}

/** Gives memory back before the collector of garbage, which cleans the heap and not what stands beside it, would. */
function free({ buffer }: Buffer<ArrayBuffer>): void {
  buffer.transfer(0)
}

/** As UTF-8, in memory of its own: Buffer.from would take a part of what Node keeps for many, a fifth of which is wasted. */
function bytesOf(text: string): Buffer<ArrayBuffer> {
  const bytes = Buffer.allocUnsafeSlow(Buffer.byteLength(text))
  bytes.write(text)
  return bytes
}

function isHighSurrogate(code: number): boolean {
  return code >= 0xd800 && code <= 0xdbff
}
