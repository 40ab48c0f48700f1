import { readFileSync } from 'node:fs'

/** Where a key comes from: the configuration itself, or a file that may be replaced while the gateway runs. */
export type KeySource = { value: string } | { file: string }

export type Secrets = {
  /** The provider's key, if the URL is at the origin that the key is bound to. */
  keyFor(provider: string, url: string): string | undefined
  /** Reads the provider's key file again; whether the key has changed. */
  reread(provider: string): boolean
  /** Replaces every known key in a text, plain, URL-encoded or in base64. */
  redact(text: string): string
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
  const keys = new Map<string, { origin: string; source: KeySource; key: string | undefined }>()
  let forms: string[] = []

  const learn = (key: string | undefined) => {
    if (key === undefined || key.length < minSecretLength) return
    forms = [...new Set([...forms, ...formsOf(key)])].sort((a, b) => b.length - a.length)
  }
  for (const { provider, baseUrl, source } of bindings) {
    const key = read(source)
    keys.set(provider, { origin: new URL(baseUrl).origin, source, key })
    learn(key)
  }
  for (const value of others) learn(value)

  return {
    keyFor(provider, url) {
      const entry = keys.get(provider)
      return entry && new URL(url).origin === entry.origin ? entry.key : undefined
    },
    reread(provider) {
      const entry = keys.get(provider)
      if (!entry || !('file' in entry.source)) return false
      const key = read(entry.source)
      if (key === undefined || key === entry.key) return false
      entry.key = key
      learn(key)
      return true
    },
    redact(text) {
      let clean = text
      for (const form of forms) if (clean.includes(form)) clean = clean.replaceAll(form, redacted)
      return clean
    },
  }
}

/** The key without the white space that editors and shells leave around it; undefined if there is none to read. */
function read(source: KeySource): string | undefined {
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

/** The shapes in which an upstream might send a key back. */
function formsOf(key: string): string[] {
  // Base64 has three spellings by position; the characters shared with the neighbours of the key are left out.
  const base64 = [0, 1, 2].map((offset) =>
    Buffer.from(' '.repeat(offset) + key)
      .toString('base64')
      .slice(Math.ceil((offset * 8) / 6), Math.floor(((offset + key.length) * 8) / 6)),
  )
  return [key, encodeURIComponent(key), JSON.stringify(key).slice(1, -1), ...base64].filter(
    (form) => form.length >= minSecretLength,
  )
}
