import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { declarations } from '../../src/tools/declarations.ts'
import { type Gateway, handshake, type Json, modernMeta, startGateway } from '../harness/gateway.ts'

/** What a client sees of the tools: every byte of it sits in the client's context. */

const snapshot = new URL('../../fixtures/surface/tools.json', import.meta.url)

test('the declarations are those of the snapshot', () => {
  const text = `${JSON.stringify(declarations, undefined, 2)}\n`
  const update = process.env['UPDATE'] === '1'
  let kept: string | undefined
  try {
    kept = readFileSync(snapshot, 'utf8')
  } catch {
    assert.ok(
      update || !process.env['CI'],
      'fixtures/surface/tools.json is missing: run UPDATE=1 make test and commit it',
    )
  }
  if (update || kept === undefined) {
    mkdirSync(new URL('.', snapshot), { recursive: true })
    writeFileSync(snapshot, text)
    return
  }
  assert.equal(text, kept, 'the tools have changed: if that is meant, run UPDATE=1 make test')
})

test('names, descriptions and input schemas stay under 4 KB together', () => {
  const seen = declarations.map(({ name, description, inputSchema }) => ({ name, description, inputSchema }))
  const bytes = Buffer.byteLength(JSON.stringify(seen))
  assert.ok(bytes < 4096, `${bytes} bytes`)
})

const listings: { era: string; list(gateway: Gateway): Promise<Json> }[] = [
  ...['2024-11-05', '2025-03-26', '2025-06-18', '2025-11-25'].map((version) => ({
    era: version,
    async list(gateway: Gateway) {
      await handshake(gateway, version)
      return (await gateway.request('tools/list')) as Json
    },
  })),
  {
    era: '2026-07-28',
    list: async (gateway) => (await gateway.request('tools/list', { _meta: modernMeta })) as Json,
  },
]

for (const { era, list } of listings) {
  test(`the whole tools/list answer of ${era} stays under 8 KB`, async () => {
    const gateway = startGateway()
    try {
      const answer = await list(gateway)
      const bytes = Buffer.byteLength(`${JSON.stringify(answer)}\n`)
      assert.ok(bytes < 8192, `${bytes} bytes`)
      const { tools, nextCursor } = answer['result'] as { tools: Json[]; nextCursor?: string }
      assert.equal(nextCursor, undefined)
      assert.deepEqual(
        tools.map(({ name }) => name),
        declarations.map(({ name }) => name),
      )
      for (const [at, tool] of tools.entries()) assert.deepEqual(tool['inputSchema'], declarations[at]?.inputSchema)
    } finally {
      await gateway.end()
    }
  })
}

test('the tools of the contract are there', () => {
  const names = declarations.map(({ name }) => name)
  for (const name of ['listModels', 'createCompletion', 'createEmbedding', 'callTool'])
    assert.ok(names.includes(name), name)
})

const rootKeywords = ['type', 'properties', 'required', 'additionalProperties']
/** Words that one client or another refuses, drops or chokes on. */
const unsafe = new Set(
  (
    '$ref $defs $id $anchor $dynamicRef definitions anyOf oneOf allOf not if then else const format pattern ' +
    'exclusiveMinimum exclusiveMaximum multipleOf patternProperties propertyNames dependentSchemas prefixItems ' +
    'contains unevaluatedProperties unevaluatedItems nullable'
  ).split(' '),
)
const types = ['string', 'number', 'integer', 'boolean', 'object', 'array']

/** Everything about an input schema that not every client accepts. */
function objections(schema: unknown, where: string): string[] {
  if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) return [`${where}: no schema object`]
  const { type, items, properties, additionalProperties } = schema as Json
  return [
    ...Object.keys(schema)
      .filter((word) => unsafe.has(word))
      .map((word) => `${where}: ${word}`),
    ...(types.includes(type as string) ? [] : [`${where}: type ${JSON.stringify(type)}`]),
    ...(type === 'array' && items === undefined ? [`${where}: an array without items`] : []),
    ...(items === undefined ? [] : objections(items, `${where}[]`)),
    ...(additionalProperties === undefined || where === '' ? [] : [`${where}: additionalProperties below the root`]),
    ...Object.entries((properties ?? {}) as Json).flatMap(([name, inner]) => objections(inner, `${where}.${name}`)),
  ]
}

for (const { name, title, description, inputSchema, outputSchema, annotations } of declarations) {
  test(`${name}: the input schema keeps to what every client accepts`, () => {
    assert.deepEqual(objections(inputSchema, ''), [])
    assert.equal(inputSchema.type, 'object')
    assert.deepEqual(
      Object.keys(inputSchema).filter((word) => !rootKeywords.includes(word)),
      [],
    )
    assert.equal(inputSchema['additionalProperties'], false)
  })

  test(`${name}: every argument is described`, () => {
    const properties = inputSchema['properties'] as Record<string, Json>
    assert.deepEqual(
      Object.keys(properties).filter((argument) => typeof properties[argument]?.['description'] !== 'string'),
      [],
    )
    for (const argument of Object.keys(properties)) assert.match(argument, /^[a-z][A-Za-z]*$/)
    for (const required of (inputSchema['required'] ?? []) as string[]) assert.ok(Object.hasOwn(properties, required))
  })

  test(`${name}: schemas are valid JSON Schema 2020-12`, () => {
    const ajv = new Ajv2020({ strict: true, strictRequired: false })
    for (const schema of [inputSchema, outputSchema]) {
      assert.ok(ajv.validateSchema(schema), JSON.stringify(ajv.errors))
      assert.doesNotThrow(() => ajv.compile(schema))
    }
    assert.equal(outputSchema.type, 'object')
  })

  test(`${name}: name, title, description and annotations`, () => {
    assert.match(name, /^[a-z][A-Za-z]{0,39}$/)
    assert.ok(title.length > 0 && description.length > 0)
    assert.ok(Object.keys(annotations).length > 0)
    for (const value of Object.values(annotations)) assert.equal(typeof value, 'boolean')
  })
}
