import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { Random } from './random.ts'
import { createStage, type Stage } from './stage.ts'

/** A row of the scorecard. */
export type Check = {
  id: string
  what: string
  /** Measures time, and runs beside those alone that wait as it does. */
  timed?: boolean
  /** Measures time or memory so closely that nothing else may run beside it. */
  alone?: boolean
  /** Needs minutes: runs when the long checks are asked for, and then only they run. */
  long?: boolean
  /** Too slow, or too large, to be played once more with every debug switch on. */
  heavy?: boolean
  /** Plays; what it returns is a figure for the reader. Throws `notRun` where it cannot be played here. */
  run(stage: Stage): Promise<string | undefined>
}

export type Outcome = {
  state: 'passed' | 'failed' | 'not run'
  /** Figures of what passed, and the reasons of what did not. */
  notes: string[]
  leaks: number
  bytesLost: number
  seconds: number
}

const notRunReasons = new WeakSet<Error>()

/** Why a check cannot be played on this machine, or with this gateway. It counts as not passed. */
export function notRun(reason: string): Error {
  const error = new Error(reason)
  notRunReasons.add(error)
  return error
}

/** From here on what is late may be the machine's fault, and the reader is told. */
const noticeableLagMs = 40

/** No check hangs the scorecard. */
const patienceMs = { usual: 120_000, long: 45 * 60_000 }

/** What was late on a busy machine is played again; what is late each time is late. */
const mostPlays = 3

/** Plays a check; each play that did not count, and why, is told among the notes. */
export async function play(check: Check, random: Random, env: Readonly<Record<string, string>> = {}): Promise<Outcome> {
  const startedMs = performance.now()
  const discounted: string[] = []
  for (let plays = 1; ; plays++) {
    const { excuse, ...outcome } = await playOnce(check, random, env)
    const seconds = (performance.now() - startedMs) / 1000
    if (excuse === undefined || plays === mostPlays)
      return { ...outcome, notes: [...outcome.notes, ...(excuse ? [excuse] : []), ...discounted], seconds }
    discounted.push(`(play ${plays} does not count: ${outcome.notes[0]} ${excuse})`)
  }
}

/** `excuse` where all that failed was a matter of time and the machine was busy. */
async function playOnce(
  check: Check,
  random: Random,
  env: Readonly<Record<string, string>>,
): Promise<Omit<Outcome, 'seconds'> & { excuse?: string }> {
  const lag = monitorEventLoopDelay({ resolution: 5 })
  lag.enable()
  const stage = createStage(random.branch(check.id), env)
  const limitMs = check.long ? patienceMs.long : patienceMs.usual
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`did not end within ${limitMs / 1000} s`)), limitMs)
  })
  const thrown: Error[] = []
  const figure = await Promise.race([check.run(stage), late]).catch((error: unknown) => {
    thrown.push(error instanceof Error ? error : new Error(String(error)))
    return undefined
  })
  clearTimeout(timer)
  lag.disable()
  const { failures, bytesLost, leaks, waitedMs } = await stage.finish()
  const excused = thrown.find((error) => notRunReasons.has(error))
  const broken = thrown
    .filter((error) => !notRunReasons.has(error))
    .map((error) => `the check broke off: ${error.stack?.split('\n').slice(0, 3).join(' ')}`)
  const lagMs = lag.max / 1e6
  const reasons = [...broken, ...failures]
  const slow = reasons.length > 0 && reasons.every((reason) => / ms\b| a second\b/.test(reason))
  const busy = Math.max(lagMs, waitedMs) >= noticeableLagMs
  return {
    state: reasons.length > 0 ? 'failed' : excused ? 'not run' : 'passed',
    notes: [...reasons, ...(excused ? [excused.message] : []), ...(figure === undefined ? [] : [figure])],
    leaks: leaks.length,
    bytesLost,
    ...(slow && busy
      ? {
          excuse: `(the scorecard was itself held up for up to ${Math.round(lagMs)} ms, the gateway wanted a processor for ${Math.round(waitedMs)} ms in all)`,
        }
      : {}),
  }
}
