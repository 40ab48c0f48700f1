import assert from 'node:assert/strict'
import { generateKeyPairSync, sign } from 'node:crypto'
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer as createProxy, request as forward, type ServerResponse } from 'node:http'
import { createServer as createHttps } from 'node:https'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { callTool, type Gateway, type Json, modernMeta, program } from './harness/gateway.ts'
import { at, gate, gatewayFor, progressOf, until, upstreamFor } from './harness/scope.ts'
import {
  type Answer,
  chatChunk,
  chatStream,
  type Received,
  sendJson,
  sendStream,
  type Upstream,
} from './harness/upstream.ts'

/** The built program over its pipes, with a scripted provider behind it: what a user, a client and a script can rely on. */

const key = 'sk-canary-0123456789abcdef'

/** A provider with one model that does what each of its endpoints is for. */
const provider: Answer = ({ path, json, method }, response) => {
  if (method === 'GET' && path === '/v1/models') {
    return sendJson(response, 200, {
      object: 'list',
      data: [
        { id: 'tiny', object: 'model', created: 7, owned_by: 'me' },
        { id: 'tiny-embed', object: 'model' },
      ],
    })
  }
  const body = json as Json
  if (path === '/v1/embeddings') {
    const input = body['input'] as string[]
    const float = body['encoding_format'] !== 'base64'
    const data = input.map((_, index) => ({
      object: 'embedding',
      index,
      embedding: float ? [0.5, -1] : 'AAAAPwAAgL8=',
    }))
    return sendJson(response, 200, {
      object: 'list',
      model: 'tiny-embed',
      data,
      usage: { prompt_tokens: 2, total_tokens: 2 },
    })
  }
  if (path === '/v1/completions') {
    const piece = (text: string, finish_reason: string | null) =>
      `data: ${JSON.stringify({ object: 'text_completion', model: 'tiny', choices: [{ index: 0, text, finish_reason }] })}\n\n`
    return sendStream(response, `${piece(' a', null)}${piece('bc', 'stop')}data: [DONE]\n\n`)
  }
  if (path !== '/v1/chat/completions') return sendJson(response, 404, { error: { message: 'unknown path' } })
  if (body['tools']) {
    const call = {
      tool_calls: [
        { index: 0, id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{"city":"Rome"}' } },
      ],
    }
    return sendStream(response, `${chatChunk(call)}${chatChunk({}, 'tool_calls')}data: [DONE]\n\n`)
  }
  if (body['response_format']) return sendStream(response, chatStream(['{"n"', ':7}']))
  response.setHeader('x-request-id', 'req_7')
  sendStream(response, chatStream(['Hel', 'lo ', 'é😀']))
}

const pointedAt = (upstream: Upstream, more: Record<string, string> = {}) => ({
  OPENAI_BASE_URL: upstream.url,
  OPENAI_API_KEY: key,
  DEFAULT_MODEL: 'tiny',
  MAX_RETRIES: '0',
  ...more,
})

const factsOf = (result: Json) => at(result, '_meta', 'genai-gateway/error') as Json
const textOf = (result: Json, number = 0) => at(result, 'content', number, 'text') as string | undefined
const ask = (gateway: Gateway, more: Json = {}, meta: Json = {}) =>
  callTool(gateway, 'createCompletion', { prompt: 'hi', ...more }, meta)

/** Whatever is no error fits what tools/list has promised. */
async function promisesOf(gateway: Gateway): Promise<(name: string, result: Json) => Json> {
  const { result } = await gateway.request('tools/list', { _meta: modernMeta })
  const ajv = new Ajv2020({ strict: false })
  const validators = new Map(
    (at(result, 'tools') as Json[]).map((tool) => [tool['name'], ajv.compile(tool['outputSchema'] as Json)]),
  )
  return (name, answer) => {
    const validate = validators.get(name)
    assert.equal(answer['isError'], undefined, textOf(answer))
    assert.ok(validate?.(answer['structuredContent']), JSON.stringify(validate?.errors))
    return answer['structuredContent'] as Json
  }
}

test('the tools, end to end', async (t) => {
  const upstream = await upstreamFor(t, provider)
  const gateway = gatewayFor(t, pointedAt(upstream))
  const fits = await promisesOf(gateway)

  await t.test('listModels', async () => {
    const result = await callTool(gateway, 'listModels', {})
    assert.deepEqual(fits('listModels', result), {
      models: [
        { id: 'openai/tiny', provider: 'openai', name: 'tiny', created: 7, ownedBy: 'me' },
        { id: 'openai/tiny-embed', provider: 'openai', name: 'tiny-embed' },
      ],
      defaultModel: 'tiny',
      unavailable: [],
    })
    const searched = fits(
      'listModels',
      await callTool(gateway, 'listModels', { search: 'EMBED', provider: 'openai', refresh: true }),
    )
    assert.deepEqual(
      (searched['models'] as Json[]).map(({ id }) => id),
      ['openai/tiny-embed'],
    )
    assert.equal(factsOf(await callTool(gateway, 'listModels', { provider: 'nobody' }))['code'], 'invalid_request')
  })

  await t.test('createCompletion, its text first', async () => {
    const result = await ask(gateway, { system: 'be brief' })
    const { timing, ...answer } = fits('createCompletion', result)
    assert.deepEqual(answer, {
      model: 'tiny',
      provider: 'openai',
      text: 'Hello é😀',
      finishReason: 'stop',
      rawFinishReason: 'stop',
      usage: { promptTokens: 3, completionTokens: 3, totalTokens: 6 },
      attempts: 1,
      requestId: 'req_7',
    })
    assert.ok(Number(at(timing, 'totalMs')) >= Number(at(timing, 'firstTokenMs')))
    assert.deepEqual(result['content'], [{ type: 'text', text: 'Hello é😀' }])
    const sent = upstream.requests.at(-1) as Received
    assert.equal(sent.headers.authorization, `Bearer ${key}`)
    assert.deepEqual(sent.json, {
      model: 'tiny',
      messages: [
        { role: 'system', content: 'be brief' },
        { role: 'user', content: 'hi' },
      ],
      stream: true,
      stream_options: { include_usage: true },
    })
  })

  await t.test('createCompletion, streamed: the messages joined are the text', async () => {
    for (const token of ['a', 0]) {
      const result = await ask(gateway, {}, { progressToken: token })
      const steps = progressOf(gateway, token)
      assert.ok(steps.length > 0)
      assert.equal(steps.map(({ message = '' }) => message).join(''), textOf(result))
      for (const [index, step] of steps.entries())
        assert.ok(index === 0 || step.progress > (steps[index - 1]?.progress ?? 0))
    }
  })

  await t.test('createCompletion with a tool, and the turn behind it', async () => {
    const tools = [{ name: 'weather', inputSchema: { type: 'object', properties: { city: { type: 'string' } } } }]
    const { toolCalls, finishReason } = fits('createCompletion', await ask(gateway, { tools, tool_choice: 'any' }))
    assert.deepEqual(toolCalls, [{ id: 'call_1', name: 'weather', arguments: { city: 'Rome' } }])
    assert.equal(finishReason, 'toolCalls')
    assert.equal(at(upstream.requests.at(-1)?.json, 'tool_choice'), 'required')
    const messages = [
      { role: 'user', content: 'weather?' },
      { role: 'assistant', content: '', toolCalls },
      { role: 'tool', toolCallId: 'call_1', content: [{ type: 'text', text: 'sunny' }] },
    ]
    fits('createCompletion', await callTool(gateway, 'createCompletion', { messages }))
    assert.deepEqual(at(upstream.requests.at(-1)?.json, 'messages'), [
      { role: 'user', content: 'weather?' },
      {
        role: 'assistant',
        content: null,
        tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{"city":"Rome"}' } }],
      },
      { role: 'tool', tool_call_id: 'call_1', content: 'sunny' },
    ])
  })

  await t.test('createCompletion with a schema', async () => {
    const responseSchema = { type: 'object', properties: { n: { type: 'number' } }, required: ['n'] }
    assert.deepEqual(fits('createCompletion', await ask(gateway, { responseSchema }))['object'], { n: 7 })
    const failed = await ask(gateway, { responseSchema: { ...responseSchema, properties: { n: { type: 'string' } } } })
    assert.deepEqual(
      [factsOf(failed)['code'], factsOf(failed)['cause'], textOf(failed, 1)],
      ['invalid_response', 'schema', '{"n":7}'],
    )
  })

  await t.test('createCompletion in mode text', async () => {
    assert.equal(
      fits('createCompletion', await callTool(gateway, 'createCompletion', { mode: 'text', prompt: 'x', suffix: 'y' }))[
        'text'
      ],
      ' abc',
    )
    assert.equal(upstream.requests.at(-1)?.path, '/v1/completions')
  })

  await t.test('createEmbedding', async () => {
    const result = await callTool(gateway, 'createEmbedding', { model: 'tiny-embed', input: ['a', 'b'] })
    assert.deepEqual(fits('createEmbedding', result), {
      model: 'tiny-embed',
      provider: 'openai',
      dimensions: 2,
      embeddings: [
        [0.5, -1],
        [0.5, -1],
      ],
      usage: { promptTokens: 2, completionTokens: 0, totalTokens: 2 },
      attempts: 1,
    })
    assert.doesNotMatch(textOf(result) ?? '', /0\.5/)
    const packed = fits(
      'createEmbedding',
      await callTool(gateway, 'createEmbedding', { model: 'tiny-embed', input: 'a', encoding: 'base64' }),
    )
    assert.deepEqual([packed['dimensions'], packed['embeddings']], [2, ['AAAAPwAAgL8=']])
  })

  await t.test('calls one after the other use one connection', async () => {
    const before = upstream.connections()
    for (let call = 0; call < 50; call++) await ask(gateway)
    assert.ok(upstream.connections() - before <= 1, `${upstream.connections() - before} more connections`)
  })

  await t.test('neither a host nor a header is an argument, and nothing is sent for one that tries', async () => {
    const evil = await upstreamFor(t, (_, response) => void response.end())
    const before = upstream.requests.length
    for (const name of [
      'base_url',
      'baseUrl',
      'api_base',
      'endpoint',
      'host',
      'proxy',
      'headers',
      'extra_headers',
      'apiKey',
      'path',
    ]) {
      const value = /headers/.test(name) ? { authorization: 'x', host: evil.url } : evil.url
      const result = await ask(gateway, { [name]: value })
      assert.equal(factsOf(result)['code'], 'invalid_request', name)
      assert.match(textOf(result) ?? '', new RegExp(name))
      assert.equal(Object.hasOwn(result, 'structuredContent'), false)
    }
    for (const model of [`${evil.url}/x`, '../../admin', 'a?x=y', 'a#b', '\r\nhost: x']) await ask(gateway, { model })
    assert.equal(evil.connections(), 0)
    for (const { path, headers } of upstream.requests.slice(before)) {
      assert.equal(path, '/v1/chat/completions')
      assert.equal(headers.host, new URL(upstream.url).host)
    }
  })

  assert.deepEqual(gateway.garbage, [])
  assert.equal(gateway.stderr(), '')
})

const failing: { name: string; answer: (response: ServerResponse) => void; facts: Json; says: RegExp }[] = [
  {
    name: 'a wrong key',
    answer: (response) =>
      sendJson(
        response,
        401,
        { error: { message: 'Incorrect API key', code: 'invalid_api_key' } },
        { 'x-request-id': 'req_1' },
      ),
    facts: {
      code: 'authentication',
      status: 401,
      providerCode: 'invalid_api_key',
      requestId: 'req_1',
      retryable: false,
    },
    says: /openai.*tiny.*401.*Incorrect API key.*key/,
  },
  {
    name: 'a rate',
    answer: (response) =>
      sendJson(
        response,
        429,
        { error: { message: 'slow down', code: 'rate_limit_exceeded' } },
        { 'retry-after': '90' },
      ),
    facts: {
      code: 'rate_limited',
      status: 429,
      providerCode: 'rate_limit_exceeded',
      retryable: true,
      retryAfterMs: 90_000,
    },
    says: /Try again in 90 s/,
  },
  {
    name: 'no money',
    answer: (response) => sendJson(response, 429, { error: { message: 'pay', code: 'insufficient_quota' } }),
    facts: { code: 'quota', status: 429, providerCode: 'insufficient_quota', retryable: false },
    says: /topped up/,
  },
  {
    name: 'a page',
    answer: (response) => void response.writeHead(200, { 'content-type': 'text/html' }).end('<html>'),
    facts: { code: 'invalid_response', cause: 'bad_content_type', retryable: false },
    says: /web page/,
  },
  {
    name: 'a redirect',
    answer: (response) => void response.writeHead(308, { location: 'http://127.0.0.1:9/' }).end(),
    facts: { code: 'configuration', cause: 'redirect', status: 308, retryable: false },
    says: /308/,
  },
  {
    name: 'a cut',
    answer: (response) =>
      void response.writeHead(200, { 'content-type': 'text/event-stream' }).end(chatChunk({ content: 'Hel' })),
    facts: { code: 'truncated', cause: 'no_end_marker', retryable: true },
    says: /Trying again may help/,
  },
  {
    name: 'an error in mid-answer',
    answer: (response) =>
      sendStream(
        response,
        `${chatChunk({ content: 'Hel' })}data: {"error":{"type":"overloaded_error","message":"Overloaded"}}\n\n`,
      ),
    facts: { code: 'overloaded', cause: 'stream_error', providerCode: 'overloaded_error', retryable: true },
    says: /Overloaded/,
  },
]

test('what goes wrong is a result that says what to do, with the facts for a program', async (t) => {
  const upstream = await upstreamFor(t, ({ json }, response) =>
    failing[Number(at(json, 'messages', 0, 'content'))]?.answer(response),
  )
  const gateway = gatewayFor(t, pointedAt(upstream))
  for (const [number, { name, facts, says }] of failing.entries()) {
    await t.test(name, async () => {
      const result = await ask(gateway, { prompt: String(number) })
      assert.equal(result['isError'], true)
      assert.equal(Object.hasOwn(result, 'structuredContent'), false)
      const { elapsedMs, ...told } = factsOf(result)
      assert.deepEqual(told, { provider: 'openai', model: 'tiny', attempts: 1, ...facts })
      assert.ok(Number.isInteger(elapsedMs))
      assert.match(textOf(result) ?? '', says)
      assert.equal(textOf(result, 1), /cut|mid/.test(name) ? 'Hel' : undefined)
    })
  }
})

test('a call that fails is made again as often as MAX_RETRIES says', async (t) => {
  const upstream = await upstreamFor(t, (_, response) => sendJson(response, 500, { error: { message: 'no' } }))
  for (const retries of [0, 2]) {
    const before = upstream.requests.length
    const gateway = gatewayFor(t, pointedAt(upstream, { MAX_RETRIES: String(retries) }))
    const { attempts, code } = factsOf(await ask(gateway))
    assert.deepEqual([code, attempts, upstream.requests.length - before], ['provider_error', retries + 1, retries + 1])
  }
})

test('TIMEOUT ends silence before the first byte and in the middle; the argument timeout ends whatever drips', async (t) => {
  const upstream = await upstreamFor(t, ({ json }, response) => {
    const prompt = at(json, 'messages', 0, 'content')
    if (prompt === 'silent') return
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write(chatChunk({ content: 'Hel' }))
    if (prompt === 'idle') return
    const drip = setInterval(() => response.write(': keep-alive\n\n'), 20)
    response.on('close', () => clearInterval(drip))
  })
  const gateway = gatewayFor(t, pointedAt(upstream, { TIMEOUT: '1', MAX_RETRIES: '3' }))
  const results = await Promise.all([
    ask(gateway, { prompt: 'silent' }),
    ask(gateway, { prompt: 'idle' }),
    ask(gateway, { prompt: 'drip', timeout: 1.6 }),
  ])
  assert.deepEqual(
    results.map((result) => [factsOf(result)['code'], factsOf(result)['cause'], textOf(result, 1)]),
    [
      ['timeout', 'first_byte', undefined],
      ['timeout', 'idle', 'Hel'],
      ['timeout', 'deadline', 'Hel'],
    ],
  )
  assert.equal(upstream.requests.length, 3)
  await Promise.all([0, 1, 2].map((number) => upstream.closed(number)))
})

test('two providers at once: one that is down is a row, not a failure, and its key goes nowhere else', async (t) => {
  const upstream = await upstreamFor(t, provider)
  const gone = await upstreamFor(t, provider)
  await gone.close()
  const gateway = gatewayFor(
    t,
    pointedAt(upstream, { LMSTUDIO_HOST: `127.0.0.1:${gone.port}`, LMSTUDIO_API_KEY: 'lm-canary-0123456789' }),
  )
  const fits = await promisesOf(gateway)
  const listed = fits('listModels', await callTool(gateway, 'listModels', {}))
  assert.deepEqual(
    (listed['models'] as Json[]).map(({ id }) => id),
    ['openai/tiny', 'openai/tiny-embed'],
  )
  const [row, ...others] = listed['unavailable'] as Json[]
  assert.deepEqual(others, [])
  assert.deepEqual([row?.['provider'], row?.['code']], ['lmstudio', 'network'])
  assert.match(String(row?.['message']), /refused/)
  assert.equal(fits('createCompletion', await ask(gateway, { model: 'tiny' }))['provider'], 'openai')
  for (const { headers } of upstream.requests) assert.doesNotMatch(JSON.stringify(headers), /lm-canary/)
})

const shapesOfKey = () => [
  key,
  encodeURIComponent(key),
  ...[0, 1, 2].map((offset) =>
    Buffer.from(`${'x'.repeat(offset)}${key}`)
      .toString('base64')
      .slice(4, -4),
  ),
]

function assertNoKey(gateway: Gateway, where = ''): void {
  const out = JSON.stringify(gateway.messages)
  for (const shape of shapesOfKey()) {
    assert.ok(!out.includes(shape), `stdout ${where}`)
    assert.ok(!gateway.stderr().includes(shape), `stderr ${where}`)
  }
}

const echoes: Record<string, (response: ServerResponse) => void> = {
  'an error': (response) =>
    sendJson(response, 400, { error: { message: `bad key ${key} (Bearer ${key})`, code: key, type: key } }),
  'an error, URL-encoded and in base64': (response) =>
    sendJson(response, 400, {
      error: {
        message: `${encodeURIComponent(`key=${key}`)} ${Buffer.from(`Bearer ${key}`).toString('base64')} ${Buffer.from(`x${key}`).toString('base64')}`,
      },
    }),
  'an error of plain text': (response) => void response.writeHead(500).end(`cannot use ${key}`),
  'a header': (response) => {
    response.setHeader('x-request-id', key)
    response.setHeader('www-authenticate', key)
    sendJson(response, 401, { error: { message: 'no' } })
  },
  'an answer': (response) =>
    sendStream(response, chatStream([`your key is ${key}, and `, Buffer.from(key).toString('base64')])),
  'an answer that names its model so': (response) =>
    sendStream(response, chatStream(['a']).replaceAll('"tiny"', JSON.stringify(key))),
  'the arguments of a call': (response) =>
    sendStream(
      response,
      `${chatChunk({ tool_calls: [{ index: 0, id: key, function: { name: 'f', arguments: JSON.stringify({ key }) } }] })}${chatChunk({}, 'tool_calls')}data: [DONE]\n\n`,
    ),
  'a block of thoughts': (response) => {
    const thought = { type: 'reasoning.text', text: 'a', [key]: 1 }
    sendStream(response, `${chatChunk({ content: 'a', reasoning_details: [thought] }, 'stop')}data: [DONE]\n\n`)
  },
  'an error in mid-answer': (response) =>
    sendStream(response, `${chatChunk({ content: 'a' })}data: ${JSON.stringify({ error: { message: key } })}\n\n`),
  'a redirect': (response) => void response.writeHead(302, { location: `http://127.0.0.1:9/?key=${key}` }).end(),
  'something that is no HTTP': (response) => void response.socket?.end(`garbage ${key}\r\n\r\n`),
}

for (const [name, env] of [
  ['as it comes', {}],
  ['with LOG_LEVEL=debug', { LOG_LEVEL: 'debug' }],
  ['with LOG_LEVEL=debug, NODE_DEBUG=* and DEBUG=*', { LOG_LEVEL: 'debug', NODE_DEBUG: '*', DEBUG: '*' }],
] as const) {
  test(`a key that the provider echoes is in no output, ${name}`, async (t) => {
    const answers = Object.values(echoes)
    const upstream = await upstreamFor(t, ({ path, json }, response) => {
      if (path === '/v1/models')
        return sendJson(response, 200, { data: [{ id: `model-${key}`, owned_by: key }, { id: key }] })
      const answer = answers[Number(at(json, 'messages', 0, 'content'))]
      if (answer) answer(response)
      else sendStream(response, chatStream(['fine']))
    })
    const gateway = gatewayFor(t, pointedAt(upstream, env))
    for (const [number, echo] of Object.keys(echoes).entries()) {
      await ask(gateway, { prompt: String(number) }, { progressToken: `echo ${number}` })
      assertNoKey(gateway, echo)
    }
    await callTool(gateway, 'listModels', {})
    await ask(gateway, { model: key })
    await gateway.end()
    assertNoKey(gateway, 'at the end')
    assert.deepEqual(gateway.garbage, [])
    assert.equal(upstream.requests[0]?.headers.authorization, `Bearer ${key}`, 'the key was in use')
  })
}

test('a key that is echoed in two pieces is in no output either, and progress still adds up to the text', async (t) => {
  const pieces = ['your key is ', key.slice(0, 11), key.slice(11), '.']
  const upstream = await upstreamFor(t, async (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    for (const [number, content] of pieces.entries()) {
      response.write(chatChunk({ content }))
      // Long enough for a piece to go out by itself; it may also be held back.
      const arrived = gateway.find(
        ({ method, params }) => method === 'notifications/progress' && Number(params?.['progress']) > number,
        200,
      )
      await arrived.catch(() => {})
    }
    response.end(`${chatChunk({}, 'stop')}data: [DONE]\n\n`)
  })
  const gateway = gatewayFor(t, pointedAt(upstream))
  const result = await ask(gateway, {}, { progressToken: 'p' })
  const joined = progressOf(gateway, 'p')
    .map(({ message = '' }) => message)
    .join('')
  assert.ok(!joined.includes(key), 'the pieces joined hold the key')
  assert.equal(joined, textOf(result))
})

test('a secret among the configured headers is in no output', async (t) => {
  const upstream = await upstreamFor(t, ({ headers }, response) =>
    sendJson(response, 400, { error: { message: `bad ${headers['x-team-token']} ${headers['authorization']}` } }),
  )
  const config = {
    providers: {
      mine: { type: 'openai', baseUrl: upstream.url, headers: { 'X-Team-Token': key, Authorization: `Bearer ${key}` } },
    },
  }
  const gateway = gatewayFor(t, { PROVIDER_CONFIG: JSON.stringify(config), DEFAULT_MODEL: 'tiny', LOG_LEVEL: 'debug' })
  await ask(gateway)
  assert.equal(upstream.requests[0]?.headers['x-team-token'], key)
  await gateway.end()
  assertNoKey(gateway)
})

function folderFor(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'gateway-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

test('a local server that is not there: which were looked for, and how they are started', async (t) => {
  const [first, second] = [await upstreamFor(t, provider), await upstreamFor(t, provider)]
  const [ollama, lmstudio] = [`127.0.0.1:${first.port}`, `127.0.0.1:${second.port}`]
  await Promise.all([first.close(), second.close()])
  const gateway = gatewayFor(t, {
    PROVIDER_TYPE: 'local',
    OLLAMA_HOST: ollama,
    LMSTUDIO_HOST: lmstudio,
    MAX_RETRIES: '0',
  })
  for (const named of [{}, { model: 'tiny' }]) {
    const failed = await ask(gateway, named)
    assert.equal(factsOf(failed)['code'], 'network')
    for (const words of [`ollama at ${ollama}`, `lmstudio at ${lmstudio}`, 'ollama serve', 'lms server start']) {
      assert.ok(textOf(failed)?.includes(words), textOf(failed))
    }
  }
  const alone = String(textOf(await ask(gateway, { model: 'ollama/tiny' })))
  assert.ok(alone.includes(ollama) && alone.includes('ollama serve'), alone)
  assert.doesNotMatch(alone, /lms/)
})

test('a key file that is replaced needs no restart: one refusal, then success', async (t) => {
  const file = join(folderFor(t), 'key')
  writeFileSync(file, 'sk-old-0123456789\n')
  const upstream = await upstreamFor(t, ({ headers }, response) => {
    if (headers.authorization === `Bearer ${key}`) return sendStream(response, chatStream(['fine']))
    sendJson(response, 401, { error: { message: 'expired' } })
  })
  const gateway = gatewayFor(t, { OPENAI_BASE_URL: upstream.url, OPENAI_API_KEY_FILE: file, DEFAULT_MODEL: 'tiny' })
  assert.equal(factsOf(await ask(gateway))['code'], 'authentication')
  assert.equal(upstream.requests.length, 1)
  writeFileSync(file, `${key}\n`)
  const result = await ask(gateway)
  assert.equal(textOf(result), 'fine')
  assert.equal(at(result, 'structuredContent', 'attempts'), 2)
  assert.equal(upstream.requests.length, 3)
  assert.equal(textOf(await ask(gateway)), 'fine')
  assert.equal(upstream.requests.length, 4)
  assertNoKey(gateway)
})

// Whatever is wrong, the server starts, lists its tools, and says at a call which variable it is.
const wrong: [string, Record<string, string>, RegExp][] = [
  ['nothing at all', {}, /OPENAI_API_KEY/],
  ['a placeholder', { OPENAI_API_KEY: '<UNKNOWN>' }, /OPENAI_API_KEY/],
  ['a timeout', { OPENAI_API_KEY: key, TIMEOUT: 'soon' }, /TIMEOUT/],
  ['a base URL', { GATEWAY_URL: 'ftp://example.com', GATEWAY_API_KEY: key }, /GATEWAY_URL/],
  ['a kind', { PROVIDER_TYPE: 'openia', OPENAI_API_KEY: key }, /PROVIDER_TYPE/],
  ['a file that is not there', { PROVIDER_CONFIG: '/nowhere/config.json' }, /PROVIDER_CONFIG/],
  ['broken JSON', { PROVIDER_CONFIG: `{"providers":{"a":{"type":"openai","apiKey":"${key}"` }, /PROVIDER_CONFIG/],
  [
    'JSON in quotes',
    { PROVIDER_CONFIG: `'{"providers":{"a":{"type":"openai","apiKey":"${key}"}}}'` },
    /PROVIDER_CONFIG/,
  ],
  [
    'a variable of a strange name',
    { PROVIDER_CONFIG: '{"providers":{"a":{"type":"openai","apiKeyEnv":"toString"}}}' },
    /apiKeyEnv|toString|PROVIDER_CONFIG|OPENAI_API_KEY/,
  ],
  [
    'a key file that is not there',
    { OPENAI_API_KEY_FILE: '/nowhere/key', OPENAI_BASE_URL: 'http://127.0.0.1:9/v1' },
    /OPENAI_API_KEY_FILE/,
  ],
  ['a proxy that is none', { OPENAI_API_KEY: key, HTTPS_PROXY: 'not a url' }, /HTTPS_PROXY/],
  ['a proxy of another kind', { OPENAI_API_KEY: key, HTTPS_PROXY: 'ftp://127.0.0.1:9' }, /HTTPS_PROXY/],
  ['a query in a base URL', { GATEWAY_URL: 'http://127.0.0.1:9/v1?tenant=7', GATEWAY_API_KEY: key }, /GATEWAY_URL/],
]
for (const [name, env, variable] of wrong) {
  test(`a wrong configuration never stops the server: ${name}`, async (t) => {
    const gateway = gatewayFor(t, { MAX_RETRIES: '0', DEFAULT_MODEL: 'tiny', ...env })
    const { result } = await gateway.request('tools/list', { _meta: modernMeta })
    assert.ok((at(result, 'tools') as unknown[]).length >= 3)
    const failed = await ask(gateway)
    assert.equal(failed['isError'], true)
    assert.equal(factsOf(failed)['code'], 'configuration')
    assert.match(textOf(failed) ?? '', variable)
    await gateway.end()
    assertNoKey(gateway)
  })
}

test('an answer that nests without end costs that call alone', async (t) => {
  const deep = `{"a":${'['.repeat(20_000)}${']'.repeat(20_000)}}`
  const answers: Record<string, string> = {
    'the arguments of a call': `${chatChunk({ tool_calls: [{ index: 0, id: 'c', function: { name: 'f', arguments: deep } }] })}${chatChunk({}, 'tool_calls')}data: [DONE]\n\n`,
    'a value for a schema': chatStream([deep]),
    'a block of thoughts': `data: {"choices":[{"index":0,"delta":{"content":"fine","reasoning_details":[{"type":"reasoning.text","text":"hm","deep":${deep}}]},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n`,
    'an error': `data: {"error":${'['.repeat(20_000)}${']'.repeat(20_000)}}\n\n`,
  }
  const upstream = await upstreamFor(t, ({ json }, response) =>
    sendStream(response, answers[String(at(json, 'messages', 0, 'content'))] ?? chatStream(['fine'])),
  )
  for (const prompt of Object.keys(answers)) {
    await t.test(prompt, async () => {
      const gateway = gatewayFor(t, pointedAt(upstream))
      const alive = gateway.exited.then(({ code }) =>
        assert.fail(`the gateway ended with ${code}: ${gateway.stderr().slice(0, 300)}`),
      )
      const responseSchema = prompt.includes('schema') ? { responseSchema: { type: 'object' } } : {}
      const answered = Promise.all([ask(gateway, { prompt, ...responseSchema }), ask(gateway, { prompt: 'another' })])
      const [, other] = await Promise.race([answered, alive])
      assert.equal(textOf(other as Json), 'fine')
      assert.equal(textOf((await Promise.race([ask(gateway, { prompt: 'later' }), alive])) as Json), 'fine')
    })
  }
})

test('what a provider says is one clean line that every client can parse', async (t) => {
  const upstream = await upstreamFor(t, (_, response) =>
    sendJson(response, 400, { error: { message: `${'x'.repeat(499)}😀\u001b[31m\u202e\nsecond`, code: 'a\u001bb' } }),
  )
  const gateway = gatewayFor(t, pointedAt(upstream))
  const said = JSON.stringify(await ask(gateway))
  assert.doesNotMatch(said, /\\u001b|\\ud83d"|\\ud83d…|\u202e|second/)
})

test('dist/ needs nothing else but Node', async (t) => {
  const folder = join(folderFor(t), 'elsewhere')
  cpSync(dirname(program), folder, { recursive: true })
  const upstream = await upstreamFor(t, provider)
  const gateway = gatewayFor(t, pointedAt(upstream), [join(folder, 'genai-gateway-mcp.mjs')])
  assert.equal(textOf(await ask(gateway)), 'Hello é😀')
  const responseSchema = { type: 'object', properties: { n: { type: 'number' } } }
  assert.deepEqual(at(await ask(gateway, { responseSchema }), 'structuredContent', 'object'), { n: 7 })
})

type Proxy = { url: string; seen: string[] }

/** A proxy that forwards plain requests and opens tunnels, and keeps what it was told. */
async function proxyFor(t: TestContext): Promise<Proxy> {
  const seen: string[] = []
  const sockets = new Set<Socket>()
  const proxy = createProxy((incoming, response) => {
    seen.push(`${incoming.method} ${incoming.url}`)
    const onward = forward(incoming.url ?? '', { method: incoming.method, headers: incoming.headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(response)
    })
    incoming.pipe(onward)
  })
  proxy.on('connect', (incoming, socket, head) => {
    seen.push(`CONNECT ${incoming.url} ${JSON.stringify(incoming.headers)}`)
    const [host, port] = (incoming.url ?? '').split(':')
    const onward = connect(Number(port), host, () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n')
      onward.write(head)
      onward.pipe(socket).pipe(onward)
    })
    for (const end of [socket, onward]) {
      sockets.add(end as Socket)
      end.on('error', () => {})
    }
  })
  proxy.on('connection', (socket) => sockets.add(socket))
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    proxy.close()
  })
  return { url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`, seen }
}

test('HTTP_PROXY is used for http, and NO_PROXY is heeded', async (t) => {
  const upstream = await upstreamFor(t, provider)
  const proxy = await proxyFor(t)
  for (const variable of ['HTTP_PROXY', 'http_proxy']) {
    const before = proxy.seen.length
    const through = gatewayFor(t, pointedAt(upstream, { [variable]: proxy.url }))
    assert.equal(textOf(await ask(through)), 'Hello é😀')
    assert.equal(proxy.seen.length, before + 1)
    assert.ok(proxy.seen.at(-1)?.includes(`127.0.0.1:${upstream.port}`))
  }
  const before = proxy.seen.length
  const around = gatewayFor(t, pointedAt(upstream, { HTTP_PROXY: proxy.url, NO_PROXY: 'example.com,127.0.0.1' }))
  assert.equal(textOf(await ask(around)), 'Hello é😀')
  assert.equal(proxy.seen.length, before)
})

/** A certificate for this machine alone, made on the spot, which nobody trusts until told to. */
function createCertificate(): { key: string; cert: string } {
  const der = (tag: number, ...parts: Buffer[]) => {
    const body = Buffer.concat(parts)
    const size =
      body.length < 128
        ? [body.length]
        : body.length < 256
          ? [0x81, body.length]
          : [0x82, body.length >> 8, body.length & 255]
    return Buffer.concat([Buffer.from([tag, ...size]), body])
  }
  const oid = (hex: string) => der(0x06, Buffer.from(hex, 'hex'))
  const number = (value: number) => der(0x02, Buffer.from([value]))
  const time = (value: string) => der(0x17, Buffer.from(value))
  const yes = der(0x01, Buffer.from([0xff]))
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const algorithm = der(0x30, oid('2a8648ce3d040302'))
  const name = der(0x30, der(0x31, der(0x30, oid('550403'), der(0x0c, Buffer.from('spec')))))
  const hosts = der(0x30, der(0x82, Buffer.from('localhost')), der(0x87, Buffer.from([127, 0, 0, 1])))
  const extensions = der(
    0x30,
    der(0x30, oid('551d13'), yes, der(0x04, der(0x30, yes))),
    der(0x30, oid('551d11'), der(0x04, hosts)),
  )
  const body = der(
    0x30,
    der(0xa0, number(2)),
    number(1),
    algorithm,
    name,
    der(0x30, time('200101000000Z'), time('491231235959Z')),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, extensions),
  )
  const whole = der(0x30, body, algorithm, der(0x03, Buffer.from([0]), sign('sha256', body, privateKey)))
  const cert = `-----BEGIN CERTIFICATE-----\n${whole.toString('base64').replace(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`
  return { key: String(privateKey.export({ type: 'pkcs8', format: 'pem' })), cert }
}

test('https: a certificate of one’s own, HTTPS_PROXY and NO_PROXY', async (t) => {
  const certificate = createCertificate()
  const folder = folderFor(t)
  const authorities = join(folder, 'ca.pem')
  writeFileSync(authorities, certificate.cert)
  let requests = 0
  const server = createHttps(certificate, (_, response) => {
    requests += 1
    sendStream(response, chatStream(['over TLS']))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const proxy = await proxyFor(t)
  const env = {
    OPENAI_BASE_URL: `https://localhost:${port}/v1`,
    OPENAI_API_KEY: key,
    DEFAULT_MODEL: 'tiny',
    MAX_RETRIES: '3',
  }

  await t.test('a stranger’s certificate is a fault of tls, and nothing is sent', async () => {
    const result = await ask(gatewayFor(t, env))
    assert.deepEqual(
      [factsOf(result)['code'], factsOf(result)['attempts'], factsOf(result)['retryable'], requests],
      ['tls', 1, false, 0],
    )
    assert.match(textOf(result) ?? '', /NODE_EXTRA_CA_CERTS/)
  })

  await t.test('NODE_EXTRA_CA_CERTS makes it one of ours', async () => {
    assert.equal(textOf(await ask(gatewayFor(t, { ...env, NODE_EXTRA_CA_CERTS: authorities }))), 'over TLS')
  })

  await t.test('through the proxy, which sees the host and not the key', async () => {
    const gateway = gatewayFor(t, { ...env, NODE_EXTRA_CA_CERTS: authorities, HTTPS_PROXY: proxy.url })
    assert.equal(textOf(await ask(gateway)), 'over TLS')
    assert.equal(proxy.seen.length, 1)
    assert.ok(proxy.seen[0]?.startsWith(`CONNECT localhost:${port} `))
    assert.ok(!proxy.seen[0]?.includes(key))
  })

  await t.test('around the proxy', async () => {
    const before = proxy.seen.length
    const gateway = gatewayFor(t, {
      ...env,
      NODE_EXTRA_CA_CERTS: authorities,
      HTTPS_PROXY: proxy.url,
      NO_PROXY: 'localhost',
    })
    assert.equal(textOf(await ask(gateway)), 'over TLS')
    assert.equal(proxy.seen.length, before)
  })
})

test('an image for a model that is known to take none is refused before anything is sent', async (t) => {
  const models = [
    { name: 'text:1b', capabilities: ['completion', 'tools'] },
    { name: 'sees:1b', capabilities: ['completion', 'vision'] },
    { name: 'unknown:1b' },
  ]
  const upstream = await upstreamFor(t, ({ path }, response) => {
    if (path === '/api/tags') return sendJson(response, 200, { models })
    response.writeHead(200, { 'content-type': 'application/x-ndjson' })
    response.end('{"message":{"content":"seen"},"done":true,"done_reason":"stop"}\n')
  })
  const gateway = gatewayFor(t, { OLLAMA_HOST: upstream.url.replace(/\/v1$/, '') })
  await callTool(gateway, 'listModels', {})
  const image = { type: 'image', data: 'iVBORw0KGgo=', mimeType: 'image/png' }
  const call = { role: 'assistant', toolCalls: [{ id: 'a', name: 'look', arguments: {} }] }
  const asked = { role: 'user', content: 'Look' }
  const conversations = [
    [{ role: 'user', content: [image] }],
    [asked, call, { role: 'tool', toolCallId: 'a', content: [image] }],
    [asked, call, { role: 'user', content: [{ type: 'tool_result', toolUseId: 'a', content: [image] }] }],
  ]
  for (const messages of conversations) {
    const before = upstream.requests.length
    const result = await callTool(gateway, 'createCompletion', { model: 'ollama/text:1b', messages })
    assert.deepEqual([factsOf(result)['code'], factsOf(result)['cause']], ['invalid_request', 'no_vision'])
    assert.equal(upstream.requests.length, before)
    for (const model of ['ollama/sees:1b', 'ollama/unknown:1b']) {
      assert.equal(textOf(await callTool(gateway, 'createCompletion', { model, messages })), 'seen')
    }
  }
})

test('a server with one place says what it has, and is found by it, while it is at work', async (t) => {
  const { opened, open } = gate()
  const upstream = await upstreamFor(t, async ({ path }, response) => {
    if (path === '/v1/models') return sendJson(response, 200, { data: [{ id: 'only-here' }] })
    await opened
    sendStream(response, chatStream(['fine']))
  })
  const place = { type: 'openai', baseUrl: upstream.url }
  const other = { type: 'openai', baseUrl: 'http://127.0.0.1:9/v1', maxRetries: 0 }
  const gateway = gatewayFor(t, {
    PROVIDER_CONFIG: JSON.stringify({ providers: { other, one: { ...place, maxConcurrency: 1 } } }),
  })
  const first = ask(gateway, { model: 'one/only-here' })
  await until(() => upstream.requests.length === 1)
  const calls = [first, ask(gateway, { model: 'only-here' })]
  const list = await callTool(gateway, 'listModels', { provider: 'one' })
  assert.equal(at(list, 'structuredContent', 'models', 0, 'id'), 'one/only-here')
  open()
  for (const call of calls) assert.equal(at(await call, 'structuredContent', 'provider'), 'one')
})

test('an error whose body has no end is told all the same, and its connection closed', async (t) => {
  const upstream = await upstreamFor(t, (_, response) => {
    response.writeHead(400, { 'content-type': 'application/json' })
    response.write('{"error":{"message":"no such thing"}}')
    const drip = setInterval(() => response.write(' '), 100)
    response.on('close', () => clearInterval(drip))
  })
  const result = await ask(gatewayFor(t, pointedAt(upstream)), { timeout: 15 })
  assert.match(textOf(result) ?? '', /no such thing/)
  assert.ok(Number(at(result, '_meta', 'genai-gateway/error', 'elapsedMs')) < 10_000)
  await upstream.closed(0)
})
