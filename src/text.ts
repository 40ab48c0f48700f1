/**
 * A text that is too long for V8's heap: what lives there is copied while it is young, twice, and takes two bytes a
 * character as soon as one of them is beyond Latin-1. JSON.stringify writes it as the string that it is.
 */
export type LongText = {
  /** UTF-16 code units, as of a string. */
  readonly length: number
  /** In order, each short, none of them empty, and none that ends within a character. */
  pieces(): Iterable<string>
  toString(): string
  toJSON(): string
}

/** From here on, in UTF-16 code units, the copies of a text weigh more than the walk through its pieces. */
export const longTextLength = 256 * 1024
/** Of a piece, in UTF-16 code units: short enough for the part of the heap that is cheap to clean. */
export const pieceLength = 16 * 1024

/** By its shape: the two towers have no class in common. */
export function isLongText(value: unknown): value is LongText {
  return typeof value === 'object' && value !== null && typeof (value as Partial<LongText>).pieces === 'function'
}

/** A text in pieces, cut at no character of two halves: each half alone would be written as an escape. */
export function* piecesOf(text: string): Generator<string> {
  for (let at = 0; at < text.length; ) {
    const end = at + pieceLength
    const next = (text.codePointAt(end - 1) ?? 0) > 0xffff ? end + 1 : end
    yield text.slice(at, next)
    at = next
  }
}
