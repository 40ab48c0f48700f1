/**
 * V8 is set for programs that compute, on processors to spare; a gateway waits, runs each of its functions about once a
 * call, and shares its processors with client and provider. So V8 is told to optimize after a third of its usual 3,000
 * runs, at which a call takes two thirds of the time; at a tenth it takes as much, and the first thousand calls cost more.
 * And it cleans young objects by itself: they are few, and helpers that must first be woken on a busy processor make a
 * cleaning of half a millisecond last for several.
 *
 * Nothing changes but when V8 works, and a V8 that has not been tried with it is left alone. To be called when many calls
 * have come: what is optimized takes memory, and the processor's time.
 */
export function tuneEngine(): void {
  set(...flags)
}

/** Writes what Node keeps of parsed code, unless settings have changed: it is only good for those under which it was parsed. */
export function writeParsed(): void {
  if (!isChanged) process.getBuiltinModule('node:module').flushCompileCache?.()
}

/**
 * Holds V8 to little memory for as long as this is called again and again. Its space of young objects does not grow: it
 * doubles as soon as some have outlived a few cleanings, which pays where many calls are served at once, but of one long
 * answer's garbage only holds more. And it marks what lives only when the heap is nearly at its limit: what is stored while
 * it marks, which is megabytes then, stays until it marks again.
 */
export function spareMemory(): void {
  if (sparing) return void sparing.refresh()
  set(...sparingFlags.map(({ name, sparing }) => `${name}=${sparing}`))
  sparing = setTimeout(() => {
    sparing = undefined
    set(...sparingFlags.map(({ name, usual }) => `${name}=${usual}`))
  }, sparingMs).unref()
}

/**
 * What is compiled of WebAssembly in this turn is not soon compiled a second time: undici's parser, which is some
 * microseconds of a call, would take 8 MB and a tenth of a second of another thread in the middle of the first long answer.
 * `scripts/build.mjs` puts the call where undici compiles it.
 */
export function skipSecondCompiler(): void {
  apply([`${budget}=${endlessBudget}`])
  queueMicrotask(() => apply([`${budget}=${usualBudget}`]))
}

/** Those of Node 22 and 24. What is usual below is so in both. */
const triedVersions = /^1[23]\./

const flags = [
  '--invocation-count-for-maglev=100',
  '--invocation-count-for-turbofan=1000',
  '--minimum-invocations-after-ic-update=50',
  '--no-parallel-scavenge',
]

const sparingFlags = [
  { name: '--semi-space-growth-factor', sparing: 1, usual: 2 },
  // In per cent of the way to the limit; usually V8's own affair.
  { name: '--incremental-marking-soft-trigger', sparing: 90, usual: 0 },
  { name: '--incremental-marking-hard-trigger', sparing: 95, usual: 0 },
]
const sparingMs = 1_000
let sparing: NodeJS.Timeout | undefined

const budget = '--wasm-tiering-budget'
const usualBudget = 13_000_000
const endlessBudget = 2_000_000_000

let isChanged = false

/** Changes settings under which code may be parsed from then on. */
function set(...changed: string[]): void {
  writeParsed()
  isChanged = true
  apply(changed)
}

function apply(changed: readonly string[]): void {
  if (!triedVersions.test(process.versions.v8)) return
  const { setFlagsFromString } = process.getBuiltinModule('node:v8')
  for (const flag of changed) setFlagsFromString(flag)
}
