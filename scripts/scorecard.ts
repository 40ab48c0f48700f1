// Attacks the built gateway with faults, bad input and hostile peers, and says what held: see spec/scorecard.md.
//   make scorecard, or: node --import tsx scripts/scorecard.ts [--long] [--only U01,C,S03]   (SEED=number)
import { existsSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { program } from '../spec/harness/gateway.ts'
import { play } from './scorecard/check.ts'
import { checks } from './scorecard/checks/index.ts'
import { createRandom } from './scorecard/random.ts'
import { createReport } from './scorecard/report.ts'
import { sideBySide } from './scorecard/stage.ts'

const { values: options } = parseArgs({
  options: { long: { type: 'boolean', default: false }, only: { type: 'string' } },
})
const seed = Number(process.env['SEED'] ?? 1)
if (!existsSync(program)) fail('dist/ is missing: "make build" makes it')
if (!Number.isSafeInteger(seed)) fail('SEED is a whole number')
const wanted = options.only?.split(',')
const chosen = checks.filter(({ id, long = false }) =>
  wanted ? wanted.some((one) => id.startsWith(one)) : long === options.long,
)
if (chosen.length === 0) fail('no check has such a name')

const random = createRandom(seed)
const report = createReport(checks, chosen, { seed, long: options.long, only: wanted !== undefined })

/** What works hard does not stand beside what measures time. */
const phases = [
  { among: chosen.filter(({ timed, alone }) => !timed && !alone), players: 4 },
  { among: chosen.filter(({ timed, alone }) => timed && !alone), players: 4 },
  { among: chosen.filter(({ alone }) => alone), players: 1 },
]
for (const { among, players } of phases) {
  await sideBySide(among, players, async (check) => report.finished(check, await play(check, random)))
}
process.exitCode = report.close() ? 0 : 1

function fail(sentence: string): never {
  console.error(sentence)
  process.exit(2)
}
