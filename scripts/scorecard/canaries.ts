import type { Random } from './random.ts'

/** Keys that nobody else could have written, and the search for them in whatever comes out of the gateway. */

/** Any piece of a key as long as this counts as a leak. */
const fragmentLength = 12
const keyLength = 40

/** With characters that JSON, URLs and base64 spell differently, so that each spelling is a spelling of its own. */
export function createKey(random: Random): string {
  return `sk-${random.text(16)}+/"&%\\=${random.text(keyLength - 26)}`
}

/** A key as it might come out again: plain, URL-encoded, escaped for JSON, in hexadecimal, in base64 at any offset. */
export function spellingsOf(key: string): string[] {
  const bytes = Buffer.from(key)
  const base64 = [0, 1, 2].map((offset) =>
    Buffer.concat([Buffer.alloc(offset, 0x20), bytes])
      .toString('base64')
      .replace(/=+$/, '')
      // Characters that also hold bits of the neighbours are not the key's own.
      .slice(Math.ceil((offset * 8) / 6), Math.floor(((offset + bytes.length) * 8) / 6)),
  )
  const hex = bytes.toString('hex')
  const escaped = JSON.stringify(key).slice(1, -1)
  return [
    ...new Set([
      key,
      encodeURIComponent(key),
      escaped,
      JSON.stringify(escaped).slice(1, -1),
      ...base64,
      ...base64.map((text) => text.replaceAll('+', '-').replaceAll('/', '_')),
      hex,
      hex.toUpperCase(),
    ]),
  ]
}

export type Scanner = {
  /** Names of the keys of which the bytes hold a piece. Lets timers run between one megabyte and the next. */
  scan(bytes: Uint8Array): Promise<string[]>
}

const stepBytes = 1024 * 1024

/** One pass over the bytes, however many keys there are: the first three bytes of each piece are looked up in a table. */
export function createScanner(keys: Readonly<Record<string, string>>): Scanner {
  const owners = new Map<string, string>()
  const begins = new Uint8Array(2 ** 21)
  for (const [name, key] of Object.entries(keys)) {
    for (const spelling of spellingsOf(key)) {
      for (let at = 0; at + fragmentLength <= spelling.length; at++) {
        const fragment = spelling.slice(at, at + fragmentLength)
        owners.set(fragment, name)
        const bits = beginning(Buffer.from(fragment, 'latin1'), 0)
        begins[bits >>> 3] = (begins[bits >>> 3] as number) | (1 << (bits & 7))
      }
    }
  }
  return {
    async scan(bytes) {
      const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      const found = new Set<string>()
      const last = buffer.length - fragmentLength
      for (let from = 0; from <= last; from += stepBytes) {
        if (from > 0) await new Promise((resolve) => setImmediate(resolve))
        for (let at = from; at <= Math.min(last, from + stepBytes - 1); at++) {
          const bits = beginning(buffer, at)
          if (((begins[bits >>> 3] as number) & (1 << (bits & 7))) === 0) continue
          const owner = owners.get(buffer.toString('latin1', at, at + fragmentLength))
          if (owner !== undefined) found.add(owner)
        }
      }
      return [...found]
    },
  }
}

function beginning(bytes: Buffer, at: number): number {
  return ((bytes[at] as number) << 16) | ((bytes[at + 1] as number) << 8) | (bytes[at + 2] as number)
}
