import { answers } from './answers.ts'
import { calls } from './calls.ts'
import type { Check } from './check.ts'
import { connections } from './connections.ts'
import { lines } from './lines.ts'
import { retries } from './retries.ts'
import { sizes } from './sizes.ts'
import { streams } from './streams.ts'

/** All checks, in the order of their ids. */
export const checks: readonly Check[] = [
  ...connections,
  ...streams,
  ...answers,
  ...retries,
  ...lines,
  ...sizes,
  ...calls,
].sort((a, b) => a.id.localeCompare(b.id))
