/** Numbers, and how they are shown. */

/** What a figure must keep to, as the project's issues have it. */
export type Limit = { value: number; most?: number; least?: number; unit: string; met: boolean }

export type Row = { name: string; figures: Readonly<Record<string, number | string>>; limits: readonly Limit[] }

export type Part = { title: string; rows: readonly Row[]; notes: readonly string[] }

/** The value below which the given part, 0 to 1, of the values lies. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (sorted.length - 1) * part
  const below = sorted[Math.floor(at)] ?? Number.NaN
  const above = sorted[Math.ceil(at)] ?? Number.NaN
  return below + (above - below) * (at - Math.floor(at))
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5)
}

/** Median and tail, for what is asked for again and again. */
export function tail(values: readonly number[]): Record<string, number> {
  return { p50: median(values), p95: quantile(values, 0.95), p99: quantile(values, 0.99), n: values.length }
}

/** Median and quartiles, for what is measured a few times. */
export function spread(values: readonly number[]): Record<string, number> {
  const [min, p25, p50, p75] = [0, 0.25, 0.5, 0.75].map((part) => quantile(values, part)) as [
    number,
    number,
    number,
    number,
  ]
  return { min, p25, p50, p75, n: values.length }
}

export function atMost(most: number, value: number, unit: string): Limit {
  return { value, most, unit, met: value <= most }
}

export function atLeast(least: number, value: number, unit: string): Limit {
  return { value, least, unit, met: value >= least }
}

/** Runs the cases of a round in an order that moves on by one each round, until the rounds or the time are used up. */
export async function interleave(
  cases: readonly (() => Promise<void>)[],
  { rounds, seconds }: { rounds: number; seconds: number },
): Promise<void> {
  const endMs = performance.now() + seconds * 1000
  for (let round = 0; round < rounds && (round < 3 || performance.now() < endMs); round++) {
    const first = round % cases.length
    for (const run of [...cases.slice(first), ...cases.slice(0, first)]) await run()
  }
}

/** A part as a table in Markdown, its limits beside its figures. */
export function renderPart({ title, rows, notes }: Part): string {
  const columns = [...new Set(rows.flatMap(({ figures }) => Object.keys(figures)))]
  const head = ['', ...columns, 'limit', '']
  const lines = rows.map(({ name, figures, limits }) => [
    name,
    ...columns.map((column) => show(figures[column])),
    limits.map(renderLimit).join('; '),
    limits.length === 0 ? '' : limits.every(({ met }) => met) ? 'met' : '**missed**',
  ])
  const widths = head.map((cell, at) => Math.max(3, cell.length, ...lines.map((line) => (line[at] ?? '').length)))
  const render = (cells: readonly string[]) =>
    `| ${cells.map((cell, at) => (at === 0 || at > columns.length ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0))).join(' | ')} |`
  const rule = widths.map((width, at) =>
    at === 0 || at > columns.length ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`,
  )
  return [
    `## ${title}`,
    '',
    render(head),
    render(rule),
    ...lines.map(render),
    '',
    ...notes.map((note) => `${note}\n`),
  ].join('\n')
}

function renderLimit({ value, most, least, unit }: Limit): string {
  return `${show(value)}${unit}, ${most === undefined ? `at least ${least}` : `at most ${most}`}`
}

/** Three figures that mean something. */
export function show(value: number | string | undefined): string {
  if (value === undefined) return ''
  if (typeof value === 'string') return value
  if (!Number.isFinite(value)) return '-'
  if (Number.isInteger(value) || Math.abs(value) >= 100) return String(Math.round(value))
  return value.toFixed(Math.abs(value) >= 10 ? 1 : Math.abs(value) >= 1 ? 2 : 3)
}
