/**
 * V8 is set for programs that compute, on processors to spare; a gateway waits, runs each of its functions about once a
 * call, and shares its processors with client and provider. So V8 is told to optimize after a third of its usual 3,000
 * runs, at which a call takes two thirds of the time; at a tenth it takes as much, and the first thousand calls cost more.
 * And it cleans young objects by itself: they are few, and helpers that must first be woken on a busy processor make a
 * cleaning of half a millisecond last for several.
 *
 * Nothing changes but when V8 works, and a V8 that has not been tried with it is left alone. To be called when what serves
 * calls has been loaded: parsed code that Node keeps is only good for the same settings, and is written before they change.
 */
export function tuneEngine(): void {
  set(...flags)
}

/**
 * Keeps the space of young objects at its size for as long as this is called again and again. It doubles as soon as some
 * have outlived a few cleanings, which pays where many calls are served at once; of one long answer's garbage, it would only
 * hold more.
 */
export function keepYoungSpace(): void {
  if (keeping) return void keeping.refresh()
  set(`${growth}=1`)
  keeping = setTimeout(() => {
    keeping = undefined
    set(`${growth}=${usualGrowth}`)
  }, keepingMs).unref()
}

const keepingMs = 1_000
let keeping: NodeJS.Timeout | undefined

/** Those of Node 22 and 24. */
const triedVersions = /^1[23]\./

const flags = [
  '--invocation-count-for-maglev=100',
  '--invocation-count-for-turbofan=1000',
  '--minimum-invocations-after-ic-update=50',
  '--no-parallel-scavenge',
]
const growth = '--semi-space-growth-factor'
const usualGrowth = 2

let isChanged = false

function set(...changed: string[]): void {
  if (!triedVersions.test(process.versions.v8)) return
  if (!isChanged) process.getBuiltinModule('node:module').flushCompileCache?.()
  isChanged = true
  const { setFlagsFromString } = process.getBuiltinModule('node:v8')
  for (const flag of changed) setFlagsFromString(flag)
}
