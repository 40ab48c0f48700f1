import assert from 'node:assert/strict'
import { test } from 'node:test'
import { chatAnswers, refusals } from '../scripts/matrix/answers.ts'
import { chatAsks } from '../scripts/matrix/asks.ts'
import { surfaces } from '../scripts/matrix/surfaces.ts'
import { type Cell, type Matrix, matrixOf, readCases } from '../scripts/matrix.ts'
import { presets } from '../src/providers/index.ts'

/** What spec/components.md says of the providers is exercised by recorded exchanges, cell by cell. */

const cases = readCases()
const matrix = matrixOf(cases)

function cellsOf({ answers, asks, others, tools, statuses }: Matrix): Cell[] {
  return [answers, asks, others, tools, statuses].flat(2)
}

function names(cells: readonly Cell[]): string[] {
  return cells.map(({ feature, column }) => `${feature} at ${column}`)
}

function lacking(of: Matrix): string[] {
  return names(cellsOf(of).filter((cell) => cell.expected && cell.cases.length === 0))
}

function at(column: string, feature: string): Cell {
  const found = cellsOf(matrix).find((cell) => cell.column === column && cell.feature === feature)
  assert.ok(found, `there is no cell ${feature} at ${column}`)
  return found
}

test('every cell that is offered has a case', () => {
  assert.deepEqual(lacking(matrix), [])
})

test('no case exercises what is not offered', () => {
  const strange = cellsOf(matrix).filter((cell) => !cell.expected && cell.cases.length > 0)
  assert.deepEqual(names(strange), [])
})

test('a cell that loses its only case is found', () => {
  const without = matrixOf(cases.filter(({ name }) => !name.startsWith('anthropic/refusal')))
  assert.deepEqual(lacking(without), ['end: refusal at anthropic'])
})

test('what is told of the vendors is told of those that there are', () => {
  const columns = surfaces.map(({ name }) => name)
  const told = [...chatAnswers.flatMap(({ by = [] }) => by), ...chatAsks.flatMap(({ refusedBy = [] }) => refusedBy)]
  assert.deepEqual(
    [...new Set(told)].filter((name) => !columns.includes(name)),
    [],
  )
  assert.deepEqual(Object.keys(refusals), [...new Set(surfaces.map(({ group }) => group))])
})

const expected: readonly { column: string; feature: string; offered: boolean; by?: string }[] = [
  { column: 'openai', feature: 'audio', offered: true, by: 'openai/file-and-audio-input' },
  { column: 'openai responses', feature: 'audio', offered: false },
  { column: 'openai responses', feature: '`stop`', offered: false },
  { column: 'openai', feature: 'thoughts handed back', offered: false },
  { column: 'anthropic', feature: 'thoughts handed back', offered: true, by: 'anthropic/thinking-second-turn' },
  { column: 'anthropic', feature: '`seed`', offered: false },
  { column: 'anthropic', feature: 'developer message', offered: false },
  { column: 'openai', feature: 'developer message', offered: true, by: 'openai/developer-role' },
  { column: 'ollama', feature: 'tool choice: must', offered: false },
  { column: 'ollama', feature: 'image by address', offered: false },
  { column: 'azure', feature: 'text, streamed', offered: false },
  { column: 'azure dated', feature: 'text, streamed', offered: true, by: 'azure/dated-text' },
  { column: 'azure', feature: 'PDF', offered: true, by: 'azure/v1-pdf-refused' },
  { column: 'ollama', feature: '`pull`', offered: true, by: 'ollama/call-pull' },
  { column: 'lmstudio', feature: '`pull`', offered: false },
]

for (const { column, feature, offered, by } of expected) {
  test(`${feature} is ${offered ? '' : 'not '}offered at ${column}`, () => {
    const cell = at(column, feature)
    assert.equal(cell.expected, offered)
    const exercising = cell.cases.map(({ name }) => name)
    if (by !== undefined) assert.ok(exercising.includes(by), exercising.join(' '))
  })
}

test('what is asked for and left out exercises nothing', () => {
  // The case asks for a tool at a server that cannot be made to call one.
  const forced = at('ollama', 'tool choice: must').cases.map(({ name }) => name)
  assert.ok(
    cases.some(({ name, call }) => name === 'ollama/tools-parallel' && call.arguments['toolChoice'] === 'required'),
  )
  assert.deepEqual(forced, [])
})

for (const provider of Object.keys(presets)) {
  test(`${provider} has a folder of cases with a plain answer, streamed and not`, () => {
    for (const feature of ['streamed', 'not streamed', 'end: stop']) {
      const cells = cellsOf(matrix).filter((cell) => cell.feature === feature)
      const found = cells.flatMap((cell) => cell.cases).filter(({ name }) => name.startsWith(`${provider}/`))
      assert.ok(found.length > 0, `${provider}: ${feature}`)
    }
  })
}

test('every folder of cases is a provider’s, but for the one that stands for any server', () => {
  const folders = new Set(cases.map(({ name }) => name.split('/', 1)[0]))
  assert.deepEqual(
    [...folders].filter((folder) => !Object.hasOwn(presets, folder ?? '')),
    ['any-server'],
  )
})
