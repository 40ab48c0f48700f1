import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Fault } from '../../src/errors.ts'
import {
  faultOfProblem,
  faultOfStatus,
  parseProblem,
  quote,
  readProblem,
  requestIdOf,
  retryAfterMs,
  visible,
} from '../../src/http/problem.ts'

/** What a refused request means, whatever the provider's way of saying it. */

const date = 'Sun, 22 Nov 2026 10:00:00 GMT'

type Verdict = { code: string; retryable: boolean; cause?: string; providerCode?: string }

function verdictOf({ code, detail }: Fault): Verdict {
  const { retryable = false, cause, providerCode } = detail
  return { code, retryable, ...(cause ? { cause } : {}), ...(providerCode ? { providerCode } : {}) }
}

const json = (body: unknown) => JSON.stringify(body)

// The status alone, with a body that says nothing more.
const byStatus: [number, Verdict][] = [
  [201, { code: 'invalid_response', retryable: false, cause: 'bad_http' }],
  [204, { code: 'invalid_response', retryable: false, cause: 'bad_http' }],
  ...[301, 302, 303, 307, 308].map((status): [number, Verdict] => [
    status,
    { code: 'configuration', retryable: false, cause: 'redirect' },
  ]),
  [400, { code: 'invalid_request', retryable: false }],
  [401, { code: 'authentication', retryable: false }],
  [402, { code: 'quota', retryable: false }],
  [403, { code: 'permission', retryable: false }],
  [405, { code: 'invalid_request', retryable: false }],
  [408, { code: 'provider_error', retryable: true }],
  [409, { code: 'provider_error', retryable: true }],
  [413, { code: 'too_large', retryable: false }],
  [415, { code: 'invalid_request', retryable: false }],
  [422, { code: 'invalid_request', retryable: false }],
  [425, { code: 'provider_error', retryable: true }],
  [429, { code: 'rate_limited', retryable: true }],
  [500, { code: 'provider_error', retryable: true }],
  [501, { code: 'provider_error', retryable: false }],
  [502, { code: 'provider_error', retryable: true }],
  [503, { code: 'overloaded', retryable: true }],
  [504, { code: 'provider_error', retryable: true }],
  [520, { code: 'provider_error', retryable: true }],
  [529, { code: 'overloaded', retryable: true }],
]

for (const [status, verdict] of byStatus) {
  test(`status ${status} is ${verdict.code}${verdict.retryable ? ', worth another try' : ''}`, () => {
    const fault = faultOfStatus(status, {}, json({ error: { message: 'something' } }))
    assert.ok(fault instanceof Fault)
    assert.deepEqual(verdictOf(fault), verdict)
    assert.equal(fault.detail.status, status)
    // The body of a success that is none is an answer, and not quoted as an error.
    assert.match(fault.message, new RegExp(status < 300 ? `${status}$` : `${status}.*something`))
  })
}

type Case = { name: string; status: number; body: string; verdict: Verdict; says?: string }

const openai = (code: string, type: string, message = 'words', param: string | null = null) =>
  json({ error: { message, type, param, code } })

const cases: Case[] = [
  // One body a dialect, as recorded or measured.
  {
    name: 'OpenAI',
    status: 400,
    body: openai('unsupported_parameter', 'invalid_request_error', 'no max_tokens', 'max_tokens'),
    verdict: { code: 'invalid_request', retryable: false, providerCode: 'unsupported_parameter' },
    says: 'no max_tokens',
  },
  {
    name: 'OpenAI, wrong key',
    status: 401,
    body: openai('invalid_api_key', 'invalid_request_error', 'Incorrect API key provided'),
    verdict: { code: 'authentication', retryable: false, providerCode: 'invalid_api_key' },
  },
  {
    name: 'OpenAI, unknown model',
    status: 404,
    body: openai(
      'model_not_found',
      'invalid_request_error',
      'The model `x` does not exist or you do not have access to it.',
    ),
    verdict: { code: 'model_not_found', retryable: false, providerCode: 'model_not_found' },
  },
  {
    name: 'OpenAI, long prompt',
    status: 400,
    body: openai(
      'context_length_exceeded',
      'invalid_request_error',
      "This model's maximum context length is 8192 tokens.",
    ),
    verdict: { code: 'context_length', retryable: false, providerCode: 'context_length_exceeded' },
  },
  {
    name: 'OpenAI, server error',
    status: 500,
    body: openai('server_error', 'server_error'),
    verdict: { code: 'provider_error', retryable: true, providerCode: 'server_error' },
  },
  {
    name: 'OpenAI, overloaded',
    status: 503,
    body: openai('server_is_overloaded', 'service_unavailable_error'),
    verdict: { code: 'overloaded', retryable: true, providerCode: 'server_is_overloaded' },
  },
  {
    name: 'Azure, wrong key',
    status: 401,
    body: json({ error: { code: '401', message: 'Access denied' } }),
    verdict: { code: 'authentication', retryable: false, providerCode: '401' },
    says: 'Access denied',
  },
  {
    name: 'Azure, no deployment',
    status: 404,
    body: json({
      error: {
        type: 'invalid_request_error',
        code: 'DeploymentNotFound',
        message: 'The API deployment for this resource does not exist.',
      },
    }),
    verdict: { code: 'model_not_found', retryable: false, providerCode: 'DeploymentNotFound' },
  },
  {
    name: 'Azure, filtered',
    status: 400,
    body: json({
      error: {
        code: 'content_filter',
        message: 'The response was filtered',
        innererror: { code: 'ResponsibleAIPolicyViolation' },
      },
    }),
    verdict: { code: 'content_filter', retryable: false, providerCode: 'content_filter' },
  },
  {
    name: 'Azure, rate',
    status: 429,
    body: json({ error: { code: 'RateLimitReached', message: 'Requests have exceeded the rate limit.' } }),
    verdict: { code: 'rate_limited', retryable: true, providerCode: 'RateLimitReached' },
  },
  {
    name: 'Anthropic, wrong key',
    status: 401,
    body: json({
      type: 'error',
      error: { type: 'authentication_error', message: 'invalid x-api-key' },
      request_id: 'req_1',
    }),
    verdict: { code: 'authentication', retryable: false, providerCode: 'authentication_error' },
  },
  {
    name: 'Anthropic, overloaded',
    status: 529,
    body: json({ type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } }),
    verdict: { code: 'overloaded', retryable: true, providerCode: 'overloaded_error' },
  },
  {
    name: 'Anthropic, too large',
    status: 413,
    body: json({ type: 'error', error: { type: 'request_too_large', message: 'Request exceeds the maximum size' } }),
    verdict: { code: 'too_large', retryable: false, providerCode: 'request_too_large' },
  },
  {
    name: 'Anthropic, long prompt',
    status: 400,
    body: json({
      type: 'error',
      error: { type: 'invalid_request_error', message: 'prompt is too long: 210000 tokens > 200000 maximum' },
    }),
    verdict: { code: 'context_length', retryable: false, providerCode: 'invalid_request_error' },
  },
  {
    name: 'Ollama /api',
    status: 404,
    body: json({ error: "model 'x' not found" }),
    verdict: { code: 'model_not_found', retryable: false },
    says: "model 'x' not found",
  },
  {
    name: 'Ollama wrapping llama-server',
    status: 400,
    body: json({
      error: json({ error: { code: 400, message: 'too long for it', type: 'exceed_context_size_error' } }),
    }),
    verdict: { code: 'context_length', retryable: false, providerCode: 'exceed_context_size_error' },
    says: 'too long for it',
  },
  {
    name: 'Ollama wrapping llama-server behind a 500',
    status: 500,
    body: json({
      error: json({ error: { code: 400, message: 'too long for it', type: 'exceed_context_size_error' } }),
    }),
    verdict: { code: 'context_length', retryable: false, providerCode: 'exceed_context_size_error' },
  },
  {
    name: 'Ollama, unknown path',
    status: 404,
    body: '404 page not found',
    verdict: { code: 'configuration', retryable: false, cause: 'path' },
    says: '404 page not found',
  },
  {
    name: 'llama-server, context',
    status: 400,
    body: json({
      error: {
        code: 400,
        message: 'request (6027 tokens) exceeds the available context size (2048 tokens), try increasing it',
        type: 'exceed_context_size_error',
        n_prompt_tokens: 6027,
        n_ctx: 2048,
      },
    }),
    verdict: { code: 'context_length', retryable: false, providerCode: 'exceed_context_size_error' },
  },
  {
    name: 'llama-server, key',
    status: 401,
    body: json({ error: { message: 'Invalid API Key', type: 'authentication_error', code: 401 } }),
    verdict: { code: 'authentication', retryable: false, providerCode: 'authentication_error' },
  },
  {
    name: 'llama-server, unknown path',
    status: 404,
    body: json({ error: { message: 'File Not Found', type: 'not_found_error', code: 404 } }),
    verdict: { code: 'configuration', retryable: false, cause: 'path', providerCode: 'not_found_error' },
  },
  {
    name: 'llama-server, loading',
    status: 503,
    body: json({ error: { message: 'Loading model', type: 'unavailable_error', code: 503 } }),
    verdict: { code: 'overloaded', retryable: true, providerCode: 'unavailable_error' },
  },
  {
    name: 'OpenRouter',
    status: 429,
    body: json({
      error: { code: 429, message: 'Provider returned error', metadata: { provider_name: 'x', raw: 'slow down' } },
      user_id: 'u',
    }),
    verdict: { code: 'rate_limited', retryable: true, providerCode: '429' },
  },
  {
    name: 'OpenRouter, no credits',
    status: 402,
    body: json({ error: { code: 402, message: 'Insufficient credits' } }),
    verdict: { code: 'quota', retryable: false, providerCode: '402' },
  },
  {
    name: 'Groq',
    status: 400,
    body: json({
      error: {
        code: 'tool_use_failed',
        failed_generation: '…',
        message: 'Failed to call a function.',
        type: 'invalid_request_error',
      },
    }),
    verdict: { code: 'invalid_request', retryable: false, providerCode: 'tool_use_failed' },
  },
  {
    name: 'Mistral',
    status: 401,
    body: json({ detail: 'Invalid API Key' }),
    verdict: { code: 'authentication', retryable: false },
    says: 'Invalid API Key',
  },
  {
    name: 'Mistral, validation',
    status: 422,
    body: json({ detail: [{ type: 'missing', loc: ['body', 'messages'], msg: 'Field required' }] }),
    verdict: { code: 'invalid_request', retryable: false, providerCode: 'missing' },
    says: 'Field required',
  },
  {
    name: 'xAI',
    status: 400,
    body: json({ code: 'invalid-argument', error: 'Incorrect API key provided: xa***' }),
    verdict: { code: 'authentication', retryable: false, providerCode: 'invalid-argument' },
  },
  {
    name: 'xAI, argument',
    status: 400,
    body: json({ code: 'invalid-argument', error: 'n must be 1' }),
    verdict: { code: 'invalid_request', retryable: false, providerCode: 'invalid-argument' },
    says: 'n must be 1',
  },
  {
    name: 'Gemini, an array',
    status: 400,
    body: json([
      { error: { code: 400, message: 'API key not valid. Please pass a valid API key.', status: 'INVALID_ARGUMENT' } },
    ]),
    verdict: { code: 'authentication', retryable: false, providerCode: 'INVALID_ARGUMENT' },
  },
  {
    name: 'vLLM, unknown model',
    status: 404,
    body: json({
      object: 'error',
      message: 'The model `x` does not exist.',
      type: 'NotFoundError',
      param: null,
      code: 404,
    }),
    verdict: { code: 'model_not_found', retryable: false, providerCode: 'NotFoundError' },
  },
  {
    name: 'a parameter that is the model',
    status: 400,
    body: openai('invalid_value', 'invalid_request_error', 'bad value', 'model'),
    verdict: { code: 'model_not_found', retryable: false, providerCode: 'invalid_value' },
  },
  {
    name: 'plain text',
    status: 500,
    body: 'upstream connect error',
    verdict: { code: 'provider_error', retryable: true },
    says: 'upstream connect error',
  },
  { name: 'nothing at all', status: 502, body: '', verdict: { code: 'provider_error', retryable: true } },
  {
    name: 'a page',
    status: 502,
    body: '<html><body>Bad gateway</body></html>',
    verdict: { code: 'provider_error', retryable: true },
  },
  {
    name: 'nothing at 404',
    status: 404,
    body: '',
    verdict: { code: 'configuration', retryable: false, cause: 'path' },
  },
  // A wrong base URL shows as these, and no model is to blame.
  {
    name: 'a page at 404',
    status: 404,
    body: '<html><body>Not Found</body></html>',
    verdict: { code: 'configuration', retryable: false, cause: 'path' },
  },
  {
    name: 'FastAPI (vLLM, LiteLLM), unknown path',
    status: 404,
    body: json({ detail: 'Not Found' }),
    verdict: { code: 'configuration', retryable: false, cause: 'path' },
  },
]

for (const { name, status, body, verdict, says } of cases) {
  test(`${name} (${status}): ${verdict.code}`, () => {
    const fault = faultOfStatus(status, {}, body)
    assert.deepEqual(verdictOf(fault), verdict)
    if (says !== undefined) assert.ok(fault.message.includes(says), fault.message)
    assert.doesNotMatch(fault.message, /<html|\n/)
  })
}

// Money is no rate: waiting does not help, and another try only costs.
const money = [
  'insufficient_quota',
  'credit_balance_exhausted',
  'credit_balance_too_low',
  'project_spend_limit_exceeded',
  'enforced_spend_limit_reached',
  'organization_usage_limit_exceeded',
  'billing_hard_limit_reached',
  'insufficient_funds',
]
for (const code of money) {
  test(`429 with ${code} is quota, and final`, () => {
    const verdict = { code: 'quota', retryable: false, providerCode: code }
    assert.deepEqual(verdictOf(faultOfStatus(429, { 'retry-after': '1' }, openai(code, 'requests'))), verdict)
    assert.deepEqual(verdictOf(faultOfStatus(429, {}, openai(code, code))), verdict)
  })
}

test("429 with Anthropic's spend limit, told in details alone, is quota", () => {
  const body = json({
    type: 'error',
    error: { type: 'rate_limit_error', message: 'limit', details: { error_code: 'enforced_spend_limit_reached' } },
  })
  assert.equal(faultOfStatus(429, {}, body).code, 'quota')
})

test('a 403 about money is quota, one about what was said a filter, any other permission', () => {
  assert.equal(faultOfStatus(403, {}, openai('403', 'Your input was flagged for "harm"')).code, 'content_filter')
  assert.equal(faultOfStatus(403, {}, openai('insufficient_quota', 'x')).code, 'quota')
  assert.equal(faultOfStatus(403, {}, openai('unsupported_country', 'x')).code, 'permission')
})

test('x-should-retry: false is obeyed, true makes nothing retryable', () => {
  assert.equal(faultOfStatus(503, { 'x-should-retry': 'false' }, '').detail.retryable, false)
  assert.equal(faultOfStatus(400, { 'x-should-retry': 'true' }, '').detail.retryable, false)
  assert.equal(faultOfStatus(503, { 'x-should-retry': 'true' }, '').detail.retryable, true)
})

const requestIds: [Record<string, string>, string | undefined][] = [
  [{ 'x-request-id': 'req_1' }, 'req_1'],
  [{ 'request-id': 'req_2' }, 'req_2'],
  [{ 'apim-request-id': 'req_3' }, 'req_3'],
  [{ 'x-request-id': `a\u001b[31mb\u202e${'c'.repeat(500)}` }, `ab${'c'.repeat(198)}`],
  [{}, undefined],
]
for (const [headers, id] of requestIds) {
  test(`the request id of ${Object.keys(headers)[0] ?? 'no header'}: ${String(id).slice(0, 12)}`, () => {
    assert.equal(requestIdOf(headers), id)
    assert.equal(faultOfStatus(500, headers, '').detail.requestId, id)
  })
}

const waits: [string, Record<string, string>, number | undefined][] = [
  ['none', {}, undefined],
  ['a second', { 'retry-after': '1' }, 1000],
  ['half a second', { 'retry-after': '0.5' }, 500],
  ['two minutes', { 'retry-after': '120' }, 120_000],
  ['thirty days', { 'retry-after': '2592000' }, 2_592_000_000],
  ['milliseconds', { 'retry-after-ms': '250' }, 250],
  ['milliseconds win over seconds', { 'retry-after-ms': '250', 'retry-after': '1' }, 250],
  ['no milliseconds, as Azure sends it', { 'retry-after-ms': '0', 'retry-after': '1' }, 0],
  ['milliseconds that are none', { 'retry-after-ms': 'soon', 'retry-after': '1' }, 1000],
  ['a date ahead', { 'retry-after': 'Sun, 22 Nov 2026 10:00:10 GMT', date }, 10_000],
  ['a date past', { 'retry-after': 'Sun, 22 Nov 2026 09:59:00 GMT', date }, undefined],
  ['a date that is now', { 'retry-after': date, date }, undefined],
  ['negative', { 'retry-after': '-5', date }, undefined],
  ['negative milliseconds', { 'retry-after-ms': '-5', date }, undefined],
  ['a word', { 'retry-after': 'soon', date }, undefined],
  ['an overflow', { 'retry-after': '1e400', date }, undefined],
  ['infinity', { 'retry-after': 'Infinity', date }, undefined],
  ['not a number', { 'retry-after': 'NaN', date }, undefined],
  ['hexadecimal', { 'retry-after': '0x10', date }, undefined],
  ['eleven digits', { 'retry-after': '99999999999', date }, undefined],
  ['a unit', { 'retry-after': '5s', date }, undefined],
  ['empty', { 'retry-after': '', date }, undefined],
  // What is no HTTP date is garbage, however well Date.parse may think of it.
  ['a year in words', { 'retry-after': 'sometime in 2099', date }, undefined],
  ['a negative year', { 'retry-after': '-2099', date }, undefined],
]
for (const [name, headers, ms] of waits) {
  test(`Retry-After, ${name}: ${ms}`, () => {
    assert.equal(retryAfterMs(headers), ms)
    assert.equal(faultOfStatus(429, headers, '').detail.retryAfterMs, ms)
  })
}

const hostile: [string, string, string][] = [
  ['colours', 'a\u001b[31mred\u001b[0mb', 'aredb'],
  ['a clipboard write', 'a\u001b]52;c;ZXZpbA==\u0007b', 'ab'],
  ['a title that does not end', 'a\u001b]0;b', 'a'],
  ['line ends', 'a\r\n\tb\u2028c\u2029d', 'a b c d'],
  ['NUL and other controls', 'a\u0000b\u0008c\u009bd', 'a b c d'],
  ['right-to-left overrides', 'a\u202eb\u2066c', 'abc'],
  ['zero-width characters and tags', 'a\u200b\u{e0041}b\u2060c', 'abc'],
  ['half a surrogate pair', 'a\ud83db', 'ab'],
  ['private use', 'a\ue000b', 'ab'],
  ['space around', '   a   ', 'a'],
]
for (const [name, text, clean] of hostile) {
  test(`a provider's words are cleaned of ${name}`, () => {
    assert.equal(quote(text), clean)
    assert.equal(faultOfStatus(500, {}, json({ error: { message: text } })).message, `it answered 500: ${clean}`)
  })
}

test('plain words are left as they are, however many', () => {
  for (const text of ['', 'a', 'a ~ b', `${'a '.repeat(10_000_000)}a`]) assert.ok(visible(text) === text)
  for (const text of [' a', 'a ', 'a  b', ' ']) assert.equal(visible(text), text.trim().replace('  ', ' '))
})

test("a provider's words are cut at 500 characters", () => {
  assert.equal(quote('x'.repeat(10_000)), `${'x'.repeat(500)}…`)
  assert.equal(quote('x'.repeat(500)), 'x'.repeat(500))
})

test("a provider's words are never cut inside a character", () => {
  for (const length of [497, 498, 499, 500]) {
    assert.ok(quote(`${'x'.repeat(length)}${'😀'.repeat(10)}`).isWellFormed(), `${length} characters before the pair`)
  }
})

test('whatever a body holds, the sentence is one clean line and the code is of the list', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 200, max: 599 }),
      fc.oneof(
        fc.string({ unit: 'binary', maxLength: 700 }),
        fc.json(),
        fc.json().map((text) => json({ error: text })),
        fc.string({ unit: 'binary', maxLength: 700 }).map((message) => json({ error: { message } })),
      ),
      (status, body) => {
        const { code, message, detail } = faultOfStatus(status, {}, body)
        assert.match(code, /^[a-z_]+$/)
        assert.ok(message.length < 600)
        assert.doesNotMatch(message, /[\p{Cc}\p{Cf}\u2028\u2029]/u)
        assert.ok((detail.providerCode ?? '').length <= 100)
      },
    ),
    { numRuns: 300 },
  )
})

test('a body that nests without end is an error like any other', () => {
  for (const body of [
    `${'['.repeat(30_000)}${']'.repeat(30_000)}`,
    `${'{"error":'.repeat(6_000)}1${'}'.repeat(6_000)}`,
  ]) {
    assert.equal(faultOfStatus(400, {}, body).code, 'invalid_request')
  }
})

test('a string in a string in a string is read, and one that only looks so is a message', () => {
  const nested = json({ error: json({ error: json({ error: { message: 'deep', code: 'x' } }) }) })
  assert.deepEqual(readProblem(JSON.parse(nested)), { message: 'deep', code: 'x' })
  assert.deepEqual(parseProblem('{"error":"{ not json"}'), { message: '{ not json' })
  assert.deepEqual(parseProblem('"words"'), { message: 'words' })
  assert.deepEqual(parseProblem('null'), {})
  assert.deepEqual(parseProblem('[]'), {})
})

// An error inside a 200 has no status.
const streamed: [string, Parameters<typeof faultOfProblem>[0], string, boolean][] = [
  ['overloaded', { type: 'overloaded_error', message: 'Overloaded' }, 'overloaded', true],
  ['a server error', { type: 'server_error', message: 'words' }, 'provider_error', true],
  ['a gateway error by its number', { code: '502', message: 'Provider disconnected' }, 'provider_error', true],
  ['a rate by its number', { code: '429', message: 'slow down' }, 'rate_limited', true],
  ['a rate by its name', { type: 'rate_limit_error', message: 'slow down' }, 'rate_limited', true],
  ['money', { type: 'rate_limit_error', code: 'insufficient_quota', message: 'pay' }, 'quota', false],
  ['a bad request', { type: 'invalid_request_error', message: 'words' }, 'invalid_request', false],
  ['a full context', { type: 'exceed_context_size_error', message: 'words' }, 'context_length', false],
  [
    'a filtered prompt',
    { type: 'invalid_request_error', code: 'content_filter', message: 'words' },
    'content_filter',
    false,
  ],
  ['nothing', {}, 'provider_error', true],
]
for (const [name, problem, code, retryable] of streamed) {
  test(`inside a 200: ${name}`, () => {
    const fault = faultOfProblem(problem, { 'x-request-id': 'req_1' })
    assert.equal(fault.code, code)
    assert.equal(fault.detail.retryable, retryable)
    assert.equal(fault.detail.cause, 'stream_error')
    assert.equal(fault.detail.requestId, 'req_1')
    assert.equal(fault.detail.status, undefined)
  })
}

test('a picture for a model without eyes is the mistake of the request, whatever the status', () => {
  const { code, detail } = faultOfStatus(500, {}, openai('server_error', 'image input is not supported - hint: mmproj'))
  assert.deepEqual([code, detail.retryable], ['invalid_request', false])
})
