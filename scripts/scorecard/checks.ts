import { answers } from './answers.ts'
import type { Check } from './check.ts'
import { connections } from './connections.ts'
import { retries } from './retries.ts'
import { streams } from './streams.ts'

/** All checks, in the order of their ids. */
export const checks: readonly Check[] = [...connections, ...streams, ...answers, ...retries].sort((a, b) =>
  a.id.localeCompare(b.id),
)
