import assert from 'node:assert/strict'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, test } from 'node:test'
import { callTool, type Gateway, type Json, startGateway } from '../harness/gateway.ts'

/** callTool through the gateway's own pipes: what is listed, what is sent and how often, and what comes of it. */

type Asked = { method: string; path: string; headers: IncomingMessage['headers']; bytes: Buffer }
type Answer = (response: ServerResponse, asked: Asked, number: number) => void

const closings: (() => void)[] = []
after(() => {
  for (const close of closings) close()
})

/** A provider that answers as the test says; bodies are kept as bytes, because not all are JSON. */
async function startProvider(answer: Answer): Promise<{ origin: string; asked: Asked[] }> {
  const asked: Asked[] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const { method = '', url: path = '', headers } = request
      const one = { method, path, headers, bytes: Buffer.concat(chunks) }
      answer(response, one, asked.push(one) - 1)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closings.push(() => {
    server.close()
    server.closeAllConnections()
  })
  return { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked }
}

const json = (response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}) =>
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))

function start(env: Record<string, string>): Gateway {
  const gateway = startGateway({ LOG_LEVEL: 'silent', ...env })
  closings.push(() => gateway.child.kill('SIGKILL'))
  return gateway
}

/** A gateway with one provider of this type, and what that one is asked. */
async function withProvider(type: string, answer: Answer, path = ''): Promise<{ gateway: Gateway; asked: Asked[] }> {
  const { origin, asked } = await startProvider(answer)
  const gateway = start({ GATEWAY_URL: `${origin}${path}`, GATEWAY_API_KEY: 'not-a-real-key', PROVIDER_TYPE: type })
  return { gateway, asked }
}

const facts = (result: Json) => (result['_meta'] as Json)['genai-gateway/error'] as Json
const firstText = (result: Json) => (result['content'] as { text?: string }[])[0]?.text ?? ''
const bodyOf = ({ bytes }: Asked): Json => JSON.parse(bytes.toString('utf8'))

const everyProvider = {
  OPENAI_API_KEY: 'not-a-real-key',
  ANTHROPIC_API_KEY: 'not-a-real-key',
  OLLAMA_BASE_URL: 'http://127.0.0.1:9',
  LMSTUDIO_BASE_URL: 'http://127.0.0.1:9/v1',
  GROQ_API_KEY: 'not-a-real-key',
}
const listing = start(everyProvider)

test('without a tool, every tool of every provider is listed with its schema', async () => {
  const { isError, structuredContent, content } = await callTool(listing, 'callTool', {})
  assert.equal(isError, undefined)
  const { tools } = structuredContent as { tools: { provider: string; name: string; inputSchema: Json }[] }
  assert.deepEqual(
    tools.map(({ provider, name }) => `${provider}: ${name}`),
    [
      'openai: moderate',
      'openai: generateImage',
      'openai: transcribe',
      'openai: searchWeb',
      'anthropic: countTokens',
      'anthropic: searchWeb',
      'ollama: show',
      'ollama: ps',
      'ollama: pull',
      'lmstudio: load',
      'lmstudio: unload',
    ],
  )
  for (const { inputSchema } of tools) assert.equal(inputSchema['type'], 'object')
  assert.equal(firstText({ content }).split('\n').length, 11)
})

test('the list may be of one provider, and of one that has none', async () => {
  const ollama = await callTool(listing, 'callTool', { provider: 'ollama' })
  const { tools } = ollama['structuredContent'] as { tools: { name: string }[] }
  assert.deepEqual(
    tools.map(({ name }) => name),
    ['show', 'ps', 'pull'],
  )
  const groq = await callTool(listing, 'callTool', { provider: 'groq' })
  assert.deepEqual(groq['structuredContent'], { tools: [] })
  assert.equal(firstText(groq), 'No configured provider has tools of its own.')
})

const refusals: { name: string; args: Json; says: RegExp }[] = [
  { name: 'a provider that is not configured', args: { provider: 'azure', tool: 'x' }, says: /azure/ },
  { name: 'a tool that nobody has', args: { tool: 'nope' }, says: /no tool "nope"; there are moderate, .*unload/ },
  {
    name: 'a tool of another provider',
    args: { provider: 'ollama', tool: 'moderate' },
    says: /ollama has no tool "moderate"; there are show, ps, pull/,
  },
  { name: 'a provider without tools', args: { provider: 'groq', tool: 'x' }, says: /there are none/ },
  { name: 'a tool by the name of what every object has', args: { tool: 'constructor' }, says: /no tool/ },
  { name: 'a missing argument', args: { tool: 'moderate' }, says: /arguments of moderate: input/ },
  { name: 'an argument of another type', args: { tool: 'moderate', arguments: { input: 7 } }, says: /input/ },
  { name: 'an argument that it does not know', args: { tool: 'ps', arguments: { all: true } }, says: /all/ },
  {
    name: 'what is no media type',
    args: { tool: 'transcribe', arguments: { audio: 'UklGRg==', mimeType: 'audio/wav\r\nx: y' } },
    says: /media type/,
  },
]

for (const { name, args, says } of refusals) {
  test(`refused before anything is sent: ${name}`, async () => {
    const result = await callTool(listing, 'callTool', args)
    assert.equal(result['isError'], true)
    assert.match(firstText(result), says)
    assert.equal(facts(result)['code'], 'invalid_request')
    assert.equal(facts(result)['attempts'], 0)
  })
}

test('the first provider that has a tool runs it, and another one if it is named', async () => {
  const one = await startProvider((response) => json(response, 200, { id: 'one', results: [] }))
  const two = await startProvider((response) => json(response, 200, { id: 'two', results: [] }))
  const entry = (baseUrl: string) => ({ type: 'openai', baseUrl: `${baseUrl}/v1`, apiKey: 'not-a-real-key' })
  const gateway = start({
    PROVIDER_CONFIG: JSON.stringify({ providers: { one: entry(one.origin), two: entry(two.origin) } }),
  })
  const call = { tool: 'moderate', arguments: { input: 'Hi' } }
  const first = await callTool(gateway, 'callTool', call)
  const second = await callTool(gateway, 'callTool', { ...call, provider: 'two' })
  assert.deepEqual(
    [first, second].map(({ structuredContent }) => structuredContent),
    [
      { provider: 'one', tool: 'moderate', result: { id: 'one', results: [] }, attempts: 1 },
      { provider: 'two', tool: 'moderate', result: { id: 'two', results: [] }, attempts: 1 },
    ],
  )
  assert.deepEqual([one.asked.length, two.asked.length], [1, 1])
  assert.equal(one.asked[0]?.headers.authorization, 'Bearer not-a-real-key')
})

test('a picture is a picture', async () => {
  const { gateway, asked } = await withProvider(
    'openai',
    (response) => json(response, 200, { data: [{ b64_json: 'aGk=' }, { b64_json: 'aG8=' }], output_format: 'webp' }),
    '/v1',
  )
  const result = await callTool(gateway, 'callTool', { tool: 'generateImage', arguments: { prompt: 'A dot' } })
  assert.deepEqual(result['content'], [
    { type: 'image', data: 'aGk=', mimeType: 'image/webp' },
    { type: 'image', data: 'aG8=', mimeType: 'image/webp' },
  ])
  assert.deepEqual(asked.map(bodyOf), [{ prompt: 'A dot', model: 'gpt-image-1' }])
})

test('a recording is sent byte for byte, in a form that can be read', async () => {
  const { gateway, asked } = await withProvider('openai', (response) => json(response, 200, { text: 'Grüezi' }), '/v1')
  const recording = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
  const args = { audio: recording.toString('base64'), mimeType: 'audio/x-wav', language: 'de' }
  const result = await callTool(gateway, 'callTool', { tool: 'transcribe', arguments: args })
  assert.equal(firstText(result), 'Grüezi')
  const [{ headers, bytes, path } = assert.fail()] = asked
  assert.equal(path, '/v1/audio/transcriptions')
  const form = await new Response(new Uint8Array(bytes), {
    headers: { 'content-type': headers['content-type'] ?? '' },
  }).formData()
  assert.deepEqual(
    ['model', 'response_format', 'language', 'prompt'].map((name) => form.get(name)),
    ['gpt-4o-mini-transcribe', 'json', 'de', null],
  )
  const file = form.get('file')
  assert.ok(file instanceof File)
  assert.deepEqual([file.name, file.type], ['audio.wav', 'audio/x-wav'])
  assert.deepEqual(Buffer.from(await file.arrayBuffer()), recording)
})

/** What costs money or changes something, and how a provider may fail at it. */
const spending = [
  { type: 'openai', tool: 'generateImage', arguments: { prompt: 'A dot' } },
  { type: 'openai', tool: 'transcribe', arguments: { audio: 'UklGRg==', mimeType: 'audio/wav' } },
  { type: 'openai', tool: 'searchWeb', arguments: { prompt: 'Who won?' } },
  { type: 'anthropic', tool: 'searchWeb', arguments: { prompt: 'Who won?', model: 'claude-x' } },
  { type: 'ollama', tool: 'pull', arguments: { model: 'tiny' } },
  { type: 'lmstudio', tool: 'load', arguments: { model: 'tiny' } },
  { type: 'lmstudio', tool: 'unload', arguments: { instance: 'tiny' } },
]
const failures: { name: string; answer: Answer }[] = [
  { name: '500', answer: (response) => json(response, 500, { error: { message: 'no' } }) },
  {
    name: '503 with retry-after',
    answer: (response) => json(response, 503, { error: { message: 'no' } }, { 'retry-after': '0' }),
  },
  { name: 'a connection that breaks', answer: (response) => response.destroy() },
]

for (const { type, ...call } of spending) {
  test(`${call.tool} of ${type} is sent once, whatever comes of it`, async () => {
    let failure = failures[0]
    const { gateway, asked } = await withProvider(type, (...args) => failure?.answer(...args), '/v1')
    for (const next of failures) {
      failure = next
      const before = asked.length
      const result = await callTool(gateway, 'callTool', call)
      assert.equal(result['isError'], true, next.name)
      assert.equal(facts(result)['attempts'], 1, next.name)
      assert.equal(asked.length - before, 1, next.name)
    }
  })
}

const free = [
  { type: 'openai', tool: 'moderate', arguments: { input: 'Hi' } },
  { type: 'anthropic', tool: 'countTokens', arguments: { model: 'claude-x', prompt: 'Hi' } },
  { type: 'ollama', tool: 'show', arguments: { model: 'tiny' } },
  { type: 'ollama', tool: 'ps' },
]

for (const { type, ...call } of free) {
  test(`${call.tool} of ${type} is tried again after a 500`, async () => {
    const { gateway, asked } = await withProvider(type, (response, _, number) =>
      number === 0 ? json(response, 500, { error: { message: 'no' } }) : json(response, 200, { fine: true }),
    )
    const result = await callTool(gateway, 'callTool', call)
    assert.deepEqual(result['structuredContent'], {
      provider: type,
      tool: call.tool,
      result: { fine: true },
      attempts: 2,
    })
    assert.equal(asked.length, 2)
  })
}

test('a download is told while it goes on, and before its result', async () => {
  let proceed = () => {}
  const { gateway } = await withProvider('ollama', (response) => {
    response.writeHead(200, { 'content-type': 'application/x-ndjson' })
    response.write('{"status":"pulling manifest"}\n{"status":"pulling abc","total":100}\n')
    proceed = () => response.end('{"status":"pulling abc","total":100,"completed":100}\n{"status":"success"}\n')
  })
  const call = { tool: 'pull', arguments: { model: 'tiny' } }
  const answer = callTool(gateway, 'callTool', call, { progressToken: 'p' })
  await gateway.find(({ params = {} }) => String(params['message']).endsWith('pulling abc\n'))
  proceed()
  const result = await answer
  assert.equal(firstText(result), 'pulling manifest\npulling abc\nsuccess\n')
  const told = gateway.messages.flat().filter(({ method }) => method === 'notifications/progress')
  assert.equal(told.map(({ params = {} }) => params['message'] ?? '').join(''), firstText(result))
  const numbers = told.map(({ params = {} }) => Number(params['progress']))
  assert.ok(numbers.every((number, at) => at === 0 || number > (numbers[at - 1] ?? 0)))
  assert.equal(gateway.messages.flat().at(-1)?.method, undefined)
})

test('an answer that is cut short is a failure with the words so far', async () => {
  const { gateway } = await withProvider('openai', (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.end('event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"Nobo"}\n\n')
  })
  const result = await callTool(gateway, 'callTool', { tool: 'searchWeb', arguments: { prompt: 'Who won?' } })
  assert.deepEqual([facts(result)['code'], facts(result)['attempts']], ['truncated', 1])
  assert.equal((result['content'] as { text?: string }[])[1]?.text, 'Nobo')
})

test('an answer that nests without end is told as one', async () => {
  const deep = `{"a":${'['.repeat(20_000)}${']'.repeat(20_000)}}`
  const { gateway } = await withProvider('ollama', (response) =>
    response.writeHead(200, { 'content-type': 'application/json' }).end(deep),
  )
  const result = await callTool(gateway, 'callTool', { tool: 'show', arguments: { model: 'a' } })
  assert.partialDeepStrictEqual(facts(result), { code: 'invalid_response', cause: 'too_deep', provider: 'ollama' })
})
