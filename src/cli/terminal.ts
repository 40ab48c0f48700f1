import { styleText } from 'node:util'

/** What the commands say, on streams that may be terminals, pipes or gone. */

type Output = NodeJS.WriteStream
export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan'

/** Colour where the stream is a terminal that wants it: NO_COLOR and its like are honoured. */
export function paint(style: Style, text: string, output: Output = process.stdout): string {
  return styleText(style, text, { stream: output })
}

/** Writes and waits while the reader is behind; a reader that has gone is not waited for. */
export function write(text: string, output: Output = process.stdout): Promise<void> {
  return new Promise((resolve) => {
    if (output.write(text, () => resolve())) resolve()
  })
}

/** Resolves when all that was written is with the reader, or the reader has gone. */
export function flushed(output: Output): Promise<void> {
  return new Promise((resolve) => void output.write('', () => resolve()))
}

export function say(sentence: string): void {
  process.stderr.write(`${sentence}\n`)
}

/** Words of a provider's or a model's, fit for a terminal: nothing in them moves its cursor, changes its colours or turns the writing round. */
export function visible(text: string): string {
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, '')
}

/** Rows in columns as wide as their widest cell; cells may be painted, and the last one is left as it is. */
export function columns(rows: readonly (readonly string[])[]): string {
  const widths: number[] = []
  for (const row of rows) {
    for (const [at, cell] of row.entries()) widths[at] = Math.max(widths[at] ?? 0, widthOf(cell))
  }
  const line = (row: readonly string[]) =>
    row.map((cell, at) => cell + ' '.repeat((widths[at] ?? 0) - widthOf(cell))).join('  ')
  return rows.map((row) => `${line(row).trimEnd()}\n`).join('')
}

function widthOf(cell: string): number {
  return cell.replace(/\u001b\[[\d;]*m/g, '').length
}

export type Bar = {
  /** Takes what is to stand beside the bar from now on. */
  show(words: string): void
  /** Takes the bar away; it does not come back. */
  clear(): void
}

const barCells = 16
const barMs = 120

/** A bar that moves while something of unknown length goes on, on stderr; nothing at all where that is no terminal. */
export function startBar(): Bar {
  const output = process.stderr
  if (!output.isTTY) return { show: () => {}, clear: () => {} }
  const startedMs = performance.now()
  let words = ''
  let step = 0
  let shown = 0
  const wipe = () => output.write(`\r${' '.repeat(shown)}\r`)
  const draw = () => {
    const at = step++ % (2 * barCells)
    const from = at < barCells ? at : 2 * barCells - at
    const cells = `${'.'.repeat(from)}#${'.'.repeat(barCells - from)}`
    const seconds = Math.floor((performance.now() - startedMs) / 1000)
    const line = `${cells} ${seconds} s${words === '' ? '' : `, ${words}`}`.slice(0, (output.columns || 80) - 1)
    wipe()
    output.write(paint('dim', line, output))
    shown = line.length
  }
  const timer = setInterval(draw, barMs)
  return {
    show(next) {
      words = next
    },
    clear() {
      clearInterval(timer)
      if (shown > 0) wipe()
      shown = 0
    },
  }
}
