import { existsSync, statSync } from 'node:fs'
import { relative } from 'node:path'
import { parseArgs } from 'node:util'
import { Fault } from '../errors.ts'
import { findCases, loadCase } from './cases.ts'
import { type Command, misuse, wellDone, wentWrong } from './context.ts'
import { play } from './playback.ts'
import { columns, paint, startBar, visible, write } from './terminal.ts'

export const replay: Command = {
  usage: 'DIR [--json]',
  summary: 'Makes recorded calls again without key or network, and compares.',
  help: `  DIR      a folder made by the command record, or one with such folders in it
  --json   the outcome for a program

The recorded answers stand in for the providers. The gateway must make the recorded requests and come to the recorded
result. Ends with 1 when a call does not.
`,
  async run(args, { version, signal }) {
    const { positionals, values } = parseArgs({
      args: [...args],
      options: { json: { type: 'boolean', default: false } },
      allowPositionals: true,
    })
    const [dir, ...more] = positionals
    if (dir === undefined || more.length > 0) throw misuse('one folder is wanted')
    if (!existsSync(dir) || !statSync(dir).isDirectory()) throw new Fault('configuration', `${dir} is not a folder`)
    const found = findCases(dir)
    if (found.length === 0)
      throw new Fault('configuration', `${dir} holds no call.json; the command record makes such a folder`)

    const bar = values.json ? undefined : startBar()
    const outcomes: Outcome[] = []
    for (const [at, folder] of found.entries()) {
      bar?.show(`${at} of ${found.length}`)
      outcomes.push(await outcomeOf(folder, relative(dir, folder) || folder, version, signal))
      if (signal.aborted) break
    }
    bar?.clear()
    const failed = outcomes.filter(({ faults }) => faults.length > 0).length
    const passed = outcomes.length - failed
    if (values.json) await write(`${JSON.stringify({ passed, failed, cases: outcomes }, undefined, 2)}\n`)
    else await write(`${columns(outcomes.flatMap(rowsOf))}\n${passed} passed, ${failed} failed\n`)
    return failed > 0 ? wentWrong : wellDone
  },
}

type Outcome = { name: string; title: string; faults: string[] }

async function outcomeOf(folder: string, name: string, version: string, signal: AbortSignal): Promise<Outcome> {
  try {
    const recorded = loadCase(folder)
    const { faults } = await play(recorded, version, signal)
    return { name, title: recorded.call.title, faults }
  } catch (error) {
    if (!(error instanceof Fault)) throw error
    return { name, title: '', faults: [error.message] }
  }
}

function rowsOf({ name, title, faults }: Outcome): string[][] {
  const mark = faults.length > 0 ? paint('red', 'FAIL') : paint('green', 'ok')
  return [[mark, visible(name), paint('dim', visible(title))], ...faults.map((fault) => ['', '', visible(fault)])]
}
