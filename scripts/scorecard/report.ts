import type { Check, Outcome } from './check.ts'

/** What the person at the screen sees: a line a check as it ends, and the sums. */

export type Report = {
  finished(check: Check, outcome: Outcome): void
  /** Prints the sums; returns whether everything that ran has passed. */
  close(): boolean
}

const groups = [
  { name: 'faults survived', letters: 'UL' },
  { name: 'bad inputs', letters: 'C' },
  { name: 'security', letters: 'S' },
] as const
const marks = { passed: 'passed ', failed: 'FAILED ', 'not run': 'not run' } as const

export function createReport(
  all: readonly Check[],
  chosen: readonly Check[],
  { seed, long, only }: { seed: number; long: boolean; only: boolean },
): Report {
  const outcomes = new Map<string, Outcome>()
  const startedMs = performance.now()
  console.log(`${chosen.length} of ${all.length} checks, seed ${seed}, Node ${process.version}\n`)
  return {
    finished({ id, what }, outcome) {
      outcomes.set(id, outcome)
      const { state, notes, seconds } = outcome
      const figures = state === 'passed' && notes.length > 0 ? ` (${notes.join('; ')})` : ''
      console.log(`  ${id}  ${marks[state]} ${seconds.toFixed(1).padStart(6)} s  ${what}${figures}`)
      if (state !== 'passed') for (const note of notes) console.log(`                      ${note}`)
    },
    close() {
      const entries = [...outcomes]
      const sum = (count: (outcome: Outcome) => number) =>
        entries.reduce((total, [, outcome]) => total + count(outcome), 0)
      const scores = groups.map(({ name, letters }) => {
        const ofGroup = (id: string) => letters.includes(id[0] as string)
        const passed = entries.filter(([id, { state }]) => ofGroup(id) && state === 'passed').length
        return `${name} ${passed}/${all.filter(({ id }) => ofGroup(id)).length}`
      })
      const failed = entries.filter(([, { state }]) => state === 'failed').map(([id]) => id)
      const left = all.filter(({ id }) => !outcomes.has(id)).map(({ id }) => id)
      console.log(`\n${((performance.now() - startedMs) / 1000).toFixed(0)} s`)
      if (left.length > 0 && !only)
        console.log(
          `not among these, and counted as not passed: ${left.join(' ')}${long ? '' : ' (make scorecard-long)'}`,
        )
      if (failed.length > 0)
        console.log(`again: SEED=${seed} node --import tsx scripts/scorecard.ts --only ${failed.join(',')}`)
      console.log(
        [
          ...scores,
          `secrets leaked ${sum(({ leaks }) => leaks)}`,
          `bytes lost ${sum(({ bytesLost }) => bytesLost)}`,
        ].join(', '),
      )
      return failed.length === 0
    },
  }
}
