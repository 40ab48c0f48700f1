import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { type TestContext, test } from 'node:test'
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import { Fault } from '../../src/errors.ts'
import type { ChatAsk, ChatMessage, Part } from '../../src/gateway.ts'
import type { EncodedRequest, Target } from '../../src/provider.ts'
import { openai, openaiAlike } from '../../src/providers/openai.ts'

/** What is sent in the dialect of OpenAI's chat completions; every body is held against the published schema. */

type Json = Record<string, unknown>

const hosted: Target = { provider: 'openai', model: 'gpt-4o', baseUrl: 'https://api.openai.com/v1', headers: {} }
const elsewhere: Target = { provider: 'mine', model: 'tiny', baseUrl: 'https://llm.example.com/v1', headers: {} }

const say = (text: string): ChatMessage[] => [{ role: 'user', content: [{ type: 'text', text }] }]
const chatAsk = (more: Partial<ChatAsk> = {}): ChatAsk => ({ kind: 'chat', messages: say('hi'), ...more })

function encodeChat(ask: ChatAsk, target: Target): EncodedRequest {
  return openaiAlike.chat.encode(ask, target)
}

/** The body as it goes over the wire. */
const bodyOf = (encoded: EncodedRequest): Json => JSON.parse(JSON.stringify(encoded.json))

const schemaFile = new URL('../../../shared/schemas/openai-openapi.json', import.meta.url)
const validators = new Map<string, ValidateFunction>()

/** OpenAPI 3.0's `nullable`, as JSON Schema says it. */
function folded(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(folded)
  if (typeof value !== 'object' || value === null) return value
  const { nullable, ...rest } = Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, folded(inner)]))
  if (nullable !== true) return nullable === undefined ? rest : { ...rest, nullable }
  if (typeof rest['type'] === 'string') return { ...rest, type: [rest['type'], 'null'] }
  return { anyOf: [rest, { type: 'null' }] }
}

function assertValid(t: TestContext, schema: string, body: unknown): void {
  if (!existsSync(schemaFile))
    return t.diagnostic('skipped the check against the schema: ../shared/schemas is not here')
  let validate = validators.get(schema)
  if (!validate) {
    const ajv = new Ajv2020({ strict: false, validateFormats: false, logger: false })
    ajv.addSchema(folded(JSON.parse(readFileSync(schemaFile, 'utf8'))) as Json, 'openai')
    validate = ajv.compile({ $ref: `openai#/components/schemas/${schema}` })
    validators.set(schema, validate)
  }
  assert.ok(validate(body), JSON.stringify(validate.errors?.slice(0, 5)))
}

const png = 'iVBORw0KGgo='
const text = (words: string): Part => ({ type: 'text', text: words })
const image: Part = { type: 'image', data: png, mimeType: 'image/png' }
const use = (id: string, args: Json = {}): Part => ({ type: 'tool-use', id, name: 'f', arguments: args })
const result = (id: string, content: Part[], isError = false): Part => ({ type: 'tool-result', id, content, isError })

const messageCases: { name: string; messages: ChatMessage[]; sent: unknown[]; warns?: RegExp }[] = [
  {
    name: 'text stays a plain string',
    messages: [
      { role: 'system', content: [text('be brief')] },
      { role: 'user', content: [text('a'), text('b')] },
      { role: 'assistant', content: [text('c')] },
    ],
    sent: [
      { role: 'system', content: 'be brief' },
      { role: 'user', content: 'ab' },
      { role: 'assistant', content: 'c' },
    ],
  },
  {
    name: 'an image is a data URL, an address stays one',
    messages: [
      { role: 'user', content: [text('what?'), image, { type: 'image-url', url: 'https://example.com/a.png' }] },
    ],
    sent: [
      {
        role: 'user',
        content: [
          { type: 'text', text: 'what?' },
          { type: 'image_url', image_url: { url: `data:image/png;base64,${png}` } },
          { type: 'image_url', image_url: { url: 'https://example.com/a.png' } },
        ],
      },
    ],
  },
  {
    name: 'audio by its format',
    messages: [
      {
        role: 'user',
        content: [
          'audio/wav',
          'audio/x-wav',
          'audio/wave',
          'audio/vnd.wave',
          'audio/mpeg',
          'audio/mp3',
          'AUDIO/MPEG',
        ].map((mimeType): Part => ({ type: 'audio', data: 'UklGRg==', mimeType })),
      },
    ],
    sent: [
      {
        role: 'user',
        content: ['wav', 'wav', 'wav', 'wav', 'mp3', 'mp3', 'mp3'].map((format) => ({
          type: 'input_audio',
          input_audio: { data: 'UklGRg==', format },
        })),
      },
    ],
  },
  {
    name: 'a file with and without a name',
    messages: [
      {
        role: 'user',
        content: [
          { type: 'file', data: 'JVBERg==', mimeType: 'application/pdf', name: 'a.pdf' },
          { type: 'file', data: 'JVBERg==', mimeType: 'application/pdf' },
        ],
      },
    ],
    sent: [
      {
        role: 'user',
        content: ['a.pdf', 'file'].map((filename) => ({
          type: 'file',
          file: { filename, file_data: 'data:application/pdf;base64,JVBERg==' },
        })),
      },
    ],
  },
  {
    name: 'calls of tools, with and without words; arguments are JSON text, {} for none',
    messages: [
      { role: 'assistant', content: [use('c1', { city: 'Rome' }), use('c2')] },
      { role: 'assistant', content: [text('I look'), use('c3')] },
    ],
    sent: [
      {
        role: 'assistant',
        content: null,
        tool_calls: [
          { id: 'c1', type: 'function', function: { name: 'f', arguments: '{"city":"Rome"}' } },
          { id: 'c2', type: 'function', function: { name: 'f', arguments: '{}' } },
        ],
      },
      {
        role: 'assistant',
        content: 'I look',
        tool_calls: [{ id: 'c3', type: 'function', function: { name: 'f', arguments: '{}' } }],
      },
    ],
  },
  {
    name: 'results of tools are messages of their own, and come before the words beside them',
    messages: [
      {
        role: 'user',
        content: [text('and now?'), result('c2', [text('2')]), result('c1', [text('1'), text('!')], true)],
      },
    ],
    sent: [
      { role: 'tool', tool_call_id: 'c2', content: '2' },
      { role: 'tool', tool_call_id: 'c1', content: 'Error: 1!' },
      { role: 'user', content: 'and now?' },
    ],
  },
  {
    name: 'a result alone brings no empty message along',
    messages: [{ role: 'tool', content: [result('c1', [])] }],
    sent: [{ role: 'tool', tool_call_id: 'c1', content: '' }],
  },
  {
    name: 'a picture in a result follows as the user’s, because a result holds only text here',
    messages: [{ role: 'tool', content: [result('c1', [text('see'), image])] }],
    sent: [
      { role: 'tool', tool_call_id: 'c1', content: 'see' },
      { role: 'user', content: [{ type: 'image_url', image_url: { url: `data:image/png;base64,${png}` } }] },
    ],
    warns: /tool result/,
  },
  {
    name: 'an assistant that said nothing',
    messages: [{ role: 'assistant', content: [text('')] }],
    sent: [{ role: 'assistant', content: '' }],
  },
  {
    name: 'a call in a user’s message is left out, and told',
    messages: [{ role: 'user', content: [text('a'), image, use('c1')] }],
    sent: [
      {
        role: 'user',
        content: [
          { type: 'text', text: 'a' },
          { type: 'image_url', image_url: { url: `data:image/png;base64,${png}` } },
        ],
      },
    ],
    warns: /tool_use/,
  },
  {
    name: 'a picture in an assistant’s message is left out, and told',
    messages: [{ role: 'assistant', content: [text('here'), image] }],
    sent: [{ role: 'assistant', content: 'here' }],
    warns: /image/,
  },
]

for (const { name, messages, sent, warns } of messageCases) {
  test(`messages: ${name}`, (t) => {
    const encoded = encodeChat(chatAsk({ messages }), elsewhere)
    const body = bodyOf(encoded)
    assert.deepEqual(body['messages'], sent)
    assertValid(t, 'CreateChatCompletionRequest', body)
    if (warns) assert.match(encoded.warnings.join('\n'), warns)
    else assert.deepEqual(encoded.warnings, [])
  })
}

test('a message of which nothing is left is not sent as an empty list', (t) => {
  const body = bodyOf(
    encodeChat(chatAsk({ messages: [...say('a'), { role: 'user', content: [use('c1')] }] }), elsewhere),
  )
  assertValid(t, 'CreateChatCompletionRequest', body)
})

const developers: [string, string, number][] = [
  ['gpt-5', 'developer', 0],
  ['o3-mini', 'developer', 0],
  ['openai/gpt-5-mini', 'developer', 0],
  ['gpt-4o', 'system', 1],
  ['gpt-oss-120b', 'system', 1],
  ['qwen3:8b', 'system', 1],
]
for (const [model, role, warnings] of developers) {
  test(`role developer goes to ${model} as ${role}`, (t) => {
    const messages: ChatMessage[] = [{ role: 'developer', content: [text('be brief')] }, ...say('hi')]
    const encoded = encodeChat(chatAsk({ messages }), { ...elsewhere, model })
    const body = bodyOf(encoded)
    assert.deepEqual(body['messages'], [
      { role, content: 'be brief' },
      { role: 'user', content: 'hi' },
    ])
    assert.equal(encoded.warnings.length, warnings)
    assertValid(t, 'CreateChatCompletionRequest', body)
  })
}

test('the plainest ask is the plainest body, streamed and with its usage', (t) => {
  const encoded = encodeChat(chatAsk(), elsewhere)
  assert.equal(encoded.method, 'POST')
  assert.equal(encoded.url, 'https://llm.example.com/v1/chat/completions')
  const body = bodyOf(encoded)
  assert.deepEqual(body, {
    model: 'tiny',
    messages: [{ role: 'user', content: 'hi' }],
    stream: true,
    stream_options: { include_usage: true },
  })
  assertValid(t, 'CreateChatCompletionRequest', body)
})

test('the key travels as a bearer token and is no part of the request', () => {
  assert.deepEqual(openai.authorize('sk-1'), { authorization: 'Bearer sk-1' })
  assert.doesNotMatch(JSON.stringify(encodeChat(chatAsk(), hosted)), /authorization/i)
})

test('sampling, tools, choice and schema by the names of this dialect', (t) => {
  const inputSchema = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] }
  const responseSchema = { type: 'object', properties: { a: { type: 'number' } }, required: ['a'] }
  const encoded = encodeChat(
    chatAsk({
      maxTokens: 5,
      temperature: 0,
      topP: 0.5,
      stop: ['x', '\n'],
      seed: 7,
      responseSchema,
      tools: [
        { name: 'weather', description: 'Weather of a city', inputSchema },
        { name: 'noop', inputSchema: { type: 'object' } },
      ],
      toolChoice: 'weather',
    }),
    elsewhere,
  )
  const body = bodyOf(encoded)
  assert.deepEqual(body, {
    model: 'tiny',
    messages: [{ role: 'user', content: 'hi' }],
    max_tokens: 5,
    temperature: 0,
    top_p: 0.5,
    stop: ['x', '\n'],
    seed: 7,
    response_format: { type: 'json_schema', json_schema: { name: 'response', schema: responseSchema } },
    tools: [
      { type: 'function', function: { name: 'weather', description: 'Weather of a city', parameters: inputSchema } },
      { type: 'function', function: { name: 'noop', parameters: { type: 'object' } } },
    ],
    tool_choice: { type: 'function', function: { name: 'weather' } },
    stream: true,
    stream_options: { include_usage: true },
  })
  assert.deepEqual(encoded.warnings, [])
  assertValid(t, 'CreateChatCompletionRequest', body)
})

for (const toolChoice of ['auto', 'none', 'required']) {
  test(`tool choice ${toolChoice} is a word`, (t) => {
    const body = bodyOf(
      encodeChat(chatAsk({ tools: [{ name: 'f', inputSchema: { type: 'object' } }], toolChoice }), elsewhere),
    )
    assert.equal(body['tool_choice'], toolChoice)
    assertValid(t, 'CreateChatCompletionRequest', body)
  })
}

test('empty lists are as good as none: servers refuse them', (t) => {
  const body = bodyOf(encodeChat(chatAsk({ stop: [], tools: [], toolChoice: 'auto' }), elsewhere))
  assert.equal(Object.hasOwn(body, 'tools'), false)
  assert.equal(Object.hasOwn(body, 'tool_choice'), false)
  assert.equal(Object.hasOwn(body, 'stop'), false)
  assertValid(t, 'CreateChatCompletionRequest', body)
})

for (const name of ['', 'a.b', 'a b', 'a/b', 'é', 'x'.repeat(65)]) {
  test(`a tool named ${JSON.stringify(name).slice(0, 12)} is refused here rather than there`, () => {
    const ask = chatAsk({ tools: [{ name, inputSchema: { type: 'object' } }] })
    assert.throws(
      () => encodeChat(ask, elsewhere),
      (error) => error instanceof Fault && error.code === 'invalid_request',
    )
  })
}

test('options go through untouched and have the last word', (t) => {
  const encoded = encodeChat(
    chatAsk({
      temperature: 1,
      maxTokens: 10,
      options: { temperature: 0.2, logit_bias: { 50256: -100 }, metadata: { a: 'b' }, parallel_tool_calls: false },
    }),
    elsewhere,
  )
  const body = bodyOf(encoded)
  assert.equal(body['temperature'], 0.2)
  assert.equal(body['max_tokens'], 10)
  assert.deepEqual(body['logit_bias'], { 50256: -100 })
  assert.deepEqual(body['metadata'], { a: 'b' })
  assert.equal(body['parallel_tool_calls'], false)
  assertValid(t, 'CreateChatCompletionRequest', body)
})

// Whether a model reasons when an effort is not given, is "none", and is "low": then it refuses temperature and the like.
const families: [string, { unset: boolean; none: boolean; low: boolean }][] = [
  ...['o1', 'o1-2024-12-17', 'o3', 'o3-mini', 'o3-2025-04-16', 'o4-mini', 'openai/o4-mini'].map(
    (model): [string, { unset: boolean; none: boolean; low: boolean }] => [
      model,
      { unset: true, none: true, low: true },
    ],
  ),
  ...[
    'gpt-5',
    'gpt-5-mini',
    'gpt-5-nano',
    'gpt-5-2025-08-07',
    'gpt-5-mini-2025-08-07',
    'openai/gpt-5-mini',
    'openrouter/openai/gpt-5-mini',
    'GPT-5',
    'gpt-5-codex',
    'gpt-5.1-chat-latest',
    'gpt-5.2-chat-latest',
    'gpt-5.3-chat-latest',
    'gpt-5.1-codex',
    'gpt-5.1-codex-max',
    'gpt-5.2-pro',
    'gpt-5.4-pro',
    'gpt-5.5-pro',
  ].map((model): [string, { unset: boolean; none: boolean; low: boolean }] => [
    model,
    { unset: true, none: true, low: true },
  ]),
  ...['gpt-5.1', 'gpt-5.1-2025-11-13', 'gpt-5.2', 'gpt-5.3', 'gpt-5.4', 'gpt-5.4-mini', 'openai/gpt-5.2'].map(
    (model): [string, { unset: boolean; none: boolean; low: boolean }] => [
      model,
      { unset: false, none: false, low: true },
    ],
  ),
  ...['gpt-5.5', 'gpt-5.5-2026-05-01', 'gpt-5.6-sol', 'openai/gpt-5.6-luna'].map(
    (model): [string, { unset: boolean; none: boolean; low: boolean }] => [
      model,
      { unset: true, none: false, low: true },
    ],
  ),
  ...[
    'gpt-4o',
    'gpt-4.1-mini',
    'gpt-4',
    'gpt-3.5-turbo',
    'gpt-5-chat-latest',
    'gpt-oss-120b',
    'gpt-50',
    'o',
    'omni',
    'o1x',
  ].map((model): [string, { unset: boolean; none: boolean; low: boolean }] => [
    model,
    { unset: false, none: false, low: false },
  ]),
]
for (const [model, reasons] of families) {
  test(`${model} reasons: ${JSON.stringify(reasons)}`, (t) => {
    for (const [effort, expected] of Object.entries(reasons)) {
      const ask = chatAsk({
        temperature: 0.5,
        topP: 0.5,
        stop: ['x'],
        seed: 1,
        ...(effort === 'unset' ? {} : { reasoningEffort: effort }),
      })
      const encoded = encodeChat(ask, { ...elsewhere, model })
      const body = bodyOf(encoded)
      for (const field of ['temperature', 'top_p', 'stop']) {
        assert.equal(Object.hasOwn(body, field), !expected, `${field} at effort ${effort}`)
      }
      for (const name of ['temperature', 'topP', 'stop']) {
        const told = encoded.warnings.some((warning) => warning.startsWith(`${name} `))
        assert.equal(told, expected, `a warning of ${name} at effort ${effort}`)
      }
      assert.equal(body['seed'], 1)
      assert.equal(encoded.slowStart, expected)
      assertValid(t, 'CreateChatCompletionRequest', body)
    }
  })
}

test('a reasoning model without anything that it refuses brings no warning', () => {
  assert.deepEqual(encodeChat(chatAsk({ maxTokens: 5 }), { ...hosted, model: 'gpt-5' }).warnings, [])
})

const limitNames: [string, Target, string][] = [
  ['an ordinary model at OpenAI', hosted, 'max_completion_tokens'],
  ['OpenAI’s European host', { ...hosted, baseUrl: 'https://eu.api.openai.com/v1' }, 'max_completion_tokens'],
  ['a reasoning model at OpenAI', { ...hosted, model: 'o3' }, 'max_completion_tokens'],
  ['a reasoning model elsewhere', { ...elsewhere, model: 'openai/gpt-5-mini' }, 'max_completion_tokens'],
  ['any other model elsewhere', elsewhere, 'max_tokens'],
  ['a host that only looks like it', { ...elsewhere, baseUrl: 'https://api.openai.com.example.com/v1' }, 'max_tokens'],
  ['a path that only looks like it', { ...elsewhere, baseUrl: 'https://example.com/api.openai.com/v1' }, 'max_tokens'],
]
for (const [name, target, field] of limitNames) {
  test(`the most tokens for ${name} are ${field}`, (t) => {
    const body = bodyOf(encodeChat(chatAsk({ maxTokens: 5 }), target))
    assert.deepEqual(
      ['max_tokens', 'max_completion_tokens']
        .map((candidate) => [candidate, body[candidate]])
        .filter(([, value]) => value !== undefined),
      [[field, 5]],
    )
    assertValid(t, 'CreateChatCompletionRequest', body)
  })
}

for (const effort of ['minimal', 'low', 'medium', 'high']) {
  test(`effort ${effort} goes to a model that reasons`, (t) => {
    const body = bodyOf(encodeChat(chatAsk({ reasoningEffort: effort }), { ...hosted, model: 'gpt-5' }))
    assert.equal(body['reasoning_effort'], effort)
    assertValid(t, 'CreateChatCompletionRequest', body)
  })
}

test('effort none goes to a model that knows it', () => {
  assert.equal(
    bodyOf(encodeChat(chatAsk({ reasoningEffort: 'none' }), { ...hosted, model: 'gpt-5.1' }))['reasoning_effort'],
    'none',
  )
})

test('effort does not go to a family that is known to have none, and that is told', () => {
  const encoded = encodeChat(chatAsk({ reasoningEffort: 'low' }), hosted)
  assert.equal(Object.hasOwn(bodyOf(encoded), 'reasoning_effort'), false)
  assert.match(encoded.warnings.join(), /reasoningEffort/)
  const unknown = encodeChat(chatAsk({ reasoningEffort: 'low' }), elsewhere)
  assert.equal(bodyOf(unknown)['reasoning_effort'], 'low')
  assert.deepEqual(unknown.warnings, [])
})

test('the legacy completion', (t) => {
  assert.ok(openai.text)
  const encoded = openai.text.encode(
    {
      kind: 'text',
      prompt: 'def f(',
      suffix: 'return x',
      maxTokens: 3,
      temperature: 0,
      topP: 1,
      stop: ['\n'],
      seed: 1,
      options: { echo: true },
    },
    { ...elsewhere, model: 'gpt-3.5-turbo-instruct' },
  )
  assert.equal(encoded.url, 'https://llm.example.com/v1/completions')
  const body = bodyOf(encoded)
  assert.deepEqual(body, {
    model: 'gpt-3.5-turbo-instruct',
    prompt: 'def f(',
    suffix: 'return x',
    max_tokens: 3,
    temperature: 0,
    top_p: 1,
    stop: ['\n'],
    seed: 1,
    stream: true,
    stream_options: { include_usage: true },
    echo: true,
  })
  assertValid(t, 'CreateCompletionRequest', body)
})

test('embeddings', (t) => {
  assert.ok(openai.embed)
  const encoded = openai.embed.encode(
    { kind: 'embed', input: ['a', 'b'], dimensions: 8, encoding: 'base64' },
    { ...elsewhere, model: 'text-embedding-3-small' },
  )
  assert.equal(encoded.url, 'https://llm.example.com/v1/embeddings')
  const body = bodyOf(encoded)
  assert.deepEqual(body, {
    model: 'text-embedding-3-small',
    input: ['a', 'b'],
    dimensions: 8,
    encoding_format: 'base64',
  })
  assertValid(t, 'CreateEmbeddingRequest', body)
  const plain = bodyOf(openai.embed.encode({ kind: 'embed', input: ['a'], encoding: 'float' }, elsewhere))
  assert.deepEqual(plain, { model: 'tiny', input: ['a'], encoding_format: 'float' })
  assertValid(t, 'CreateEmbeddingRequest', plain)
})

test('the list of models', () => {
  assert.ok(openai.models)
  const encoded = openai.models.encode({ kind: 'models', provider: 'mine' }, elsewhere)
  assert.deepEqual([encoded.method, encoded.url, encoded.json], ['GET', 'https://llm.example.com/v1/models', undefined])
})

test('a model without a chat endpoint is asked at /responses, by OpenAI’s own dialect alone', () => {
  const pro = { ...elsewhere, model: 'gpt-5-pro' }
  const asked = chatAsk({ maxTokens: 50 })
  assert.equal(openai.chat?.encode(asked, pro).url, `${elsewhere.baseUrl}/responses`)
  assert.equal(openai.chat?.encode(asked, elsewhere).url, `${elsewhere.baseUrl}/chat/completions`)
  assert.equal(openaiAlike.chat.encode(asked, pro).url, `${elsewhere.baseUrl}/chat/completions`)
})
