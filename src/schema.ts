import { config } from 'zod/mini'
import en from 'zod/v4/locales/en.js'

// The small zod has no words of its own for what is wrong.
config(en())

// As it is, not as one object: a bundle then holds the parts in use, and one language instead of fifty.
export * from 'zod/mini'

/** To make a schema takes longer than to use it: what makes one, when it is first asked for. */
export function lazily<S>(make: () => S): () => S {
  let made: S | undefined
  return () => (made ??= make())
}
