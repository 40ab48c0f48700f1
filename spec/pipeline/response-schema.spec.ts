import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readAgainst } from '../../src/pipeline/response-schema.ts'

/** Patterns are not run, and what they leave unsaid must never refuse a value that fits. */

const cannotCheck = 'responseSchema holds patterns, which the gateway cannot check'
const notValidated = 'responseSchema uses keywords that the gateway cannot check; object was parsed but not validated'

const cases: { name: string; schema: Record<string, unknown>; value: unknown; warning?: string; problem?: true }[] = [
  {
    name: 'members named by a pattern',
    schema: { type: 'object', patternProperties: { '^x-': { type: 'string' } }, additionalProperties: false },
    value: { 'x-a': 'b' },
    warning: cannotCheck,
  },
  {
    name: 'a pattern under not',
    schema: { type: 'string', not: { pattern: '^a' } },
    value: 'b',
    warning: notValidated,
  },
  {
    name: 'branches that only a pattern tells apart',
    schema: {
      oneOf: [
        { type: 'string', pattern: '^a' },
        { type: 'string', pattern: '^b' },
      ],
    },
    value: 'a',
    warning: notValidated,
  },
  {
    name: 'a pattern in a member',
    schema: { type: 'object', properties: { a: { type: 'string', pattern: '^a' } } },
    value: { a: 'b' },
    warning: cannotCheck,
  },
  {
    name: 'a member that is called pattern',
    schema: { type: 'object', properties: { pattern: { type: 'string' } } },
    value: { pattern: 'x' },
  },
  {
    name: 'a member that is called pattern and does not fit',
    schema: { type: 'object', properties: { pattern: { type: 'string' } } },
    value: { pattern: 1 },
    problem: true,
  },
  {
    name: 'a definition that is called pattern',
    schema: {
      $defs: { pattern: { type: 'object', properties: { a: { type: 'string' } } } },
      $ref: '#/$defs/pattern',
    },
    value: { a: 1 },
    problem: true,
  },
]

for (const { name, schema, value, warning, problem } of cases) {
  test(`a schema with ${name}`, () => {
    const reading = readAgainst(schema, JSON.stringify(value))
    if (problem) assert.ok('problem' in reading, JSON.stringify(reading))
    else assert.deepEqual(reading, { value, warnings: warning === undefined ? [] : [warning] })
  })
}

const id = (digits: string) => `{"id": ${digits}}`
const idOf = (more: object) => ({ type: 'object', properties: { id: more } })

for (const [digits, schema, outcome] of [
  ['12345678901234567891', idOf({ type: 'integer' }), 'warning'],
  ['-12345678901234567891', idOf({ type: ['integer', 'null'] }), 'warning'],
  ['100000000000000000000', idOf({ type: 'integer' }), 'value'],
  ['12345678901234567891', idOf({ type: 'number' }), 'warning'],
  ['12', idOf({ type: 'integer', multipleOf: 6 }), 'value'],
  ['15', idOf({ type: 'integer', multipleOf: 6 }), 'id: Invalid number: must be a multiple of 6'],
  ['1.5', idOf({ type: 'integer' }), 'id: must be an integer'],
  ['1.5', idOf({ type: 'integer', multipleOf: 0.5 }), 'id: Invalid input: expected int, received number'],
  ['1.5', idOf({ type: ['integer', 'number'] }), 'value'],
  ['12345678901234567891', idOf({ type: 'integer', maximum: 9 }), 'id: Too big: expected number to be <=9'],
] as const) {
  test(`the integer ${digits} for ${JSON.stringify(schema.properties.id)}`, () => {
    const reading = readAgainst(schema, id(digits))
    const warnings = ['object holds an integer beyond 2^53; it stands with all its digits in text']
    if (outcome === 'value') assert.deepEqual(reading, { value: { id: Number(digits) }, warnings: [] })
    else if (outcome === 'warning') assert.deepEqual(reading, { value: { id: Number(digits) }, warnings })
    else assert.deepEqual(reading, { problem: outcome })
  })
}

test('what is wrong with names of the model’s own is one line of bounded length', () => {
  const names = Array.from({ length: 10_000 }, (_, at) => `\u001b[2Jname\u202e ${at}`)
  const value = Object.fromEntries(names.map((name) => [name, 1]))
  const reading = readAgainst({ type: 'object', properties: {}, additionalProperties: false }, JSON.stringify(value))
  assert.ok('problem' in reading)
  assert.match(reading.problem, /^the value: Unrecognized keys: "name 0", "name 1", [^\p{C}]+…$/u)
  assert.ok(reading.problem.length <= 501)
})
