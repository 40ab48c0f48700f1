import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Fault } from '../../src/errors.ts'
import type { ChatAsk, EmbedAsk, Event, ModelsAsk, TextAsk } from '../../src/gateway.ts'
import type { HttpResponse } from '../../src/http/message.ts'
import type { Operation, Target } from '../../src/provider.ts'
import { lmstudio } from '../../src/providers/lmstudio.ts'
import { eventsIn } from '../harness/events.ts'

/** LM Studio: its own list of models, and its errors in words that tell what to do. */

type Json = Record<string, unknown>
type AnyAsk = ChatAsk | TextAsk | EmbedAsk | ModelsAsk

const hello: ChatAsk = { kind: 'chat', messages: [{ role: 'user', content: [{ type: 'text', text: 'Say hello' }] }] }
const once: TextAsk = { kind: 'text', prompt: 'Once' }
const embed: EmbedAsk = { kind: 'embed', input: ['a'], encoding: 'float' }
const models: ModelsAsk = { kind: 'models', provider: 'lmstudio' }
const target: Target = {
  provider: 'lmstudio',
  model: 'qwen/qwen3-8b',
  baseUrl: 'http://127.0.0.1:1234/v1',
  headers: {},
}

function operationOf(ask: AnyAsk): Operation<AnyAsk> {
  const operation = lmstudio[ask.kind] as Operation<AnyAsk> | undefined
  return operation ?? assert.fail(`no ${ask.kind}`)
}

function sent(ask: AnyAsk, baseUrl = target.baseUrl) {
  const { method, url, json, warnings } = operationOf(ask).encode(ask, { ...target, baseUrl })
  return { method, url, json: json && (JSON.parse(JSON.stringify(json)) as Json), warnings }
}

const urls: { ask: AnyAsk; baseUrl?: string; url: string }[] = [
  { ask: hello, url: 'http://127.0.0.1:1234/v1/chat/completions' },
  { ask: once, url: 'http://127.0.0.1:1234/v1/completions' },
  { ask: embed, url: 'http://127.0.0.1:1234/v1/embeddings' },
  { ask: models, url: 'http://127.0.0.1:1234/api/v0/models' },
  { ask: hello, baseUrl: 'http://127.0.0.1:1234', url: 'http://127.0.0.1:1234/v1/chat/completions' },
  { ask: models, baseUrl: 'http://127.0.0.1:1234', url: 'http://127.0.0.1:1234/api/v0/models' },
  { ask: models, baseUrl: 'http://127.0.0.1:1234/api/v1', url: 'http://127.0.0.1:1234/api/v0/models' },
  { ask: models, baseUrl: 'https://example.com/studio/v1', url: 'https://example.com/studio/api/v0/models' },
  { ask: embed, baseUrl: 'https://example.com/studio/v1', url: 'https://example.com/studio/v1/embeddings' },
]

for (const { ask, baseUrl, url } of urls) {
  test(`${ask.kind} at ${baseUrl ?? 'the usual base URL'}`, () => {
    assert.equal(sent(ask, baseUrl).url, url)
  })
}

test('a request is that of OpenAI’s dialect', () => {
  assert.deepEqual(sent({ ...hello, maxTokens: 9, temperature: 0.5, stop: ['x'] }).json, {
    model: 'qwen/qwen3-8b',
    messages: [{ role: 'user', content: 'Say hello' }],
    max_tokens: 9,
    temperature: 0.5,
    stop: ['x'],
    stream: true,
    stream_options: { include_usage: true },
  })
  assert.deepEqual(lmstudio.authorize('k'), { authorization: 'Bearer k' })
})

const tools = ['look', 'ask', 'auto'].map((name) => ({ name, inputSchema: { type: 'object' } }))
const choices: { toolChoice: string | undefined; tool_choice: unknown; names: string[] }[] = [
  { toolChoice: undefined, tool_choice: undefined, names: ['look', 'ask', 'auto'] },
  { toolChoice: 'auto', tool_choice: 'auto', names: ['look', 'ask', 'auto'] },
  { toolChoice: 'required', tool_choice: 'required', names: ['look', 'ask', 'auto'] },
  { toolChoice: 'ask', tool_choice: 'required', names: ['ask'] },
]

for (const { toolChoice, tool_choice, names } of choices) {
  test(`tool choice ${toolChoice}`, () => {
    const { json } = sent({ ...hello, tools, toolChoice })
    const list = json?.['tools'] as { function: { name: string } }[]
    assert.deepEqual(json?.['tool_choice'], tool_choice)
    assert.deepEqual(
      list.map((tool) => tool.function.name),
      names,
    )
  })
}

function response(text: string, type = 'application/json; charset=utf-8'): HttpResponse {
  return {
    status: 200,
    headers: { 'content-type': type },
    body: (async function* () {
      // Cut as awkwardly as can be.
      for (const byte of Buffer.from(text)) yield Uint8Array.of(byte)
    })(),
  }
}

async function eventsOf(ask: AnyAsk, answer: HttpResponse): Promise<Event[]> {
  const events: Event[] = []
  for await (const event of eventsIn(operationOf(ask).decode(answer, ask))) events.push(event)
  return events
}

const listed = {
  object: 'list',
  data: [
    {
      id: 'qwen2-vl-7b-instruct',
      object: 'model',
      type: 'vlm',
      publisher: 'mlx-community',
      arch: 'qwen2_vl',
      compatibility_type: 'mlx',
      quantization: '4bit',
      state: 'not-loaded',
      max_context_length: 32768,
    },
    {
      id: 'qwen/qwen3-8b',
      object: 'model',
      type: 'llm',
      publisher: 'qwen',
      state: 'loaded',
      max_context_length: 131072,
      loaded_context_length: 4096,
      capabilities: ['tool_use', 7],
    },
    { id: 'text-embedding-nomic-embed-text-v1.5', type: 'embeddings', state: 'not-loaded', max_context_length: 2048 },
    { id: 'bare' },
    { id: 'odd', type: 'constructor', state: 'on fire', max_context_length: '9', loaded_context_length: null },
    { object: 'model' },
    null,
  ],
}

test('the list of models, with what each can do and whether it is loaded', async () => {
  assert.deepEqual(
    (await eventsOf(models, response(JSON.stringify(listed)))).map((event) => event.type === 'model' && event.model),
    [
      {
        name: 'qwen2-vl-7b-instruct',
        ownedBy: 'mlx-community',
        contextWindow: 32768,
        capabilities: ['completion', 'vision', 'not-loaded'],
      },
      {
        name: 'qwen/qwen3-8b',
        ownedBy: 'qwen',
        contextWindow: 4096,
        capabilities: ['completion', 'tools', 'loaded'],
      },
      {
        name: 'text-embedding-nomic-embed-text-v1.5',
        contextWindow: 2048,
        capabilities: ['embedding', 'not-loaded'],
      },
      { name: 'bare' },
      { name: 'odd' },
    ],
  )
})

const noneLoaded = "No models loaded. Please load a model in the developer page or use the 'lms load' command."
const refusals: {
  name: string
  status: number
  body: unknown
  code: string
  cause?: string
  retryable: boolean
  says: RegExp
}[] = [
  {
    name: 'no model is loaded',
    status: 404,
    body: { error: { message: noneLoaded, type: 'invalid_request_error', param: 'model', code: null } },
    code: 'model_not_found',
    cause: 'not_loaded',
    retryable: false,
    says: /use the 'lms load' command; load the model in LM Studio \(or by lms load NAME\), or switch just-in-time/,
  },
  {
    name: 'no model is loaded, as older servers say it',
    status: 400,
    body: { error: noneLoaded },
    code: 'model_not_found',
    cause: 'not_loaded',
    retryable: false,
    says: /lms load NAME/,
  },
  {
    name: 'this model is not loaded',
    status: 400,
    body: { error: 'Model "x" is not loaded.' },
    code: 'model_not_found',
    cause: 'not_loaded',
    retryable: false,
    says: /not loaded; load the model/,
  },
  {
    name: 'a name that no model bears',
    status: 404,
    body: { error: { message: 'Invalid model identifier "x". Please specify a valid downloaded model.' } },
    code: 'model_not_found',
    retryable: false,
    says: /downloaded model; load the model .*, if it is downloaded$/,
  },
  {
    name: 'a model that is unloaded meanwhile',
    status: 400,
    body: { error: 'Model is unloaded.' },
    code: 'unavailable',
    cause: 'not_loaded',
    retryable: true,
    says: /unloaded; load the model/,
  },
  {
    name: 'a model that does not fit',
    status: 400,
    body: { error: 'Failed to load model "x". Error: insufficient system resources' },
    code: 'provider_error',
    cause: 'load_failed',
    retryable: false,
    says: /too little memory/,
  },
  {
    name: 'a model that crashes',
    status: 400,
    body: { error: 'The model has crashed without additional information. (Exit code: 18446744072635810000)' },
    code: 'provider_error',
    cause: 'crashed',
    retryable: true,
    says: /log says why/,
  },
  {
    name: 'a context that is too small is what it is everywhere',
    status: 400,
    body: { error: 'The model is loaded with context length of only 4096 tokens, which is not enough.' },
    code: 'context_length',
    retryable: false,
    says: /^it answered 400: The model is loaded with context length/,
  },
  {
    name: 'a missing key is what it is everywhere',
    status: 401,
    body: { error: { message: 'An LM Studio API token is required to make requests to this server' } },
    code: 'authentication',
    retryable: false,
    says: /^it answered 401: An LM Studio API token is required/,
  },
]

for (const { name, status, body, code, cause, retryable, says } of refusals) {
  test(`fault: ${name}`, () => {
    const fault = lmstudio.fault(status, {}, JSON.stringify(body))
    assert.equal(fault.code, code, fault.message)
    if (cause !== undefined) assert.equal(fault.detail.cause, cause)
    assert.equal(fault.detail.retryable, retryable)
    assert.equal(fault.detail.status, status)
    assert.match(fault.message, says)
  })
}

const inside: { name: string; ask: AnyAsk; text: string; type?: string; code: string; cause: string; says: RegExp }[] =
  [
    ...[models, hello].map((ask) => ({
      name: `a 200 to a path that the server does not know, for ${ask.kind}`,
      ask,
      text: JSON.stringify({ error: 'Unexpected endpoint or method. (GET /api/v0/models)' }),
      code: 'configuration',
      cause: 'path',
      says: /0\.3\.6 or newer, its base URL/,
    })),
    {
      name: 'an error event',
      ask: hello,
      text: `event: error\ndata: {"error":{"message":"Model unloaded."}}\n\n`,
      type: 'text/event-stream',
      code: 'unavailable',
      cause: 'not_loaded',
      says: /Model unloaded; load the model/,
    },
    {
      name: 'a stream that ends too soon is what it is everywhere',
      ask: hello,
      text: 'data: {"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}\n\n',
      type: 'text/event-stream',
      code: 'truncated',
      cause: 'no_end_marker',
      says: /^the answer ended before its end marker$/,
    },
    {
      name: 'a list that is none',
      ask: models,
      text: '{"models":[]}',
      code: 'invalid_response',
      cause: 'bad_json',
      says: /not a list of models/,
    },
  ]

for (const { name, ask, text, type, code, cause, says } of inside) {
  test(`inside a 200: ${name}`, async () => {
    await assert.rejects(eventsOf(ask, response(text, type)), (error) => {
      assert.ok(error instanceof Fault)
      assert.deepEqual([error.code, error.detail.cause], [code, cause], error.message)
      assert.match(error.message, says)
      return true
    })
  })
}

test('an answer is that of OpenAI’s dialect', async () => {
  const text = [
    'data: {"model":"qwen/qwen3-8b","choices":[{"index":0,"delta":{"content":"Hé"},"finish_reason":null}]}\n\n',
    'data: {"model":"qwen/qwen3-8b","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n',
    'data: [DONE]\n\n',
  ].join('')
  assert.deepEqual(await eventsOf(hello, response(text, 'text/event-stream')), [
    { type: 'response', requestId: undefined, model: 'qwen/qwen3-8b' },
    { type: 'text-delta', text: 'Hé' },
    { type: 'finish', reason: 'stop', raw: 'stop' },
  ])
})
