import { readFileSync } from 'node:fs'

/** Where a key comes from: the configuration itself, or a file that may be replaced while the gateway runs. */
export type KeySource = { value: string } | { file: string; setBy?: string }

export type Secrets = {
  /** The provider's key, if the URL is at the origin that the key is bound to. */
  keyFor(provider: string, url: string): string | undefined
  /** Which of the keys that the provider's file has held in turn is the current one. */
  generation(provider: string): number
  /** Whether the key is another than in that generation, after a look at its file unless another call has just had one. */
  reread(provider: string, generation: number): boolean
  /** Takes this out of everything, too, from now on. */
  learn(secret: string): void
  /** Replaces every known key in a text, plain, URL-encoded or in base64. */
  redact(text: string): string
  /** The same for a text that comes in pieces, over which a key may be spread. */
  redactStream(): StreamRedaction
  /** The same for pieces that are all at hand. */
  redactPieces(pieces: Iterable<string>): Iterable<string>
}

export type StreamRedaction = {
  /** The next piece; what can be passed on of all that came so far. */
  push(text: string): string
  /** What was still held back. */
  end(): string
  found(): boolean
}

export type Binding = { provider: string; baseUrl: string; source: KeySource }

/** Shorter values are dummies for servers that want any key at all; they would be found inside ordinary words. */
const minSecretLength = 8
const redacted = '[redacted]'

/**
 * Holds all keys. Nothing else does: a key leaves only through `keyFor`, for a header to its own origin. `others` are
 * secret too, but are sent by whoever holds them: the values of configured headers.
 */
export function createSecrets(bindings: readonly Binding[], others: readonly string[] = []): Secrets {
  const keys = new Map<string, { origin: string; source: KeySource; key: string | undefined; generation: number }>()
  let forms: string[] = []
  /** As a key, the name of a provider is a dummy too, and stands in the id of each of its models. */
  const names = new Set(bindings.map(({ provider }) => provider))

  const learn = (key: string | undefined) => {
    if (key === undefined || key.length < minSecretLength || names.has(key)) return
    forms = [...new Set([...forms, ...formsOf(key)])].sort((a, b) => b.length - a.length)
  }
  for (const { provider, baseUrl, source } of bindings) {
    const key = readKey(source)
    keys.set(provider, { origin: new URL(baseUrl).origin, source, key, generation: 0 })
    learn(key)
  }
  for (const value of others) learn(value)

  const redact = (text: string) => {
    let clean = text
    for (const form of forms) if (clean.includes(form)) clean = clean.replaceAll(form, redacted)
    return clean
  }

  const secrets: Secrets = {
    learn,
    redact,
    *redactPieces(pieces) {
      const stream = secrets.redactStream()
      for (const piece of pieces) yield stream.push(piece)
      yield stream.end()
    },
    redactStream() {
      let held = ''
      let found = false
      return {
        push(text) {
          const whole = held + text
          const clean = redact(whole)
          if (clean !== whole) {
            // What is a key may be the beginning of a longer one: it waits as it came, unless it reaches into another.
            const begun = whole.length - beginningAtEnd(whole, forms)
            const before = redact(whole.slice(0, begun))
            if (before + redact(whole.slice(begun)) === clean) {
              found ||= before !== whole.slice(0, begun)
              held = whole.slice(begun)
              return before
            }
            found = true
          }
          const safe = clean.length - beginningAtEnd(clean, forms)
          held = clean.slice(safe)
          return clean.slice(0, safe)
        },
        end() {
          const rest = redact(held)
          found ||= rest !== held
          held = ''
          return rest
        },
        found: () => found,
      }
    },
    keyFor(provider, url) {
      const entry = keys.get(provider)
      return entry && isAt(entry.origin, url) ? entry.key : undefined
    },
    generation: (provider) => keys.get(provider)?.generation ?? 0,
    reread(provider, generation) {
      const entry = keys.get(provider)
      if (!entry || !('file' in entry.source)) return false
      if (entry.generation !== generation) return true
      const key = readKey(entry.source)
      if (key === undefined || key === entry.key) return false
      entry.key = key
      entry.generation += 1
      learn(key)
      return true
    },
  }
  return secrets
}

/** Behind the whole origin and a slash nothing can lead elsewhere; every other spelling is read as the standard has it. */
function isAt(origin: string, url: string): boolean {
  return url.startsWith(`${origin}/`) || new URL(url).origin === origin
}

/** The key without the white space that editors and shells leave around it; undefined if there is none to read. */
export function readKey(source: KeySource): string | undefined {
  const text = 'value' in source ? source.value : readIfThere(source.file)
  return text?.trim() || undefined
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}

/** How many characters at the end of a text could be the beginning of one of the forms. */
function beginningAtEnd(text: string, forms: readonly string[]): number {
  let longest = 0
  for (const form of forms) {
    const first = form[0] as string
    let at = text.indexOf(first, Math.max(0, text.length - form.length + 1))
    while (at !== -1 && text.length - at > longest) {
      if (form.startsWith(text.slice(at))) longest = text.length - at
      else at = text.indexOf(first, at + 1)
    }
  }
  return longest
}

/** The shapes in which an upstream might send a key back. */
function formsOf(key: string): string[] {
  // Base64 has three spellings by position; the characters shared with the neighbours of the key are left out.
  const base64 = [0, 1, 2].map((offset) =>
    Buffer.from(' '.repeat(offset) + key)
      .toString('base64')
      .slice(Math.ceil((offset * 8) / 6), Math.floor(((offset + key.length) * 8) / 6)),
  )
  const hex = Buffer.from(key).toString('hex')
  // A text of JSON within JSON is escaped once more at each level, and once more on the wire.
  const escaped = [1, 2, 3].map((times) => escapedTimes(key, times))
  return [key, encodeURIComponent(key), hex, hex.toUpperCase(), ...escaped, ...base64].filter(
    (form) => form.length >= minSecretLength,
  )
}

function escapedTimes(text: string, times: number): string {
  return times === 0 ? text : escapedTimes(JSON.stringify(text).slice(1, -1), times - 1)
}
