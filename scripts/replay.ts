// Plays the recorded exchanges of fixtures/ through the built gateway: see fixtures/README.md.
import { existsSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { program } from '../spec/harness/gateway.ts'
import { findCases } from './replay/cases.ts'
import { createPlayer } from './replay/play.ts'
import { createReport } from './replay/report.ts'

const fixtures = process.env['FIXTURES'] || fileURLToPath(new URL('../fixtures', import.meta.url))
const root = join(fixtures, 'cases')
const updating = process.env['UPDATE'] === '1'
const names = findCases(root, process.argv.slice(2))
/** Each player drives gateways of its own. Some wait for the time between two attempts while others work. */
const players = Math.min(names.length, Math.max(3, availableParallelism()))

if (!existsSync(program)) {
  console.error('dist/ is missing: "make build" makes it')
  process.exit(1)
}
const startedMs = performance.now()
const report = createReport(names, process.stdout)
const queue = names.entries()
const lastFaults = await Promise.all(
  Array.from({ length: players }, async () => {
    const player = await createPlayer(root, updating)
    for (const [at, name] of queue) report.finished(at, await player.play(name))
    return player.close()
  }),
)
if (names.length === 0) console.error('no case has such a name')
const failed = report.close(lastFaults.flat(), (performance.now() - startedMs) / 1000)
process.exitCode = failed > 0 || names.length === 0 ? 1 : 0
