/**
 * V8 optimizes a function after it has run 3,000 times, and most functions of a gateway run once a call: it would be slow
 * for its first few thousand calls. From here on a third is enough, at which a call takes two thirds of the time; at a tenth
 * it takes as much, and compiling costs more. It changes when V8 compiles and nothing else; a V8 that has not been tried
 * with it is left alone. To be called when what serves calls has been loaded: parsed code that Node keeps is only good for
 * the same settings, and is written before they change.
 */
export function optimizeEarly(): void {
  if (!triedVersions.test(process.versions.v8)) return
  process.getBuiltinModule('node:module').flushCompileCache?.()
  const { setFlagsFromString } = process.getBuiltinModule('node:v8')
  for (const flag of flags) setFlagsFromString(flag)
}

/** Those of Node 22 and 24. */
const triedVersions = /^1[23]\./

const flags = [
  '--invocation-count-for-maglev=100',
  '--invocation-count-for-turbofan=1000',
  '--minimum-invocations-after-ic-update=50',
]
