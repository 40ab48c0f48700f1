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
    else assert.deepEqual(reading, warning === undefined ? { value } : { value, warning })
  })
}
