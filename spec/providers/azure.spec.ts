import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Fault } from '../../src/errors.ts'
import type { ChatAsk, EmbedAsk, Event, ModelsAsk, TextAsk } from '../../src/gateway.ts'
import type { HttpResponse } from '../../src/http/message.ts'
import type { Operation, Target } from '../../src/provider.ts'
import { azure } from '../../src/providers/azure.ts'

/** Azure OpenAI: where OpenAI's requests go, which header carries the key, and what its own errors mean. */

type Json = Record<string, unknown>

const hello: ChatAsk = { kind: 'chat', messages: [{ role: 'user', content: [{ type: 'text', text: 'Say hello' }] }] }
const once: TextAsk = { kind: 'text', prompt: 'Once' }
const embed: EmbedAsk = { kind: 'embed', input: ['a'], encoding: 'float' }
const models: ModelsAsk = { kind: 'models', provider: 'azure' }
const endpoint = 'https://NAME.openai.azure.com'
const target: Target = { provider: 'azure', model: 'gpt-4o', baseUrl: endpoint, headers: {} }

function sent(ask: ChatAsk | TextAsk | EmbedAsk | ModelsAsk, more: Partial<Target> = {}) {
  const operation = azure[ask.kind] as Operation<typeof ask> | undefined
  assert.ok(operation, `no ${ask.kind}`)
  const { method, url, json, warnings } = operation.encode(ask, { ...target, ...more })
  return { method, url, json: json && (JSON.parse(JSON.stringify(json)) as Json), warnings }
}

const dated = { apiVersion: '2024-10-21' }
const urls: { name: string; ask?: ChatAsk | TextAsk | EmbedAsk | ModelsAsk; more?: Partial<Target>; url: string }[] = [
  { name: 'chat', url: 'https://NAME.openai.azure.com/openai/v1/chat/completions' },
  {
    name: 'a model without a chat endpoint',
    more: { model: 'gpt-5-pro' },
    url: 'https://NAME.openai.azure.com/openai/v1/responses',
  },
  {
    name: 'a model without a chat endpoint, dated',
    more: { model: 'thinker', deployments: { 'gpt-5-pro': 'thinker' }, ...dated },
    url: 'https://NAME.openai.azure.com/openai/responses?api-version=2024-10-21',
  },
  {
    name: 'an endpoint that ends in /openai',
    more: { baseUrl: `${endpoint}/openai` },
    url: 'https://NAME.openai.azure.com/openai/v1/chat/completions',
  },
  {
    name: 'an endpoint that ends in /openai/v1',
    more: { baseUrl: `${endpoint}/openai/v1` },
    url: 'https://NAME.openai.azure.com/openai/v1/chat/completions',
  },
  {
    name: 'an endpoint copied down to a deployment',
    more: { ...dated, baseUrl: `${endpoint}/openai/deployments/other/chat/completions` },
    url: 'https://NAME.openai.azure.com/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21',
  },
  {
    name: 'an endpoint behind a proxy whose own path looks alike',
    more: { baseUrl: 'https://example.com/openai/team' },
    url: 'https://example.com/openai/team/openai/v1/chat/completions',
  },
  {
    name: 'a version that is a word',
    more: { apiVersion: 'preview' },
    url: 'https://NAME.openai.azure.com/openai/v1/chat/completions?api-version=preview',
  },
  {
    name: 'chat, dated',
    more: dated,
    url: 'https://NAME.openai.azure.com/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21',
  },
  {
    name: 'a dated endpoint that ends in /openai/v1',
    more: { apiVersion: '2025-04-01-preview', baseUrl: `${endpoint}/openai/v1` },
    url: 'https://NAME.openai.azure.com/openai/deployments/gpt-4o/chat/completions?api-version=2025-04-01-preview',
  },
  {
    name: 'a deployment by another name',
    more: { ...dated, deployments: { 'gpt-4o': 'team a/4o' } },
    url: 'https://NAME.openai.azure.com/openai/deployments/team%20a%2F4o/chat/completions?api-version=2024-10-21',
  },
  {
    name: 'a model of a name that every object has',
    more: { ...dated, model: 'constructor', deployments: {} },
    url: 'https://NAME.openai.azure.com/openai/deployments/constructor/chat/completions?api-version=2024-10-21',
  },
  {
    name: 'a name that tries to climb',
    more: { ...dated, model: '../x?y#z' },
    url: 'https://NAME.openai.azure.com/openai/deployments/..%2Fx%3Fy%23z/chat/completions?api-version=2024-10-21',
  },
  {
    name: 'a version that tries to add a query',
    more: { apiVersion: '2024-10-21&a=b' },
    url: 'https://NAME.openai.azure.com/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21%26a%3Db',
  },
  {
    name: 'legacy completions, dated',
    ask: once,
    more: dated,
    url: 'https://NAME.openai.azure.com/openai/deployments/gpt-4o/completions?api-version=2024-10-21',
  },
  { name: 'embeddings', ask: embed, url: 'https://NAME.openai.azure.com/openai/v1/embeddings' },
  {
    name: 'embeddings, dated',
    ask: embed,
    more: dated,
    url: 'https://NAME.openai.azure.com/openai/deployments/gpt-4o/embeddings?api-version=2024-10-21',
  },
  {
    name: 'models',
    ask: models,
    more: { model: '' },
    url: 'https://NAME.openai.azure.com/openai/v1/models',
  },
  {
    name: 'models, dated',
    ask: models,
    more: { ...dated, model: '' },
    url: 'https://NAME.openai.azure.com/openai/models?api-version=2024-10-21',
  },
]

for (const { name, ask = hello, more, url } of urls) {
  test(`goes to: ${name}`, () => {
    assert.equal(sent(ask, more).url, url)
    // Nothing of it is resolved away or rewritten before it is sent.
    const { pathname, search } = new URL(url)
    assert.equal(`${pathname}${search}`, url.slice(url.indexOf('/', 'https://'.length)))
  })
}

const bodies: { name: string; ask: ChatAsk | TextAsk | EmbedAsk; more?: Partial<Target>; json: Json }[] = [
  {
    name: 'the deployment is the model',
    ask: { ...hello, maxTokens: 9, temperature: 0.5 },
    more: { deployments: { 'gpt-4o': 'my-4o' } },
    json: {
      model: 'my-4o',
      messages: [{ role: 'user', content: 'Say hello' }],
      max_completion_tokens: 9,
      temperature: 0.5,
      stream: true,
      stream_options: { include_usage: true },
    },
  },
  {
    name: 'an ordinary model on the dated surface has the older limit',
    ask: { ...hello, maxTokens: 9 },
    more: dated,
    json: {
      model: 'gpt-4o',
      messages: [{ role: 'user', content: 'Say hello' }],
      max_tokens: 9,
      stream: true,
      stream_options: { include_usage: true },
    },
  },
  {
    name: 'a reasoning model has the newer one, by whichever name it is called',
    ask: { ...hello, maxTokens: 9, temperature: 0.5 },
    more: { ...dated, model: 'my-mini', deployments: { 'o4-mini': 'my-mini' } },
    json: {
      model: 'my-mini',
      messages: [{ role: 'user', content: 'Say hello' }],
      max_completion_tokens: 9,
      stream: true,
      stream_options: { include_usage: true },
    },
  },
  {
    name: 'options have the last word',
    ask: { ...hello, maxTokens: 9, options: { max_completion_tokens: 7, model: 'x' } },
    json: {
      model: 'x',
      messages: [{ role: 'user', content: 'Say hello' }],
      max_completion_tokens: 7,
      stream: true,
      stream_options: { include_usage: true },
    },
  },
  {
    name: 'legacy completions',
    ask: { ...once, maxTokens: 9, suffix: 'end' },
    more: dated,
    json: {
      model: 'gpt-4o',
      prompt: 'Once',
      suffix: 'end',
      max_tokens: 9,
      stream: true,
      stream_options: { include_usage: true },
    },
  },
  {
    name: 'embeddings',
    ask: { ...embed, dimensions: 2 },
    more: { model: 'text-embedding-3-large', deployments: { 'text-embedding-3-large': 'vectors' } },
    json: { model: 'vectors', input: ['a'], dimensions: 2, encoding_format: 'float' },
  },
]

for (const { name, ask, more, json } of bodies) {
  test(`sends: ${name}`, () => {
    const request = sent(ask, more)
    assert.equal(request.method, 'POST')
    assert.deepEqual(request.json, json)
  })
}

test('warnings name the model, not its deployment', () => {
  const more = { model: 'o4-mini', deployments: { 'o4-mini': 'mine' } }
  assert.deepEqual(sent({ ...hello, temperature: 0.5 }, more).warnings, [
    'temperature was left out: o4-mini refuses it while it reasons',
  ])
})

test('legacy completions need a dated version', () => {
  for (const more of [{}, { apiVersion: 'preview' }]) {
    assert.throws(
      () => sent(once, more),
      (error) => error instanceof Fault && error.code === 'configuration' && /apiVersion/.test(error.message),
    )
  }
})

test('a deployment that would step out of the path is refused', () => {
  for (const model of ['.', '..', '']) {
    assert.throws(() => sent(hello, { ...dated, model }), { code: 'invalid_request' }, model)
  }
  assert.throws(() => sent(hello, { ...dated, deployments: { 'gpt-4o': '..' } }), { code: 'invalid_request' })
})

test('a key of the resource and a token of Entra travel in one header each', () => {
  const token = 'eyJ0eXAiOiJKV1QifQ.eyJhdWQiOiJodHRwcyJ9.c2lnbmF0dXJl-_0'
  assert.deepEqual(azure.authorize('0123456789abcdef0123456789abcdef'), {
    'api-key': '0123456789abcdef0123456789abcdef',
  })
  assert.deepEqual(azure.authorize(token), { authorization: `Bearer ${token}` })
  for (const key of ['a.b', 'a.b.c.d', 'a..c', 'a.b.c=', 'sk-abc']) {
    assert.deepEqual(azure.authorize(key), { 'api-key': key })
  }
})

const safe = { filtered: false, severity: 'safe' }
const blocked = (results: Json, inner = 'innererror', list = 'content_filter_result') => ({
  error: {
    message: 'The response was filtered due to the prompt triggering Azure OpenAI’s content management policy.',
    type: null,
    param: 'prompt',
    code: 'content_filter',
    status: 400,
    [inner]: { code: 'ResponsibleAIPolicyViolation', [list]: results },
  },
})

const faults: {
  name: string
  status: number
  body: unknown
  headers?: Record<string, string>
  code: string
  cause?: string
  says?: RegExp
  detail?: Json
}[] = [
  {
    name: 'a prompt that two filters stop',
    status: 400,
    body: blocked({ hate: { filtered: true, severity: 'high' }, jailbreak: { filtered: true }, violence: safe }),
    code: 'content_filter',
    cause: 'content_filter',
    says: /policy; what was filtered: hate, jailbreak$/,
    detail: { providerCode: 'content_filter', retryable: false },
  },
  {
    name: 'the other spelling',
    status: 400,
    body: blocked({ jailbreak: { filtered: true, detected: true } }, 'inner_error', 'content_filter_results'),
    code: 'content_filter',
    says: /filtered: jailbreak$/,
  },
  {
    name: 'a filter that names nothing',
    status: 400,
    body: blocked({ violence: safe, 'a name\nthat is a sentence': { filtered: true } }),
    code: 'content_filter',
    says: /policy\.$/,
  },
  {
    name: 'a wrong key',
    status: 401,
    body: { error: { code: '401', message: 'Access denied due to invalid subscription key or wrong API endpoint.' } },
    code: 'authentication',
    says: /^it answered 401: Access denied/,
    detail: { providerCode: '401', retryable: false },
  },
  {
    name: 'an identity without a role',
    status: 401,
    body: { error: { code: 'PermissionDenied', message: 'The principal lacks the required data action.' } },
    code: 'permission',
    cause: 'role',
    says: /Cognitive Services OpenAI User/,
  },
  {
    name: 'a deployment that is not there',
    status: 404,
    body: {
      error: {
        type: 'invalid_request_error',
        code: 'DeploymentNotFound',
        message: 'The API deployment for this resource does not exist.',
      },
    },
    code: 'model_not_found',
    cause: 'deployment',
    says: /does not exist; the endpoint and the key are right, the deployment is not/,
    detail: { providerCode: 'DeploymentNotFound', retryable: false, status: 404 },
  },
  {
    name: 'a deployment that the newer surface does not know',
    status: 404,
    body: {
      error: { code: 'model_not_found', message: 'The model `x` does not exist', type: 'invalid_request_error' },
    },
    code: 'model_not_found',
    cause: 'deployment',
  },
  {
    name: 'a model that the resource does not know',
    status: 400,
    body: { error: { code: 'unknown_model', message: 'Unknown model: x' } },
    code: 'model_not_found',
    cause: 'deployment',
  },
  {
    name: 'a path that is not there',
    status: 404,
    body: { error: { code: '404', message: 'Resource not found' } },
    code: 'configuration',
    cause: 'path',
    says: /Resource not found; .*https:\/\/NAME\.openai\.azure\.com.*apiVersion/,
    detail: { retryable: false },
  },
  { name: 'a 404 that says nothing', status: 404, body: '', code: 'configuration', cause: 'path', says: /apiVersion/ },
  {
    name: 'a version that is not there',
    status: 400,
    body: { error: { code: 'BadRequest', message: 'API version not supported' } },
    code: 'configuration',
    cause: 'api_version',
    says: /API version not supported; set apiVersion/,
  },
  {
    name: 'a version that is too old for the model',
    status: 400,
    body: {
      error: { code: 'BadRequest', message: 'Model o3 is enabled only for api versions 2024-12-01-preview and later' },
    },
    code: 'configuration',
    cause: 'api_version',
  },
  {
    name: 'a version that is missing',
    status: 404,
    body: { error: { code: '404', message: 'Missing required query parameter: api-version' } },
    code: 'configuration',
    cause: 'api_version',
  },
  {
    name: 'rules of the network',
    status: 403,
    body: { error: { code: '403', message: 'Access denied due to Virtual Network/Firewall rules.' } },
    code: 'permission',
    cause: 'network_rules',
    says: /rules; the resource takes calls from its own networks only/,
    detail: { retryable: false },
  },
  {
    name: 'another 403',
    status: 403,
    body: { error: { code: '403', message: 'The resource is suspended.' } },
    code: 'permission',
    says: /^it answered 403: The resource is suspended\.$/,
  },
  {
    name: 'too many requests, whatever they say of versions',
    status: 429,
    headers: { 'retry-after': '7', 'retry-after-ms': '6500', 'apim-request-id': 'apim-1' },
    body: {
      error: {
        code: '429',
        message: 'Requests under Azure OpenAI API version 2024-10-21 have exceeded the token rate limit of your tier.',
      },
    },
    code: 'rate_limited',
    detail: { retryable: true, retryAfterMs: 6500, requestId: 'apim-1' },
  },
  {
    name: 'a parameter that the model refuses is still named',
    status: 400,
    body: {
      error: {
        message: "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead.",
        type: 'invalid_request_error',
        param: 'max_tokens',
        code: 'unsupported_parameter',
      },
    },
    code: 'invalid_request',
    detail: { parameter: { name: 'max_tokens', replacement: 'max_completion_tokens' } },
  },
  { name: 'a fault of the server', status: 500, body: 'oops', code: 'provider_error', detail: { retryable: true } },
]

for (const { name, status, headers = {}, body, code, cause, says, detail = {} } of faults) {
  test(`fault: ${name}`, () => {
    const fault = azure.fault(status, headers, typeof body === 'string' ? body : JSON.stringify(body))
    assert.equal(fault.code, code, fault.message)
    if (cause !== undefined) assert.equal(fault.detail.cause, cause)
    if (says) assert.match(fault.message, says)
    for (const [field, value] of Object.entries(detail)) {
      assert.deepEqual(fault.detail[field as keyof Fault['detail']], value, field)
    }
  })
}

function response(chunks: readonly Uint8Array[], type = 'text/event-stream'): HttpResponse {
  return {
    status: 200,
    headers: { 'content-type': type, 'apim-request-id': 'apim-1' },
    body: (async function* () {
      yield* chunks
    })(),
  }
}

async function eventsOf(answer: HttpResponse, ask: ChatAsk | TextAsk = hello): Promise<Event[]> {
  const operation = azure[ask.kind] as Operation<typeof ask> | undefined
  const events: Event[] = []
  for await (const some of operation?.decode(answer, ask) ?? []) events.push(...some)
  return events
}

const chunk = (choices: readonly Json[], more: Json = {}) =>
  `data: ${JSON.stringify({ id: 'c1', object: 'chat.completion.chunk', created: 1, model: 'gpt-4o', choices, ...more })}\n\n`
const hateHigh = { hate: { filtered: true, severity: 'high' }, violence: safe }

test('a stream that the filter ends: whole, byte by byte, and cut in two at every place', async () => {
  const text = [
    // The first chunk says what the filters made of the prompt, and leaves the rest empty.
    chunk([], {
      id: '',
      object: '',
      created: 0,
      model: '',
      prompt_filter_results: [{ prompt_index: 0, content_filter_results: { hate: safe } }],
    }),
    chunk([{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null, content_filter_results: {} }]),
    chunk([{ index: 0, delta: { content: 'Hé' }, finish_reason: null, content_filter_results: { hate: safe } }]),
    // Where filtering is asynchronous, its results come without any text.
    chunk([{ index: 0, finish_reason: null, content_filter_results: { violence: safe }, content_filter_offsets: {} }]),
    chunk([{ index: 0, delta: {}, finish_reason: 'content_filter', content_filter_results: hateHigh }]),
    chunk([], { usage: { prompt_tokens: 3, completion_tokens: 1, total_tokens: 4 } }),
    'data: [DONE]\n\n',
  ].join('')
  const expected: Event[] = [
    { type: 'response', requestId: 'apim-1', model: 'gpt-4o' },
    { type: 'text-delta', text: 'Hé' },
    { type: 'warning', message: 'Azure’s content filter stopped the answer: hate' },
    { type: 'usage', usage: { promptTokens: 3, completionTokens: 1, totalTokens: 4 } },
    { type: 'finish', reason: 'contentFilter', raw: 'content_filter' },
  ]
  const all = Buffer.from(text)
  const single = Array.from({ length: all.length }, (_, at) => all.subarray(at, at + 1))
  assert.deepEqual(await eventsOf(response([all])), expected)
  assert.deepEqual(await eventsOf(response(single)), expected)
  for (let at = 0; at <= all.length; at++) {
    assert.deepEqual(await eventsOf(response([all.subarray(0, at), all.subarray(at)])), expected, `cut at ${at}`)
  }
})

test('a whole answer that the filter has emptied', async () => {
  const body = {
    model: 'gpt-4o',
    choices: [{ index: 0, finish_reason: 'content_filter', content_filter_results: hateHigh }],
  }
  assert.deepEqual(await eventsOf(response([Buffer.from(JSON.stringify(body))], 'application/json')), [
    { type: 'response', requestId: 'apim-1', model: 'gpt-4o' },
    { type: 'warning', message: 'Azure’s content filter stopped the answer: hate' },
    { type: 'finish', reason: 'contentFilter', raw: 'content_filter' },
  ])
})

test('a legacy completion that the filter ends', async () => {
  const text = [
    chunk([{ index: 0, text: 'Once', finish_reason: null, content_filter_results: { hate: safe } }]),
    chunk([{ index: 0, text: '', finish_reason: 'content_filter', content_filter_results: hateHigh }]),
    'data: [DONE]\n\n',
  ].join('')
  assert.deepEqual(await eventsOf(response([Buffer.from(text)]), once), [
    { type: 'response', requestId: 'apim-1', model: 'gpt-4o' },
    { type: 'text-delta', text: 'Once' },
    { type: 'warning', message: 'Azure’s content filter stopped the answer: hate' },
    { type: 'finish', reason: 'contentFilter', raw: 'content_filter' },
  ])
})
