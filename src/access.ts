import { type KeySource, readKey, type Secrets } from './secrets.ts'

/** Who may come in: whoever presents one of the gateway's own tokens. */
export type Access = {
  /** The bearer of a token, by a name that tells nothing of it; undefined if the token is none of ours. */
  identify(token: string): string | undefined
  /** Why nobody can come in, or why a token cannot be used; a sentence without a token. */
  problem(): string | undefined
}

/** Shorter ones can be guessed. */
export const minTokenLength = 16
const lookAgainMs = 1_000

/**
 * Tokens are separated by commas or white space. A file is looked at again once a second, so that one is added or taken
 * back without a restart; while it cannot be read, nobody comes in.
 */
export function createAccess(source: KeySource, learn: Secrets['learn'], now: () => number): Access {
  // Only who serves over HTTP needs it, and it takes a millisecond to load.
  const { createHash, timingSafeEqual } = process.getBuiltinModule('node:crypto')
  const digestOf = (token: string) => createHash('sha256').update(token).digest()
  let text: string | undefined
  let digests: readonly Buffer[] = []
  let faulty = false
  let lookedMs = Number.NEGATIVE_INFINITY

  const look = () => {
    if (now() - lookedMs < lookAgainMs) return
    lookedMs = now()
    const found = readKey(source)
    if (found === text) return
    text = found
    const tokens = (text ?? '').split(/[\s,]+/).filter((token) => token !== '')
    const usable = tokens.filter((token) => token.length >= minTokenLength && /^[\x21-\x7e]+$/.test(token))
    faulty = usable.length < tokens.length
    digests = usable.map(digestOf)
    for (const token of usable) learn(token)
  }
  look()

  return {
    identify(token) {
      look()
      const presented = digestOf(token)
      // Each is compared, and takes as long whether it is the one or not.
      const [own] = digests.filter((digest) => timingSafeEqual(digest, presented))
      return own?.toString('hex')
    },
    problem() {
      if (faulty) return `a token needs at least ${minTokenLength} characters, none of them outside ASCII`
      if (digests.length > 0) return undefined
      return 'file' in source ? 'the file of the token cannot be read, or is empty' : 'no token is set'
    },
  }
}
