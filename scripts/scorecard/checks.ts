import type { Check } from './check.ts'
import { connections } from './connections.ts'

/** All checks, in the order of their ids. */
export const checks: readonly Check[] = [...connections].sort((a, b) => a.id.localeCompare(b.id))
