import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Fault } from '../../src/errors.ts'
import { readArguments } from '../../src/tools/arguments.ts'
import { createCompletion } from '../../src/tools/create-completion.ts'
import { createEmbedding } from '../../src/tools/create-embedding.ts'
import { listModels } from '../../src/tools/list-models.ts'

/** What callers write, and what it is taken for. */

type Json = Record<string, unknown>

const completion = (args: Json) => readArguments(createCompletion.input(), args)
const embedding = (args: Json) => readArguments(createEmbedding.input(), args)

function refusal(read: () => unknown): string {
  try {
    read()
  } catch (error) {
    assert.ok(error instanceof Fault, String(error))
    assert.equal(error.code, 'invalid_request')
    return error.message
  }
  return assert.fail('it was taken')
}

const schema = { type: 'object', properties: { a: { type: 'string' } } }

// What the providers call it, and what we do.
const spellings: [Json, Json][] = [
  [{ max_tokens: 5 }, { maxTokens: 5 }],
  [{ max_completion_tokens: 5 }, { maxTokens: 5 }],
  [{ max_output_tokens: 5 }, { maxTokens: 5 }],
  [{ maxOutputTokens: 5 }, { maxTokens: 5 }],
  [{ top_p: 0.5 }, { topP: 0.5 }],
  [{ stop_sequences: ['x'] }, { stop: ['x'] }],
  [{ stopSequences: ['x'] }, { stop: ['x'] }],
  [{ reasoning_effort: 'low' }, { reasoningEffort: 'low' }],
  [{ response_schema: schema }, { responseSchema: schema }],
  [{ tool_choice: 'auto' }, { toolChoice: 'auto' }],
  [{ tool_choice: 'any' }, { toolChoice: 'required' }],
  [{ tool_choice: { type: 'any' } }, { toolChoice: 'required' }],
  [{ tool_choice: { type: 'auto' } }, { toolChoice: 'auto' }],
  [{ tool_choice: { type: 'none' } }, { toolChoice: 'none' }],
  [{ tool_choice: { type: 'tool', name: 'f' } }, { toolChoice: 'f' }],
  [{ toolChoice: { type: 'function', function: { name: 'f' } } }, { toolChoice: 'f' }],
  [{ toolChoice: { type: 'function', name: 'f' } }, { toolChoice: 'f' }],
  [{ response_format: { type: 'json_schema', json_schema: { name: 'x', schema } } }, { responseSchema: schema }],
  [{ response_format: { type: 'json_schema', schema } }, { responseSchema: schema }],
  [{ response_format: { type: 'json_object' } }, { options: { response_format: { type: 'json_object' } } }],
  [{ response_format: { type: 'text' } }, {}],
  [
    { response_format: { type: 'json_object' }, options: { n: 1 } },
    { options: { response_format: { type: 'json_object' }, n: 1 } },
  ],
  [{ stop: 'x' }, { stop: ['x'] }],
  [{ stop: [] }, { stop: [] }],
  [{ stop_sequences: 'x' }, { stop: ['x'] }],
]
for (const [given, taken] of spellings) {
  test(`createCompletion: ${JSON.stringify(given)}`, () => {
    assert.deepEqual(completion({ prompt: 'hi', ...given }), { prompt: 'hi', ...taken })
  })
}

const embeddings: [Json, Json][] = [
  [{ input: 'a' }, { input: ['a'] }],
  [{ input: ['a', 'b'] }, { input: ['a', 'b'] }],
  [
    { input: 'a', encoding_format: 'base64' },
    { input: ['a'], encoding: 'base64' },
  ],
]
for (const [given, taken] of embeddings) {
  test(`createEmbedding: ${JSON.stringify(given)}`, () => {
    assert.deepEqual(embedding(given), taken)
  })
}

test('a client that fills in every argument sends null for what it has nothing to say about', () => {
  const all = Object.fromEntries(Object.keys(createCompletion.input().shape).map((name) => [name, null]))
  assert.deepEqual(completion({ ...all, prompt: 'hi' }), { prompt: 'hi' })
  assert.deepEqual(completion({ prompt: 'hi', max_tokens: null, nonsense: null }), { prompt: 'hi' })
  assert.deepEqual(readArguments(listModels.input(), { provider: null, search: null, refresh: null }), {})
})

test('names of members that objects inherit are unknown arguments, and change no object', () => {
  for (const text of [
    '{"prompt":"hi","__proto__":{"polluted":true}}',
    '{"prompt":"hi","constructor":{"prototype":{"polluted":true}}}',
    '{"prompt":"hi","toString":1}',
    '{"prompt":"hi","hasOwnProperty":1}',
  ]) {
    const message = refusal(() => completion(JSON.parse(text) as Json))
    assert.match(message, /there is no argument/)
  }
  const options = JSON.parse('{"__proto__":{"polluted":true}}') as Json
  const read = completion({ prompt: 'hi', options, response_format: { type: 'json_object' } })
  assert.equal(({} as Json)['polluted'], undefined)
  assert.equal((read.options as Json | undefined)?.['polluted'], undefined)
})

// The nearest known name, which is what was meant.
const nearest: [string, string][] = [
  ['maxToken', 'maxTokens'],
  ['MaxTokens', 'maxTokens'],
  ['temprature', 'temperature'],
  ['promt', 'prompt'],
  ['message', 'messages'],
  ['sytem', 'system'],
  ['responseShema', 'responseSchema'],
  ['tool', 'tools'],
  ['models', 'model'],
  ['option', 'options'],
  ['time_out', 'timeout'],
]
for (const [given, meant] of nearest) {
  test(`${given} is refused with ${meant}`, () => {
    const message = refusal(() => completion({ prompt: 'hi', [given]: 'x' }))
    assert.ok(message.includes(`"${given}"`) && message.includes(` ${meant}`), message)
  })
}

// Neither a place to go nor anything that would travel there is ever an argument.
for (const name of [
  'base_url',
  'baseUrl',
  'api_base',
  'endpoint',
  'host',
  'url',
  'path',
  'proxy',
  'headers',
  'extra_headers',
  'apiKey',
  'api_key',
  'authorization',
]) {
  test(`${name} is refused`, () => {
    assert.match(
      refusal(() => completion({ prompt: 'hi', [name]: 'https://evil.example.com' })),
      /there is no argument/,
    )
    assert.match(
      refusal(() => embedding({ input: ['a'], [name]: 'https://evil.example.com' })),
      /there is no argument/,
    )
    assert.match(
      refusal(() => readArguments(listModels.input(), { [name]: 'https://evil.example.com' })),
      /there is no argument/,
    )
  })
}

// Each is told by the argument that is wrong.
const mistakes: [Json, RegExp][] = [
  [{ prompt: 7 }, /^prompt: /],
  [{ prompt: 'a', maxTokens: 0 }, /^maxTokens: /],
  [{ prompt: 'a', maxTokens: 1.5 }, /^maxTokens: /],
  [{ prompt: 'a', max_tokens: '5' }, /^maxTokens: /],
  [{ prompt: 'a', temperature: -1 }, /^temperature: /],
  [{ prompt: 'a', temperature: 2.1 }, /^temperature: /],
  [{ prompt: 'a', temperature: Number.NaN }, /^temperature: /],
  [{ prompt: 'a', topP: 1.5 }, /^topP: /],
  [{ prompt: 'a', stop: 7 }, /^stop/],
  [{ prompt: 'a', stop: ['x', 7] }, /^stop\.1: /],
  [{ prompt: 'a', seed: 'x' }, /^seed: /],
  [{ prompt: 'a', reasoningEffort: 'extreme' }, /^reasoningEffort: /],
  [{ prompt: 'a', responseSchema: 'x' }, /^responseSchema: /],
  [{ prompt: 'a', tools: {} }, /^tools: /],
  [{ prompt: 'a', tools: ['f'] }, /^tools\.0: /],
  [{ prompt: 'a', mode: 'speech' }, /^mode: /],
  [{ prompt: 'a', timeout: 0 }, /^timeout: /],
  [{ prompt: 'a', timeout: 86_401 }, /^timeout: /],
  [{ prompt: 'a', options: [] }, /^options: /],
  [{ messages: 'a' }, /^messages: /],
  [{ messages: [{ role: 'robot', content: 'a' }] }, /^messages\.0\.role: /],
  [{ messages: [{ content: 'a' }] }, /^messages\.0\.role: /],
]
for (const [args, where] of mistakes) {
  test(`refused: ${JSON.stringify(args)}`, () => {
    assert.match(
      refusal(() => completion(args)),
      where,
    )
  })
}

test('embeddings of nothing, of too much and of numbers are refused', () => {
  for (const args of [
    {},
    { input: [] },
    { input: [1] },
    { input: Array.from({ length: 2049 }, () => 'a') },
    { input: 'a', dimensions: 0 },
    { input: 'a', encoding: 'int8' },
  ]) {
    refusal(() => embedding(args))
  }
})

test('a refusal quotes neither a value nor an endless name', () => {
  assert.doesNotMatch(
    refusal(() => completion({ prompt: { secret: 'canary' } })),
    /canary/,
  )
  assert.ok(refusal(() => completion({ prompt: 'a', ['x'.repeat(100_000)]: 1 })).length < 400)
  assert.doesNotMatch(
    refusal(() => completion({ prompt: 'a', 'x\u001b[31m\n': 1 })),
    /\u001b|\n/,
  )
})

test('whatever comes, it is taken or refused with a sentence', () => {
  fc.assert(
    fc.property(
      fc.dictionary(
        fc.oneof(
          fc.string({ maxLength: 12 }),
          fc.constantFrom(
            ...Object.keys(createCompletion.input().shape),
            '__proto__',
            'tool_choice',
            'response_format',
          ),
        ),
        fc.jsonValue({ maxDepth: 3 }),
        { maxKeys: 6 },
      ),
      (args) => {
        try {
          completion(args)
        } catch (error) {
          assert.ok(error instanceof Fault, String(error))
          assert.ok(error.message.length > 0 && error.message.length < 500)
        }
      },
    ),
    { numRuns: 300 },
  )
})

test('a list of millions is refused before it is looked through', () => {
  const startedMs = performance.now()
  assert.match(
    refusal(() => completion({ prompt: 'x', stop: Array.from({ length: 2_000_000 }, () => 0) })),
    /stop .*10000/,
  )
  assert.ok(performance.now() - startedMs < 500)
})
