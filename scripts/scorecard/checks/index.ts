import type { Check } from '../check.ts'
import { answers } from './answers.ts'
import { calls } from './calls.ts'
import { clocksAndSeeds } from './clocks.ts'
import { connections } from './connections.ts'
import { endings } from './endings.ts'
import { hostile } from './hostile.ts'
import { lines } from './lines.ts'
import { load } from './load.ts'
import { neighbours } from './neighbours.ts'
import { plugins } from './plugins.ts'
import { retries } from './retries.ts'
import { debugCheck, secrets } from './secrets.ts'
import { sizes } from './sizes.ts'
import { streams } from './streams.ts'
import { surroundings } from './surroundings.ts'

const faults = [...connections, ...streams, ...answers, ...retries, ...lines, ...sizes, ...calls]

/** All checks, in the order of their ids. */
export const checks: readonly Check[] = [
  ...faults,
  debugCheck(faults),
  ...secrets,
  ...hostile,
  ...neighbours,
  ...surroundings,
  ...plugins,
  ...load,
  ...endings,
  ...clocksAndSeeds,
].sort((a, b) => a.id.localeCompare(b.id))
