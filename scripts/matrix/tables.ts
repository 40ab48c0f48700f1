import type { Cell, Matrix } from '../matrix.ts'
import { surfaces } from './surfaces.ts'

/** The matrix as the tables of spec/components.md. */

export type Table = { head: readonly string[]; rows: readonly (readonly string[])[] }

export function matrixTables(matrix: Matrix): Record<string, Table> {
  return {
    asks: tableOf(matrix.asks, mark, 'asked for'),
    answers: tableOf(matrix.answers, mark, 'answered'),
    others: othersTable(matrix),
    statuses: tableOf(matrix.statuses, codesOf, 'status'),
    servers: serversTable(matrix),
  }
}

const mark = ({ expected, refused }: Cell) => (refused ? 'refused' : expected ? 'yes' : '')

/** `openai responses` as a heading: what is a word of the configuration stands out. */
function heading(column: string): string {
  const [name = '', ...rest] = column.split(' ')
  return [name === 'compatible' ? name : `\`${name}\``, ...rest].join(' ')
}

function tableOf(rows: readonly (readonly Cell[])[], write: (cell: Cell) => string, first: string): Table {
  return {
    head: [first, ...(rows[0] ?? []).map(({ column }) => heading(column))],
    rows: rows.map((cells) => [cells[0]?.feature ?? '', ...cells.map(write)]),
  }
}

/** The surfaces with nothing but chat are left out; the tools of a provider are one cell. */
function othersTable({ others, tools }: Matrix): Table {
  const columns = surfaces.filter(({ kinds }) => kinds.length > 1).map(({ name }) => name)
  const within = (cells: readonly Cell[]) => cells.filter(({ column }) => columns.includes(column))
  const { head, rows } = tableOf(others.map(within), mark, 'besides chat')
  const own = columns.map((name) => tools.flat().filter(({ column, expected }) => column === name && expected))
  return {
    head,
    rows: [...rows, ['tools of its own', ...own.map((cells) => cells.map(({ feature }) => feature).join(' '))]],
  }
}

/** What calls fail with. */
function codesOf({ cases }: Cell): string {
  return [...new Set(cases.map(({ fault }) => `\`${String(fault?.['code'])}\``))].sort().join(' ')
}

/** What the cases of each server of the shared dialect show, beyond what those of every one do. */
function serversTable({ answers, asks, others }: Matrix): Table {
  const [shared] = surfaces.filter(({ providers }) => providers.length > 1)
  const servers = shared?.providers ?? []
  const showing = [answers, asks, others]
    .flat(2)
    .filter(({ column }) => column === shared?.name)
    .map(({ feature, cases }) => ({ feature, by: new Set(cases.map(({ provider }) => provider)) }))
    .filter(({ by }) => by.size < servers.length)
  const shownBy = (server: string) => showing.filter(({ by }) => by.has(server)).map(({ feature }) => feature)
  return {
    head: ['server', 'shown by its own exchanges'],
    rows: servers.map((server) => [`\`${server}\``, shownBy(server).join(', ')]),
  }
}
