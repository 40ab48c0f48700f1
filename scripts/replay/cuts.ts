/** Ways of cutting the same bytes into chunks. A client must not see any difference between them. */

export type Cut = {
  name: string
  /** The chunks to send instead of the recorded ones, or undefined where there is nothing to cut in this way. */
  of(chunks: readonly Uint8Array[]): readonly Uint8Array[] | undefined
}

/** Up to here every byte travels alone; longer bodies go in small odd pieces, to bound the time. */
const maxSingleBytes = 4096
const oddSizes = [3, 5, 7, 4, 6]

export const asRecorded: Cut = { name: 'as recorded', of: (chunks) => chunks }

export const everyByte: Cut = {
  name: 'every byte alone',
  of(chunks) {
    const bytes = Buffer.concat(chunks)
    const sizes = bytes.length <= maxSingleBytes ? [1] : oddSizes
    const offsets: number[] = []
    for (let at = 0; at < bytes.length; at += sizes[offsets.length % sizes.length] ?? 1) offsets.push(at)
    return cutAt(bytes, offsets)
  },
}

export const insideCharacters: Cut = {
  name: 'cut inside every character of several bytes',
  of: (chunks) => cutBefore(chunks, (byte) => (byte & 0xc0) === 0x80),
}

export const insideLineEnds: Cut = {
  name: 'cut between CR and LF',
  of: (chunks) => cutBefore(chunks, (byte, previous) => byte === 0x0a && previous === 0x0d),
}

export const inOnePiece: Cut = { name: 'all in one chunk', of: (chunks) => [Buffer.concat(chunks)] }

/** Every way but the recorded one. */
export const recuts: readonly Cut[] = [everyByte, insideCharacters, insideLineEnds, inOnePiece]

function cutBefore(
  chunks: readonly Uint8Array[],
  matches: (byte: number, previous: number) => boolean,
): readonly Uint8Array[] | undefined {
  const bytes = Buffer.concat(chunks)
  const offsets: number[] = []
  for (let at = 1; at < bytes.length; at += 1) {
    if (matches(bytes[at] ?? 0, bytes[at - 1] ?? 0)) offsets.push(at)
  }
  return offsets.length > 0 ? cutAt(bytes, [0, ...offsets]) : undefined
}

/** Cuts at ascending offsets, of which the first is 0. */
function cutAt(bytes: Uint8Array, offsets: readonly number[]): Uint8Array[] {
  return offsets.map((from, number) => bytes.subarray(from, offsets[number + 1]))
}
