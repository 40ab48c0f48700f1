import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { withEntry } from '../../src/cli/client-entry.ts'

/** Our entry in somebody else's text: what is not ours stays to the letter. */

const entry = { command: 'node', args: ['a'], env: { K: 'v' } }
const block = { section: 'mcpServers', entry }

const kept: { name: string; before: string; after: string }[] = [
  {
    name: 'comments, order, trailing commas and a tab',
    before:
      '// mine\n{\n\t"b": 1, /* two */\n\t"mcpServers": {\n\t\t"other": { "command": "x" }, // keep\n\t},\n\t"a": [1,2],\n}\n',
    after:
      '// mine\n{\n\t"b": 1, /* two */\n\t"mcpServers": {\n\t\t"other": { "command": "x" }, // keep\n\t\t"genai-gateway": {\n\t\t\t"command": "node",\n\t\t\t"args": [\n\t\t\t\t"a"\n\t\t\t],\n\t\t\t"env": {\n\t\t\t\t"K": "v"\n\t\t\t}\n\t\t},\n\t},\n\t"a": [1,2],\n}\n',
  },
  {
    name: 'a byte order mark and the line ends of Windows',
    before: '\ufeff{\r\n  "theme": "dark"\r\n}\r\n',
    after:
      '\ufeff{\r\n  "theme": "dark",\r\n  "mcpServers": {\r\n    "genai-gateway": {\r\n      "command": "node",\r\n      "args": [\r\n        "a"\r\n      ],\r\n      "env": {\r\n        "K": "v"\r\n      }\r\n    }\r\n  }\r\n}\r\n',
  },
  {
    name: 'a file on one line, and a comment behind its last member',
    before: '{"a":1,"mcpServers":{}} // end\n',
    after:
      '{"a":1,"mcpServers":{\n  "genai-gateway": {\n    "command": "node",\n    "args": [\n      "a"\n    ],\n    "env": {\n      "K": "v"\n    }\n  }\n}} // end\n',
  },
  {
    name: 'a comment behind a member without a comma',
    before: '{\n "a": 1 // one\n}',
    after:
      '{\n "a": 1, // one\n "mcpServers": {\n  "genai-gateway": {\n   "command": "node",\n   "args": [\n    "a"\n   ],\n   "env": {\n    "K": "v"\n   }\n  }\n }\n}',
  },
  {
    name: 'an empty file',
    before: ' \n',
    after: `${JSON.stringify({ mcpServers: { 'genai-gateway': entry } }, undefined, 2)}\n`,
  },
]

describe('an entry in a file of somebody else', () => {
  for (const { name, before, after } of kept)
    test(`keeps ${name}`, () => assert.equal(withEntry(before, block, false), after))

  test('keeps whatever else a JSON file holds', () => {
    const other = fc.dictionary(fc.string(), fc.jsonValue()).filter((value) => !Object.hasOwn(value, 'mcpServers'))
    const servers = fc.dictionary(fc.string(), fc.jsonValue()).filter((value) => !Object.hasOwn(value, 'genai-gateway'))
    fc.assert(
      fc.property(other, servers, fc.constantFrom(0, 1, 2, 4, '\t'), (rest, mcpServers, indent) => {
        const before = { ...rest, mcpServers }
        const text = JSON.stringify(before, undefined, indent)
        if (text.includes('__proto__')) return
        const after: unknown = JSON.parse(withEntry(text, block, false))
        assert.deepEqual(
          after,
          JSON.parse(JSON.stringify({ ...before, mcpServers: { ...mcpServers, 'genai-gateway': entry } })),
        )
      }),
      { numRuns: 300 },
    )
  })

  test('keeps every character of a file with comments, empty lines and commas too many', () => {
    const gap = fc.constantFrom(
      '',
      ' ',
      '\n',
      '\n\t',
      '\r\n  ',
      ' // a "comment", {or not}\n',
      '/* [two\nlines] */',
      ' /* one */ ',
      '\n\n',
    )
    const scalar = fc.constantFrom('1', 'true', 'null', '"text, // no comment"', '"\\"}"', '[]', '{}', '[1,2]')
    const member = fc.tuple(gap, fc.constantFrom('"a"', '"b c"', '"//"', '"é"'), gap, gap, scalar, gap)
    const object = (members: readonly (readonly string[])[], comma: boolean, end: string) => {
      const unique = members.filter(([, name], at) => members.findIndex(([, other]) => other === name) === at)
      const written = unique.map(
        ([before, name, after, lead, value, tail]) => `${before}${name}${after}:${lead}${value}${tail}`,
      )
      return `{${written.join(',')}${comma && unique.length > 0 ? ',' : ''}${end}}`
    }
    const file = fc.record({
      before: gap,
      rest: fc.array(member, { maxLength: 3 }),
      servers: fc.option(fc.array(member, { maxLength: 3 })),
      comma: fc.boolean(),
      end: gap,
    })
    fc.assert(
      fc.property(file, ({ before, rest, servers, comma, end }) => {
        const inner = servers && object(servers, comma, end)
        const all: readonly (readonly string[])[] =
          inner === null ? rest : [...rest, ['\n', '"mcpServers"', '', ' ', inner, end]]
        const text = `${before}${object(all, comma, end)}${end}`
        const after = withEntry(text, block, false)
        assert.ok(isSpread(text, after), `${text}\n---\n${after}`)
        assert.equal(withEntry(after, block, false), after)
      }),
      { numRuns: 2_000 },
    )
  })

  test('is the same text the second time', () => {
    const once = withEntry('{}', block, false)
    assert.equal(withEntry(once, block, false), once)
  })

  test('another entry of our name is replaced only when that is wanted', () => {
    const text = '{"mcpServers":{"genai-gateway":{"command":"old"}}}'
    assert.throws(() => withEntry(text, block, false), /--replace/)
    assert.deepEqual(JSON.parse(withEntry(text, block, true)), { mcpServers: { 'genai-gateway': entry } })
  })

  test('inputs are added to those that are there, once', () => {
    const input = { type: 'promptString', id: 'k', description: 'K', password: true } as const
    const asking = { section: 'servers', entry, inputs: [input] }
    const once = withEntry('{ "inputs": [ { "id": "x" } ] }', asking, false)
    assert.deepEqual(JSON.parse(once), { inputs: [{ id: 'x' }, input], servers: { 'genai-gateway': entry } })
    assert.equal(withEntry(once, asking, false), once)
  })

  const refused: [string, string, RegExp][] = [
    ['no JSON', 'mcpServers: {}', /not valid JSON \(line 1, column 1: /],
    ['half a file', '{\n  "mcpServers": {', /not valid JSON \(line 2, column/],
    ['two files', '{}{}', /not valid JSON \(line 1, column 3: /],
    ['a list', '[]', /something else than an object/],
    ['servers as a list', '{"mcpServers":[]}', /something else than an object/],
    ['servers as null', '{"mcpServers":null}', /something else than an object|safely/],
    ['a name that stands there twice', '{"mcpServers":{"a":1},"mcpServers":{"b":1}}', /safely/],
  ]
  for (const [name, text, says] of refused) {
    test(`is not put into ${name}`, () => assert.throws(() => withEntry(text, block, true), says))
  }
})

/** Whether one text is the other with something put in between, its characters in the same order. */
function isSpread(text: string, within: string): boolean {
  let at = 0
  for (const character of text) {
    at = within.indexOf(character, at)
    if (at === -1) return false
    at += 1
  }
  return true
}
