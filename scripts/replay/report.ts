import type { Outcome } from './play.ts'

/** What the person at the screen sees: a line a case, grouped by provider, and on a terminal a bar below. */

export type Report = {
  /** Takes the outcome of the case of this number; lines come out in the order of the cases. */
  finished(at: number, outcome: Outcome): void
  /** Takes what was wrong after the last case, and prints the last lines; returns how many have failed. */
  close(lastFaults: readonly string[], seconds: number): number
}

const barCells = 30

export function createReport(names: readonly string[], output: NodeJS.WriteStream): Report {
  const live = output.isTTY === true && process.env['TERM'] !== 'dumb'
  const colourful = live && !process.env['NO_COLOR']
  const paint = (code: number, text: string) => (colourful && text !== '' ? `\u001b[${code}m${text}\u001b[0m` : text)
  const outcomes = new Map<number, Outcome>()
  const nameWidth = Math.max(0, ...names.map((name) => caseOf(name).length))
  let printed = 0

  const write = (text: string) => output.write(text)
  const line = (name: string, { title, faults }: Outcome) => {
    const passed = faults.length === 0
    const mark = passed ? paint(32, 'ok  ') : paint(31, 'FAIL')
    const room = (live ? output.columns || 80 : 200) - nameWidth - 9
    write(`  ${mark} ${caseOf(name).padEnd(nameWidth)}  ${paint(2, shortened(title, room))}\n`)
    for (const fault of faults.slice(0, 8)) write(`         ${fault}\n`)
  }
  const heading = (folder: string) => {
    const count = names.filter((name) => folderOf(name) === folder).length
    return `${printed > 0 ? '\n' : ''}${paint(1, folder)} ${paint(2, `(${count})`)}\n`
  }
  const drawBar = () => {
    const done = Math.round((outcomes.size / names.length) * barCells)
    write(`${paint(36, '#'.repeat(done))}${'.'.repeat(barCells - done)} ${outcomes.size}/${names.length}`)
  }
  const clearBar = () => write(`\r${' '.repeat(barCells + 20)}\r`)

  if (live && names.length > 0) drawBar()
  return {
    finished(at, outcome) {
      outcomes.set(at, outcome)
      if (live) clearBar()
      for (;;) {
        const name = names[printed]
        const next = outcomes.get(printed)
        if (name === undefined || !next) break
        if (folderOf(name) !== folderOf(names[printed - 1] ?? '')) write(heading(folderOf(name)))
        line(name, next)
        printed += 1
      }
      if (live && outcomes.size < names.length) drawBar()
    },
    close(lastFaults, seconds) {
      const all = [...outcomes.values()]
      if (lastFaults.length > 0) {
        const outcome = { title: 'after the last case', calls: 0, faults: [...lastFaults] }
        all.push(outcome)
        line('the gateways', outcome)
      }
      const failed = all.filter(({ faults }) => faults.length > 0).length
      const failedNames = names.filter((_, at) => (outcomes.get(at)?.faults.length ?? 0) > 0)
      if (failedNames.length > 0) write(`\n${paint(31, 'failed:')} ${failedNames.join(' ')}\n`)
      const calls = all.reduce((sum, outcome) => sum + outcome.calls, 0)
      write(`\n${calls} calls over the gateway's pipes in ${seconds.toFixed(1)} s\n`)
      write(`${all.length - failed} passed, ${failed} failed\n`)
      return failed
    },
  }
}

function folderOf(name: string): string {
  return name.split('/', 1)[0] ?? ''
}

function caseOf(name: string): string {
  return name.slice(name.indexOf('/') + 1)
}

function shortened(text: string, room: number): string {
  return text.length > room ? `${text.slice(0, Math.max(0, room - 1))}…` : text
}
