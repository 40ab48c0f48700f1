import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { Fault } from '../../src/errors.ts'
import type { Ask, ChatAsk, ChatMessage, EmbedAsk, Event, ModelsAsk, Part, TextAsk } from '../../src/gateway.ts'
import type { HttpResponse } from '../../src/http/message.ts'
import type { EncodedRequest, Operation, Target } from '../../src/provider.ts'
import { ollama } from '../../src/providers/ollama.ts'
import { eventsIn } from '../harness/events.ts'

/** Ollama's own API, against what a server built from its sources of 2026-08-21 has sent. */

const target: Target = { provider: 'ollama', model: 'tiny-chat', baseUrl: 'http://127.0.0.1:11434', headers: {} }

const chat = (more: Partial<ChatAsk> = {}): ChatAsk => ({
  kind: 'chat',
  messages: [{ role: 'user', content: [{ type: 'text', text: 'Say hello' }] }],
  ...more,
})
const text = (more: Partial<TextAsk> = {}): TextAsk => ({ kind: 'text', prompt: 'Once', ...more })
const embed = (more: Partial<EmbedAsk> = {}): EmbedAsk => ({
  kind: 'embed',
  input: ['hello'],
  encoding: 'float',
  ...more,
})
const models: ModelsAsk = { kind: 'models', provider: 'ollama' }

function operationOf(kind: Ask['kind']): Operation<Ask> {
  const operation = kind === 'tool' ? undefined : ollama[kind]
  assert.ok(operation)
  return operation as Operation<Ask>
}

const encode = (ask: Ask): EncodedRequest => operationOf(ask.kind).encode(ask, target)

/** As it goes over the wire: without the members that are undefined. */
const bodyOf = (ask: Ask): Record<string, unknown> => JSON.parse(JSON.stringify(encode(ask).json))

const ndjson = 'application/x-ndjson'
const json = 'application/json; charset=utf-8'

function responseOf(chunks: readonly Uint8Array[], contentType: string): HttpResponse {
  async function* body() {
    yield* chunks
  }
  return { status: 200, headers: { 'content-type': contentType }, body: body() }
}

/** The events of an answer, and the fault that ended it, if one did. */
async function decoded(ask: Ask, chunks: readonly Uint8Array[], contentType = ndjson) {
  const events: Event[] = []
  try {
    for await (const event of eventsIn(operationOf(ask.kind).decode(responseOf(chunks, contentType), ask)))
      events.push(event)
  } catch (fault) {
    assert.ok(fault instanceof Fault, String(fault))
    return { events, fault }
  }
  return { events, fault: undefined }
}

const bytes = (value: string) => Buffer.from(value, 'utf8')
const lines = (...values: readonly string[]) => bytes(values.map((value) => `${value}\n`).join(''))

function pieces(whole: Uint8Array, size: number): Uint8Array[] {
  return Array.from({ length: Math.ceil(whole.length / size) }, (_, at) => whole.subarray(at * size, (at + 1) * size))
}

/** Whole, byte by byte, and cut in two at every place. */
function* cuttings(whole: Uint8Array): Generator<Uint8Array[]> {
  yield [whole]
  yield pieces(whole, 1)
  for (let at = 1; at < whole.length; at++) yield [whole.subarray(0, at), whole.subarray(at)]
}

// ── Requests ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Transcribed from Ollama's docs/openapi.yaml: what each request must look like. */
const options = {
  type: 'object',
  properties: {
    seed: { type: 'integer' },
    temperature: { type: 'number' },
    top_k: { type: 'integer' },
    top_p: { type: 'number' },
    min_p: { type: 'number' },
    stop: { oneOf: [{ type: 'string' }, { type: 'array', items: { type: 'string' } }] },
    num_ctx: { type: 'integer' },
    num_predict: { type: 'integer' },
  },
}
const common = {
  model: { type: 'string' },
  stream: { const: true },
  think: { oneOf: [{ type: 'boolean' }, { enum: ['high', 'medium', 'low', 'max'] }] },
  keep_alive: { oneOf: [{ type: 'string' }, { type: 'number' }] },
  truncate: { type: 'boolean' },
  shift: { type: 'boolean' },
  options,
}
const images = { type: 'array', items: { type: 'string' } }
const called = {
  type: 'object',
  required: ['name'],
  properties: { name: { type: 'string' }, arguments: { type: 'object' } },
  additionalProperties: false,
}
const schemas: Readonly<Record<string, object>> = {
  '/api/chat': {
    type: 'object',
    required: ['model', 'messages'],
    properties: {
      ...common,
      messages: {
        type: 'array',
        items: {
          type: 'object',
          required: ['role', 'content'],
          properties: {
            role: { enum: ['system', 'user', 'assistant', 'tool'] },
            content: { type: 'string' },
            images,
            tool_calls: {
              type: 'array',
              items: { type: 'object', properties: { id: { type: 'string' }, function: called } },
            },
            tool_name: { type: 'string' },
            tool_call_id: { type: 'string' },
          },
          additionalProperties: false,
        },
      },
      tools: {
        type: 'array',
        items: {
          type: 'object',
          required: ['type', 'function'],
          properties: {
            type: { const: 'function' },
            function: {
              type: 'object',
              required: ['name', 'parameters'],
              properties: {
                name: { type: 'string' },
                description: { type: 'string' },
                parameters: { type: 'object' },
              },
            },
          },
        },
      },
      format: { oneOf: [{ const: 'json' }, { type: 'object' }] },
    },
    additionalProperties: false,
  },
  '/api/generate': {
    type: 'object',
    required: ['model', 'prompt'],
    properties: {
      ...common,
      prompt: { type: 'string' },
      suffix: { type: 'string' },
      images,
      format: { oneOf: [{ type: 'string' }, { type: 'object' }] },
      system: { type: 'string' },
      raw: { type: 'boolean' },
    },
    additionalProperties: false,
  },
  '/api/embed': {
    type: 'object',
    required: ['model', 'input'],
    properties: {
      model: { type: 'string' },
      input: { type: 'array', items: { type: 'string' } },
      truncate: { type: 'boolean' },
      dimensions: { type: 'integer' },
      keep_alive: { type: 'string' },
      options,
    },
    additionalProperties: false,
  },
}
const ajv = new Ajv2020({ strict: false })
const validators = new Map(Object.entries(schemas).map(([path, schema]) => [path, ajv.compile(schema)]))

const schema = { type: 'object', properties: { age: { type: 'integer', minimum: 0 } }, required: ['age'] }
const weather = {
  name: 'weather',
  description: 'Weather',
  inputSchema: { type: 'object', properties: { city: { type: 'string' } } },
}
const encodedWeather = {
  type: 'function',
  function: {
    name: 'weather',
    description: 'Weather',
    parameters: { type: 'object', properties: { city: { type: 'string' } } },
  },
}

/** `body` holds what differs from the plainest request of its kind. */
const requests: { name: string; ask: Ask; body: Record<string, unknown>; warnings?: string[] }[] = [
  { name: 'a plain chat', ask: chat(), body: {} },
  {
    name: 'sampling',
    ask: chat({ maxTokens: 24, temperature: 0.8, topP: 0.9, stop: ['a', '\n'], seed: 7 }),
    body: { options: { num_predict: 24, temperature: 0.8, top_p: 0.9, stop: ['a', '\n'], seed: 7 } },
  },
  { name: 'values of zero', ask: chat({ temperature: 0, seed: 0 }), body: { options: { temperature: 0, seed: 0 } } },
  { name: 'an empty list of stop texts', ask: chat({ stop: [] }), body: {} },
  {
    name: 'a schema of the answer, with its every keyword',
    ask: chat({ responseSchema: schema }),
    body: { format: schema },
  },
  ...(
    [
      ['none', false],
      ['minimal', 'low'],
      ['low', 'low'],
      ['medium', 'medium'],
      ['high', 'high'],
      ['xhigh', 'high'],
      ['max', 'max'],
    ] as const
  ).map(([reasoningEffort, think]) => ({
    name: `reasoning effort ${reasoningEffort}`,
    ask: chat({ reasoningEffort }),
    body: { think },
    warnings:
      reasoningEffort === 'minimal' || reasoningEffort === 'xhigh'
        ? [`reasoningEffort ${reasoningEffort} was sent as ${think}, the nearest here`]
        : [],
  })),
  { name: 'tools', ask: chat({ tools: [weather] }), body: { tools: [encodedWeather] } },
  { name: 'no tools', ask: chat({ tools: [] }), body: {} },
  { name: 'no tools and a choice', ask: chat({ tools: [], toolChoice: 'required' }), body: {} },
  {
    name: 'tools and choice auto',
    ask: chat({ tools: [weather], toolChoice: 'auto' }),
    body: { tools: [encodedWeather] },
  },
  { name: 'tools and choice none', ask: chat({ tools: [weather], toolChoice: 'none' }), body: {} },
  ...['required', 'weather'].map((toolChoice) => ({
    name: `tools and choice ${toolChoice}`,
    ask: chat({ tools: [weather], toolChoice }),
    body: { tools: [encodedWeather] },
    warnings: ['toolChoice was left out: this provider cannot force a tool, the model decides'],
  })),
  {
    name: 'options, each at its place',
    ask: chat({ options: { num_ctx: 8192, keep_alive: '10m' } }),
    body: { keep_alive: '10m', options: { num_ctx: 8192 } },
  },
  {
    name: 'options within options',
    ask: chat({ options: { options: { num_ctx: 8192, top_k: 1 }, top_k: 20 } }),
    body: { options: { num_ctx: 8192, top_k: 20 } },
  },
  {
    name: 'options that say otherwise',
    ask: chat({
      temperature: 1,
      reasoningEffort: 'high',
      responseSchema: schema,
      options: { temperature: 0, think: false, format: 'json', truncate: true, shift: false, keep_alive: 0 },
    }),
    body: { think: false, format: 'json', truncate: true, shift: false, keep_alive: 0, options: { temperature: 0 } },
  },
  { name: 'a plain text completion', ask: text(), body: {} },
  { name: 'an empty prompt', ask: text({ prompt: '' }), body: { prompt: '' } },
  {
    name: 'fill in the middle',
    ask: text({ suffix: ' end', maxTokens: 8, stop: ['\n'] }),
    body: { suffix: ' end', options: { num_predict: 8, stop: ['\n'] } },
  },
  { name: 'raw', ask: text({ options: { raw: true, min_p: 0.1 } }), body: { raw: true, options: { min_p: 0.1 } } },
  { name: 'a picture to complete from', ask: text({ options: { images: ['aGk='] } }), body: { images: ['aGk='] } },
  { name: 'a plain embedding', ask: embed(), body: {} },
  {
    name: 'embeddings of fewer dimensions',
    ask: embed({ input: ['a', 'b'], dimensions: 8, encoding: 'base64', options: { num_ctx: 512, keep_alive: '1h' } }),
    body: { input: ['a', 'b'], dimensions: 8, keep_alive: '1h', options: { num_ctx: 512 } },
  },
  { name: 'an embedding of what fits', ask: embed({ options: { truncate: true } }), body: { truncate: true } },
]

const plainest: Readonly<Record<string, { path: string; body: Record<string, unknown> }>> = {
  chat: {
    path: '/api/chat',
    body: { messages: [{ role: 'user', content: 'Say hello' }], truncate: false, stream: true },
  },
  text: { path: '/api/generate', body: { prompt: 'Once', truncate: false, stream: true } },
  embed: { path: '/api/embed', body: { input: ['hello'], truncate: false } },
}

for (const { name, ask, body, warnings = [] } of requests) {
  test(`${ask.kind}: ${name}`, () => {
    const { path, body: plain } = plainest[ask.kind] as (typeof plainest)[string]
    const encoded = encode(ask)
    assert.equal(encoded.method, 'POST')
    assert.equal(encoded.url, `http://127.0.0.1:11434${path}`)
    assert.deepEqual(encoded.headers, {})
    assert.deepEqual(encoded.warnings, warnings)
    assert.deepEqual(bodyOf(ask), { model: 'tiny-chat', ...plain, ...body })
    const validate = validators.get(path)
    assert.ok(validate?.(bodyOf(ask)), JSON.stringify(validate?.errors))
  })
}

test('the list of models is asked for with nothing but its address', () => {
  assert.deepEqual(encode(models), {
    method: 'GET',
    url: 'http://127.0.0.1:11434/api/tags',
    headers: {},
    warnings: [],
  })
})

test('a key travels as a bearer token', () => {
  assert.deepEqual(ollama.authorize('secret'), { authorization: 'Bearer secret' })
})

const says = (value: string): Part => ({ type: 'text', text: value })
const call = (id: string, name: string, value: Record<string, unknown> = {}): Part => ({
  type: 'tool-use',
  id,
  name,
  arguments: value,
})
const result = (id: string, value: string, isError = false): Part => ({
  type: 'tool-result',
  id,
  content: [says(value)],
  isError,
})
const picture: Part = { type: 'image', data: 'aGk=', mimeType: 'image/png' }

const conversations: { name: string; messages: ChatMessage[]; encoded: object[]; warnings?: string[] }[] = [
  {
    name: 'turns of every side',
    messages: [
      { role: 'system', content: [says('Be brief.')] },
      { role: 'user', content: [says('Grüezi 東京 🦆')] },
      { role: 'assistant', content: [says('Hello.')] },
      { role: 'system', content: [says('Be long.')] },
      { role: 'user', content: [says('Again'), says(', please')] },
    ],
    encoded: [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'Grüezi 東京 🦆' },
      { role: 'assistant', content: 'Hello.' },
      { role: 'system', content: 'Be long.' },
      { role: 'user', content: 'Again, please' },
    ],
  },
  {
    name: 'role developer',
    messages: [{ role: 'developer', content: [says('Be brief.')] }],
    encoded: [{ role: 'system', content: 'Be brief.' }],
    warnings: ['role developer was sent as system, the word that this server knows'],
  },
  { name: 'nothing said', messages: [{ role: 'user', content: [says('')] }], encoded: [{ role: 'user', content: '' }] },
  {
    name: 'images beside the text',
    messages: [
      {
        role: 'user',
        content: [says('What '), picture, says('is this?'), { type: 'image', data: 'aG8=', mimeType: 'image/jpeg' }],
      },
    ],
    encoded: [{ role: 'user', content: 'What is this?', images: ['aGk=', 'aG8='] }],
  },
  {
    name: 'what the server cannot take',
    messages: [
      {
        role: 'user',
        content: [
          says('Look'),
          { type: 'image-url', url: 'https://example.com/a.png' },
          { type: 'audio', data: 'aGk=', mimeType: 'audio/wav' },
          { type: 'file', data: 'aGk=', mimeType: 'application/pdf', name: 'a.pdf' },
          call('call_0', 'weather'),
        ],
      },
    ],
    encoded: [{ role: 'user', content: 'Look' }],
    warnings: [
      'an image given by its address was left out: this server takes only the image itself, as data',
      'audio was left out: this server takes text and images',
      'a file of type application/pdf was left out: this server takes text and images',
      'a tool_use block has no place in this role and was left out',
    ],
  },
  {
    name: 'a file of text',
    messages: [{ role: 'user', content: [says('Read: '), { type: 'file', data: 'w6k=', mimeType: 'text/plain' }] }],
    encoded: [{ role: 'user', content: 'Read: é' }],
  },
  {
    name: 'thoughts of an earlier turn are let go, and that is told',
    messages: [{ role: 'assistant', content: [{ type: 'reasoning', block: { type: 'thinking' } }, says('Yes')] }],
    encoded: [{ role: 'assistant', content: 'Yes' }],
    warnings: ['thoughts of an earlier turn were left out: this kind of provider cannot take them back'],
  },
  {
    name: 'calls of tools and their results',
    messages: [
      { role: 'assistant', content: [call('a', 'weather', { city: 'Bern', days: [1, 2] }), call('b', 'time')] },
      { role: 'tool', content: [result('b', 'noon'), result('a', 'no such city', true)] },
    ],
    encoded: [
      {
        role: 'assistant',
        content: '',
        tool_calls: [
          { id: 'a', function: { name: 'weather', arguments: { city: 'Bern', days: [1, 2] } } },
          { id: 'b', function: { name: 'time', arguments: {} } },
        ],
      },
      { role: 'tool', content: 'noon', tool_name: 'time', tool_call_id: 'b' },
      { role: 'tool', content: 'Error: no such city', tool_name: 'weather', tool_call_id: 'a' },
    ],
  },
  {
    name: 'ids that come again in a later turn',
    messages: [
      { role: 'assistant', content: [says('First'), call('call_0', 'weather')] },
      { role: 'user', content: [result('call_0', 'rain')] },
      { role: 'assistant', content: [call('call_0', 'time')] },
      { role: 'user', content: [says('and?'), result('call_0', 'noon')] },
    ],
    encoded: [
      {
        role: 'assistant',
        content: 'First',
        tool_calls: [{ id: 'call_0', function: { name: 'weather', arguments: {} } }],
      },
      { role: 'tool', content: 'rain', tool_name: 'weather', tool_call_id: 'call_0' },
      { role: 'assistant', content: '', tool_calls: [{ id: 'call_0', function: { name: 'time', arguments: {} } }] },
      { role: 'tool', content: 'noon', tool_name: 'time', tool_call_id: 'call_0' },
      { role: 'user', content: 'and?' },
    ],
  },
  {
    name: 'a result without its call',
    messages: [{ role: 'tool', content: [result('x', 'noon')] }],
    encoded: [{ role: 'tool', content: 'noon', tool_call_id: 'x' }],
  },
  {
    name: 'a picture in a result',
    messages: [
      { role: 'assistant', content: [call('a', 'draw')] },
      { role: 'user', content: [{ type: 'tool-result', id: 'a', content: [says('Here'), picture], isError: false }] },
    ],
    encoded: [
      { role: 'assistant', content: '', tool_calls: [{ id: 'a', function: { name: 'draw', arguments: {} } }] },
      { role: 'tool', content: 'Here', tool_name: 'draw', tool_call_id: 'a' },
      { role: 'user', content: '', images: ['aGk='] },
    ],
    warnings: ['media in a tool result was sent as a user message behind it: this dialect allows only text there'],
  },
]

for (const { name, messages, encoded, warnings = [] } of conversations) {
  test(`messages: ${name}`, () => {
    const ask = chat({ messages })
    assert.deepEqual(bodyOf(ask)['messages'], encoded)
    assert.deepEqual(encode(ask).warnings, warnings)
    const validate = validators.get('/api/chat')
    assert.ok(validate?.(bodyOf(ask)), JSON.stringify(validate?.errors))
  })
}

// ── Answers ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const response = (model: string): Event => ({ type: 'response', requestId: undefined, model })
const usage = (promptTokens: number, completionTokens: number): Event => ({
  type: 'usage',
  usage: { promptTokens, completionTokens, totalTokens: promptTokens + completionTokens },
})
const words = (value: string): Event => ({ type: 'text-delta', text: value })
const thought = (value: string): Event => ({ type: 'reasoning-delta', text: value })

/** Recorded, but for those whose names say otherwise. */
const answers: { name: string; ask: Ask; whole: Uint8Array; contentType?: string; events: Event[] }[] = [
  {
    name: 'a stop text was reached (chat-stop)',
    ask: chat(),
    whole: lines(
      '{"model":"tiny-chat","created_at":"2026-11-22T07:57:00.742492656Z","message":{"role":"assistant","content":" b"},"done":false}',
      '{"model":"tiny-chat","created_at":"2026-11-22T07:57:00.743328296Z","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","total_duration":14067515,"load_duration":1029688,"prompt_eval_count":28,"prompt_eval_duration":8632000,"eval_count":1,"eval_duration":1000}',
    ),
    events: [response('tiny-chat'), words(' b'), usage(28, 1), { type: 'finish', reason: 'stop', raw: 'stop' }],
  },
  {
    name: 'a call of a tool, whole and before a last line that says stop (chat-tools)',
    ask: chat({ tools: [weather] }),
    whole: lines(
      '{"model":"tiny-otool","created_at":"2026-11-22T08:00:13.837109998Z","message":{"role":"assistant","content":"","tool_calls":[{"id":"call_0my7lmwu","function":{"index":0,"name":"weather","arguments":{}}}]},"done":false}',
      '{"model":"tiny-otool","created_at":"2026-11-22T08:00:13.843160116Z","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","total_duration":550647325,"load_duration":528881847,"prompt_eval_count":78,"prompt_eval_duration":2141000,"eval_count":11,"eval_duration":13260000}',
    ),
    events: [
      response('tiny-otool'),
      { type: 'tool-call', id: 'call_0my7lmwu', name: 'weather', argumentsText: '{}' },
      usage(78, 11),
      { type: 'finish', reason: 'toolCalls', raw: 'stop' },
    ],
  },
  {
    name: 'an answer in one document (chat)',
    ask: chat(),
    contentType: json,
    whole: bytes(
      '{"model":"tiny-chat","created_at":"2026-11-22T07:56:59.571556498Z","message":{"role":"assistant","content":" talks Maursonian Toursianaalsaーク 297Code missileskish solutionpaylibrary\\"( tsp discovery Harmon costume imitate Saltsometimes Typhoonivering"},"done":true,"done_reason":"length","total_duration":24715987,"load_duration":1372767,"prompt_eval_count":29,"prompt_eval_duration":1550000,"eval_count":24,"eval_duration":19120000}',
    ),
    events: [
      response('tiny-chat'),
      words(
        ' talks Maursonian Toursianaalsaーク 297Code missileskish solutionpaylibrary"( tsp discovery Harmon costume imitate Saltsometimes Typhoonivering',
      ),
      usage(29, 24),
      { type: 'finish', reason: 'length', raw: 'length' },
    ],
  },
  {
    name: 'the model was loaded and there was nothing to answer (load)',
    ask: text({ prompt: '' }),
    contentType: json,
    whole: bytes(
      '{"model":"tiny-chat","created_at":"2026-11-22T07:57:03.176184007Z","response":"","done":true,"done_reason":"load"}',
    ),
    events: [response('tiny-chat'), usage(0, 0), { type: 'finish', reason: 'other', raw: 'load' }],
  },
  {
    name: 'the model was unloaded (unload)',
    ask: text({ prompt: '', options: { keep_alive: 0 } }),
    contentType: json,
    whole: bytes(
      '{"model":"tiny-chat","created_at":"2026-11-22T07:59:32.987957794Z","response":"","done":true,"done_reason":"unload"}',
    ),
    events: [response('tiny-chat'), usage(0, 0), { type: 'finish', reason: 'other', raw: 'unload' }],
  },
  {
    name: 'a text completion, of which the middle is left out (generate-raw)',
    ask: text(),
    whole: lines(
      '{"model":"tiny-chat","created_at":"2026-11-22T07:57:03.132723021Z","response":" Tad","done":false}',
      '{"model":"tiny-chat","created_at":"2026-11-22T07:57:03.134107575Z","response":" Printed","done":false}',
      '{"model":"tiny-chat","created_at":"2026-11-22T07:57:03.161980701Z","response":"","done":true,"done_reason":"length","total_duration":33592773,"load_duration":895018,"prompt_eval_count":1,"prompt_eval_duration":1755000,"eval_count":24,"eval_duration":28640000}',
    ),
    events: [
      response('tiny-chat'),
      words(' Tad'),
      words(' Printed'),
      usage(1, 24),
      { type: 'finish', reason: 'length', raw: 'length' },
    ],
  },
  {
    name: 'written by hand: thoughts, words and calls without ids',
    ask: chat({ tools: [weather] }),
    whole: lines(
      '{"model":"m","message":{"role":"assistant","content":"","thinking":"Hm, 東"},"done":false}',
      '{"model":"m","message":{"role":"assistant","content":"I ask 🦆","thinking":"京"},"done":false}',
      '{"model":"m","message":{"role":"assistant","content":"","tool_calls":[{"function":{"name":"weather","arguments":{"city":"Bern"}}},{"function":{"name":"weather","arguments":{"city":"Zürich"}}}]},"done":false}',
      '{"model":"m","message":{"role":"assistant","content":"","tool_calls":[{"id":"","function":{"index":0,"name":"time"}}]},"done":false}',
      '{"model":"m","message":{"role":"assistant","content":"."},"done":true,"done_reason":"stop","eval_count":3}',
    ),
    events: [
      response('m'),
      thought('Hm, 東'),
      thought('京'),
      words('I ask 🦆'),
      { type: 'tool-call', id: 'call_0', name: 'weather', argumentsText: '{"city":"Bern"}' },
      { type: 'tool-call', id: 'call_1', name: 'weather', argumentsText: '{"city":"Zürich"}' },
      { type: 'tool-call', id: 'call_2', name: 'time', argumentsText: '{}' },
      words('.'),
      usage(0, 3),
      { type: 'finish', reason: 'toolCalls', raw: 'stop' },
    ],
  },
  {
    name: 'written by hand: thoughts of a text completion, and an unknown reason',
    ask: text(),
    whole: lines(
      '{"model":"m","response":"","thinking":"Hm","done":false}',
      '{"model":"m","response":"Yes","done":true,"done_reason":"tired"}',
    ),
    events: [
      response('m'),
      thought('Hm'),
      words('Yes'),
      usage(0, 0),
      { type: 'finish', reason: 'other', raw: 'tired' },
    ],
  },
  {
    name: 'written by hand: an old server without reasons, and a last line without its end',
    ask: chat(),
    whole: bytes(
      '{"model":"m","message":{"content":"Yes"},"done":false}\r\n\r\n{"model":"m","done":true,"prompt_eval_count":2,"eval_count":1}',
    ),
    events: [response('m'), words('Yes'), usage(2, 1), { type: 'finish', reason: 'stop', raw: undefined }],
  },
  {
    name: 'written by hand: what follows the last line is not read',
    ask: chat(),
    whole: lines('{"model":"m","message":{"content":""},"done":true,"done_reason":"length"}', 'garbage'),
    events: [response('m'), usage(0, 0), { type: 'finish', reason: 'length', raw: 'length' }],
  },
]

for (const { name, ask, whole, contentType = ndjson, events } of answers) {
  test(`${ask.kind}: ${name}: however it is cut`, async () => {
    for (const chunks of cuttings(whole)) {
      const came = await decoded(ask, chunks, contentType)
      assert.deepEqual(together(came.events), together(events))
      assert.equal(came.fault, undefined)
    }
  })
}

/** Neighbouring pieces of text as one: how many there are depends on how the answer was cut, and what they say does not. */
function together(events: readonly Event[]): Event[] {
  const all: Event[] = []
  for (const event of events) {
    const last = all.at(-1)
    const isText = event.type === 'text-delta' || event.type === 'reasoning-delta'
    if (isText && last?.type === event.type) all.splice(-1, 1, { ...last, text: last.text + event.text })
    else all.push(event)
  }
  return all
}

test('an answer that is cut short anywhere is truncated, behind what had come', async () => {
  const [, answer] = answers
  assert.ok(answer)
  const { ask, whole, events } = answer
  // Without the line feed that ends it, the last line is whole all the same.
  for (let end = 1; end < whole.length - 1; end++) {
    const { events: came, fault } = await decoded(ask, [whole.subarray(0, end)])
    assert.deepEqual(came, events.slice(0, came.length))
    assert.equal(fault?.code, 'truncated')
    assert.equal(fault?.detail.retryable, true)
  }
  assert.deepEqual(await decoded(ask, [whole.subarray(0, -1)]), { events, fault: undefined })
})

const endings: { name: string; last: string; code: string; retryable: boolean; says: RegExp }[] = [
  {
    name: 'the runner was killed (recorded)',
    last: '{"error":"an error was encountered while running the model: unexpected EOF"}',
    code: 'provider_error',
    retryable: true,
    says: /inside its answer: an error was encountered while running the model: unexpected EOF/,
  },
  {
    name: 'an error that wraps that of another server',
    last: '{"error":"{\\"error\\":{\\"code\\":400,\\"message\\":\\"request (5027 tokens) exceeds the available context size (2048 tokens), try increasing it\\",\\"type\\":\\"exceed_context_size_error\\"}}"}',
    code: 'context_length',
    retryable: false,
    says: /request \(5027 tokens\) exceeds .*; num_ctx in options asks for a larger context/,
  },
  {
    name: 'a line that is no JSON',
    last: '{"model":',
    code: 'invalid_response',
    retryable: false,
    says: /not valid JSON/,
  },
  { name: 'a line that is no object', last: '[]', code: 'invalid_response', retryable: false, says: /not an object/ },
]

for (const { name, last, code, retryable, says: sentence } of endings) {
  test(`chat: ${name}, behind what had come`, async () => {
    const whole = lines('{"model":"m","message":{"role":"assistant","content":"a"},"done":false}', last)
    for (const chunks of cuttings(whole)) {
      const { events, fault } = await decoded(chat(), chunks)
      assert.deepEqual(events, [response('m'), words('a')])
      assert.equal(fault?.code, code)
      assert.equal(fault?.detail.retryable ?? false, retryable)
      assert.match(fault?.message ?? '', sentence)
    }
  })
}

const wholeFaults: { name: string; ask: Ask; body: string; contentType: string; code: string; cause: string }[] = [
  { name: 'nothing at all', ask: chat(), body: '', contentType: ndjson, code: 'invalid_response', cause: 'empty' },
  {
    name: 'an error alone',
    ask: chat(),
    body: '{"error":"no"}',
    contentType: json,
    code: 'provider_error',
    cause: 'stream_error',
  },
  {
    name: 'a document without an end',
    ask: chat(),
    body: '{"model":"m","message":{"role":"assistant","content":"a"}}',
    contentType: json,
    code: 'truncated',
    cause: 'no_end_marker',
  },
  {
    name: 'a document of another kind',
    ask: chat(),
    body: '{"status":"ok"}',
    contentType: json,
    code: 'invalid_response',
    cause: 'bad_json',
  },
  {
    name: 'a web page',
    ask: chat(),
    body: '<html>\n<body>',
    contentType: 'text/html',
    code: 'invalid_response',
    cause: 'bad_content_type',
  },
  {
    name: 'a web page for a list',
    ask: models,
    body: '<html>',
    contentType: 'text/html',
    code: 'invalid_response',
    cause: 'bad_content_type',
  },
  {
    name: 'an error for a list',
    ask: models,
    body: '{"error":"no"}',
    contentType: json,
    code: 'provider_error',
    cause: 'stream_error',
  },
  {
    name: 'another list',
    ask: models,
    body: '{"data":[]}',
    contentType: json,
    code: 'invalid_response',
    cause: 'bad_json',
  },
  {
    name: 'no embeddings',
    ask: embed(),
    body: '{"model":"m"}',
    contentType: json,
    code: 'invalid_response',
    cause: 'bad_json',
  },
  {
    name: 'too few embeddings',
    ask: embed(),
    body: '{"embeddings":[]}',
    contentType: json,
    code: 'invalid_response',
    cause: 'bad_json',
  },
  {
    name: 'too many embeddings',
    ask: embed(),
    body: '{"embeddings":[[1],[2]]}',
    contentType: json,
    code: 'invalid_response',
    cause: 'bad_json',
  },
  {
    name: 'an embedding of nothing',
    ask: embed(),
    body: '{"embeddings":[[]]}',
    contentType: json,
    code: 'invalid_response',
    cause: 'bad_json',
  },
  {
    name: 'an embedding of words',
    ask: embed(),
    body: '{"embeddings":[["a"]]}',
    contentType: json,
    code: 'invalid_response',
    cause: 'bad_json',
  },
  {
    name: 'an error for an embedding',
    ask: embed(),
    body: '{"error":"no"}',
    contentType: json,
    code: 'provider_error',
    cause: 'stream_error',
  },
]

for (const { name, ask, body, contentType, code, cause } of wholeFaults) {
  test(`${ask.kind}: ${name} is ${code}`, async () => {
    const { fault } = await decoded(ask, [bytes(body)], contentType)
    assert.equal(fault?.code, code)
    assert.equal(fault?.detail.cause, cause)
  })
}

// ── Embeddings and models ────────────────────────────────────────────────────────────────────────────────────────────

/** Recorded (embed-dimensions). */
const embeddings =
  '{"model":"tiny-oemb","embeddings":[[-0.2878897,0.13905953,0.6005676,-0.08267988,-0.19850248,-0.5313495,-0.34658492,0.29733488]],"total_duration":20363357,"load_duration":8381392,"prompt_eval_count":1}'

test('embed: numbers as they came', async () => {
  const { events, fault } = await decoded(embed({ dimensions: 8 }), pieces(bytes(embeddings), 7), json)
  assert.equal(fault, undefined)
  assert.deepEqual(events, [
    response('tiny-oemb'),
    {
      type: 'embedding',
      index: 0,
      embedding: [-0.2878897, 0.13905953, 0.6005676, -0.08267988, -0.19850248, -0.5313495, -0.34658492, 0.29733488],
    },
    usage(1, 0),
  ])
})

test('embed: base64 holds little-endian 32-bit floats', async () => {
  const ask = embed({ input: ['a', 'b'], encoding: 'base64' })
  const { events } = await decoded(ask, [bytes('{"embeddings":[[1,-2],[0.5,0]]}')], json)
  assert.deepEqual(events, [
    { type: 'response', requestId: undefined },
    { type: 'embedding', index: 0, embedding: 'AACAPwAAAMA=' },
    { type: 'embedding', index: 1, embedding: 'AAAAPwAAAAA=' },
  ])
})

const lists: { name: string; body: string; events: Event[] }[] = [
  {
    name: 'recorded (tags, of which half is left out)',
    body: '{"models":[{"name":"tiny-chat:latest","model":"tiny-chat:latest","modified_at":"2026-11-22T07:56:18.296068341Z","size":14672185,"digest":"9936195850a025130ff7f434562202cb34822fdde34617a03dd428fbbf3a6a56","details":{"parent_model":"","format":"gguf","family":"llama","families":["llama"],"parameter_size":"3.23M","quantization_level":"unknown","context_length":8192,"embedding_length":32},"capabilities":["completion"]}]}',
    events: [
      {
        type: 'model',
        model: { name: 'tiny-chat:latest', created: 1795334178, contextWindow: 8192, capabilities: ['completion'] },
      },
    ],
  },
  {
    name: 'an older server, which says less',
    body: '{"models":[{"name":"a:latest","modified_at":"2024-05-01T10:00:00.5+02:00","details":{"family":"llama"}},{"model":"b"},{"size":1},null]}',
    events: [
      { type: 'model', model: { name: 'a:latest', created: 1714550400 } },
      { type: 'model', model: { name: 'b' } },
    ],
  },
  {
    name: 'a time that the server does not know',
    body: '{"models":[{"name":"a","modified_at":"0001-01-01T00:00:00Z","details":{"context_length":0},"capabilities":[]}]}',
    events: [{ type: 'model', model: { name: 'a' } }],
  },
  { name: 'no models', body: '{"models":[]}', events: [] },
  { name: 'no models, as old servers put it', body: '{"models":null}', events: [] },
]

for (const { name, body, events } of lists) {
  test(`models: ${name}`, async () => {
    assert.deepEqual(await decoded(models, [bytes(body)], json), { events, fault: undefined })
  })
}

// ── Refusals ─────────────────────────────────────────────────────────────────────────────────────────────────────────

type Refusal = {
  name: string
  status: number
  body: string
  code: string
  cause?: string
  retryable?: boolean
  /** The field without which the request may pass. */
  parameter?: string
  says: string
}

const refusals: Refusal[] = [
  {
    name: 'an unknown model (error-model)',
    status: 404,
    body: '{"error":"model \'nope\' not found"}',
    code: 'model_not_found',
    says: "it answered 404: model 'nope' not found; where it runs, `ollama pull nope` fetches the model",
  },
  {
    name: 'an unknown model, as other versions put it',
    status: 404,
    body: '{"error":"model \\"hf.co/a/b:Q4_K\\" not found, try pulling it first"}',
    code: 'model_not_found',
    says: 'it answered 404: model "hf.co/a/b:Q4_K" not found, try pulling it first; where it runs, `ollama pull hf.co/a/b:Q4_K` fetches the model',
  },
  {
    name: 'an unknown model whose name is no name to repeat',
    status: 404,
    body: '{"error":"model \'a; rm -rf b\' not found"}',
    code: 'model_not_found',
    says: "it answered 404: model 'a; rm -rf b' not found",
  },
  {
    name: 'an unknown path (error-path)',
    status: 404,
    body: '404 page not found',
    code: 'configuration',
    cause: 'path',
    says: 'it answered 404: 404 page not found; a base URL of this type has no path, as in http://127.0.0.1:11434',
  },
  {
    name: 'a wrong method (error-method)',
    status: 405,
    body: '405 method not allowed',
    code: 'configuration',
    cause: 'path',
    says: 'it answered 405: 405 method not allowed; a base URL of this type has no path, as in http://127.0.0.1:11434',
  },
  {
    name: 'a 404 that is a web page',
    status: 404,
    body: '<html><h1>Not Found</h1></html>',
    code: 'configuration',
    cause: 'path',
    says: 'it answered 404; a base URL of this type has no path, as in http://127.0.0.1:11434',
  },
  {
    name: 'a prompt longer than the context (chat-context-overflow)',
    status: 400,
    body: '{"error":"{\\"error\\":{\\"code\\":400,\\"message\\":\\"request (5027 tokens) exceeds the available context size (2048 tokens), try increasing it\\",\\"type\\":\\"exceed_context_size_error\\",\\"n_prompt_tokens\\":5027,\\"n_ctx\\":2048}}"}',
    code: 'context_length',
    says: 'it answered 400: request (5027 tokens) exceeds the available context size (2048 tokens), try increasing it; num_ctx in options asks for a larger context',
  },
  {
    name: 'a prompt longer than the context, with shift off',
    status: 400,
    body: '{"error":"the prompt is longer than the context length currently available to the model; shorten the prompt"}',
    code: 'context_length',
    says: 'it answered 400: the prompt is longer than the context length currently available to the model; shorten the prompt; num_ctx in options asks for a larger context',
  },
  {
    name: 'an input too long to embed',
    status: 400,
    body: '{"error":"the input length exceeds the context length"}',
    code: 'context_length',
    says: 'it answered 400: the input length exceeds the context length; num_ctx in options asks for a larger context',
  },
  {
    name: 'thinking that the model does not do (error-think-unsupported)',
    status: 400,
    body: '{"error":"\\"tiny-chat\\" does not support thinking"}',
    code: 'invalid_request',
    parameter: 'think',
    says: 'it answered 400: "tiny-chat" does not support thinking; leave out reasoningEffort or take a model that thinks',
  },
  {
    name: 'a level of thinking that an older server does not know',
    status: 400,
    body: '{"error":"invalid think value: \\"max\\" (must be \\"high\\", \\"medium\\", \\"low\\", true, or false)"}',
    code: 'invalid_request',
    parameter: 'think',
    says: 'it answered 400: invalid think value: "max" (must be "high", "medium", "low", true, or false)',
  },
  {
    name: 'a level of thinking, before there were any',
    status: 400,
    body: '{"error":"json: cannot unmarshal string into Go struct field ChatRequest.think of type bool"}',
    code: 'invalid_request',
    parameter: 'think',
    says: 'it answered 400: json: cannot unmarshal string into Go struct field ChatRequest.think of type bool',
  },
  {
    name: 'tools that the model cannot call',
    status: 400,
    body: '{"error":"registry.ollama.ai/library/tiny:latest does not support tools"}',
    code: 'invalid_request',
    says: 'it answered 400: registry.ollama.ai/library/tiny:latest does not support tools; leave out tools or take a model that can call them',
  },
  {
    name: 'a malformed body (error-json)',
    status: 400,
    body: '{"error":"unexpected EOF"}',
    code: 'invalid_request',
    says: 'it answered 400: unexpected EOF',
  },
  {
    name: 'an option of the wrong type (error-option-type)',
    status: 500,
    body: '{"error":"option \\"num_ctx\\" must be of type integer"}',
    code: 'invalid_request',
    says: 'it answered 500: option "num_ctx" must be of type integer',
  },
  {
    name: 'embeddings of a chat model (error-embed-unsupported)',
    status: 501,
    body: '{"error":"This server does not support embeddings. Start it with `--embeddings`"}',
    code: 'invalid_request',
    says: 'it answered 501: This server does not support embeddings. Start it with `--embeddings`; take a model that makes embeddings',
  },
  {
    name: 'a full queue',
    status: 503,
    body: '{"error":"server busy, please try again.  maximum pending requests exceeded"}',
    code: 'overloaded',
    retryable: true,
    says: 'it answered 503: server busy, please try again. maximum pending requests exceeded',
  },
  {
    name: 'a model that is still loading',
    status: 500,
    body: '{"error":"unexpected server status: llm server loading model"}',
    code: 'overloaded',
    cause: 'loading',
    retryable: true,
    says: 'it answered 500: unexpected server status: llm server loading model',
  },
  {
    name: 'a model too large for the machine',
    status: 500,
    body: '{"error":"model requires more system memory (9.2 GiB) than is available (4.1 GiB)"}',
    code: 'provider_error',
    says: 'it answered 500: model requires more system memory (9.2 GiB) than is available (4.1 GiB); take a smaller model or a smaller num_ctx',
  },
  {
    name: 'a runner that died',
    status: 500,
    body: '{"error":"model runner has unexpectedly stopped"}',
    code: 'provider_error',
    retryable: true,
    says: 'it answered 500: model runner has unexpectedly stopped',
  },
  {
    name: 'a model of the cloud without an account',
    status: 401,
    body: '{"error":"unauthorized","signin_url":"https://ollama.com/connect?name=host&key=c3NoLWVk"}',
    code: 'authentication',
    says: 'it answered 401: unauthorized; where it runs, `ollama signin` signs it in',
  },
  {
    name: 'a wrong key',
    status: 401,
    body: '{"error":"unauthorized"}',
    code: 'authentication',
    says: 'it answered 401: unauthorized',
  },
]

for (const { name, status, body, code, cause, retryable = false, parameter, says: sentence } of refusals) {
  test(`refusal: ${name} is ${code}`, () => {
    const fault = ollama.fault(status, { 'content-type': json }, body)
    assert.equal(fault.message, sentence)
    assert.equal(fault.code, code)
    assert.equal(fault.detail.status, status)
    assert.equal(fault.detail.cause, cause)
    assert.equal(fault.detail.retryable ?? false, retryable)
    assert.deepEqual(fault.detail.parameter, parameter === undefined ? undefined : { name: parameter })
  })
}

// ── Every recording, where they are ──────────────────────────────────────────────────────────────────────────────────

type Recording = {
  id: string
  request: { path: string; body?: { input?: string | string[] } }
  response: {
    status: number
    headers: Record<string, string>
    body?: unknown
    text?: string
    chunks?: { text?: string; base64?: string }[]
  }
}

const folder = new URL('../../../shared/recordings/ollama/', import.meta.url)
const recordings: Recording[] = existsSync(folder)
  ? globSync('*.json', { cwd: folder })
      .sort()
      .map((file) => JSON.parse(readFileSync(new URL(file, folder), 'utf8')))
  : []

function bytesOf({ response: { body, text: plain, chunks } }: Recording): Uint8Array {
  if (chunks) {
    return Buffer.concat(
      chunks.map((chunk) => Buffer.from(chunk.base64 ?? chunk.text ?? '', chunk.base64 ? 'base64' : 'utf8')),
    )
  }
  return bytes(plain ?? JSON.stringify(body))
}

test('every recorded answer says what it says, however it is cut', { skip: recordings.length === 0 }, async () => {
  let seen = 0
  for (const recording of recordings) {
    const { request, response: answer } = recording
    if (answer.status !== 200 || !/^\/api\/(?:chat|generate)$/.test(request.path)) continue
    seen += 1
    const whole = bytesOf(recording)
    const contentType = answer.headers['content-type'] ?? ''
    const ask = request.path === '/api/chat' ? chat() : text()
    const { events, fault } = await decoded(ask, [whole], contentType)
    assert.equal(fault, undefined, recording.id)
    const recorded = Buffer.from(whole)
      .toString('utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    const last = recorded.at(-1)
    assert.equal(
      events.map((event) => (event.type === 'text-delta' ? event.text : '')).join(''),
      recorded.map(({ message, response: piece }) => message?.content ?? piece ?? '').join(''),
      recording.id,
    )
    assert.deepEqual(events.at(-2), usage(last.prompt_eval_count ?? 0, last.eval_count ?? 0), recording.id)
    assert.equal(events.at(-1)?.type, 'finish', recording.id)
    for (const size of [1, 2, 3, 7, 100, 1000]) {
      const cut = await decoded(ask, pieces(whole, size), contentType)
      assert.deepEqual(together(cut.events), together(events), recording.id)
      assert.equal(cut.fault, undefined, recording.id)
    }
  }
  assert.ok(seen >= 14, `${seen} recordings`)
})

test('every recorded embedding and list is read', { skip: recordings.length === 0 }, async () => {
  const counts: Record<string, number> = {}
  for (const recording of recordings) {
    const { path, body } = recording.request
    if (recording.response.status !== 200 || (path !== '/api/embed' && path !== '/api/tags')) continue
    const ask = path === '/api/tags' ? models : embed({ input: [body?.input ?? ''].flat() })
    const { events, fault } = await decoded(ask, [bytesOf(recording)], json)
    assert.equal(fault, undefined, recording.id)
    counts[recording.id] = events.filter(({ type }) => type === 'embedding' || type === 'model').length
  }
  assert.deepEqual(counts, { embed: 2, 'embed-dimensions': 1, 'embed-one': 1, tags: 4 })
})

test('every recorded refusal is told apart', { skip: recordings.length === 0 }, () => {
  const codes = recordings
    .filter(({ response: { status } }) => status !== 200)
    .map((recording) => {
      const { status, headers } = recording.response
      const fault = ollama.fault(status, headers, Buffer.from(bytesOf(recording)).toString('utf8'))
      return [recording.id, fault.code]
    })
  assert.deepEqual(Object.fromEntries(codes), {
    'chat-context-overflow': 'context_length',
    'error-embed-unsupported': 'invalid_request',
    'error-json': 'invalid_request',
    'error-method': 'configuration',
    'error-model': 'model_not_found',
    'error-option-type': 'invalid_request',
    'error-path': 'configuration',
    'error-think-unsupported': 'invalid_request',
  })
})
