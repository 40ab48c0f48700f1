import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { callTool, type Gateway, type Json, modernMeta, startGateway } from '../harness/gateway.ts'
import { type Answer, chatStream, type Received, sendJson, sendStream, startUpstream } from '../harness/upstream.ts'

const key = 'plugin-key-0123456789abcdef0123456789abcd'
const otherKey = 'another-key-fedcba9876543210fedcba987654'
const root = fileURLToPath(new URL('../../', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'plugins-'))
const gateways: Gateway[] = []

/** The plugin that the documents show, to the letter. */
const documented = /<!-- plugin -->\n```js\n([\s\S]*?)```/.exec(
  readFileSync(join(root, 'spec/components.md'), 'utf8'),
)?.[1]
assert.ok(documented)

const answer: Answer = ({ path, method }, response) => {
  if (path === '/v1/models' && method === 'GET') return sendJson(response, 200, { names: ['small', 'large'] })
  if (path === '/v1/chat/completions') return sendStream(response, chatStream(['from', ' another']))
  response.writeHead(200, { 'content-type': 'application/x-ndjson' })
  response.end('{"piece":"Grüß "}\n{"piece":"Gott"}\n{"end":"eos","read":5,"written":2}\n')
}
const upstream = await startUpstream((received, response, number) => script(received, response, number))
let script: Answer = answer

after(async () => {
  for (const gateway of gateways) gateway.child.kill()
  await upstream.close()
})

let written = 0
function fileOf(source: string): { path: string; sha256: string } {
  const path = join(folder, `plugin-${++written}.mjs`)
  writeFileSync(path, source)
  return { path, sha256: createHash('sha256').update(source).digest('hex') }
}

/** A gateway with the plugin as provider `mine`, and beside it one that is none of a plugin's. */
function start(plugin: { path: string; sha256: string }, env: Record<string, string> = {}): Gateway {
  const gateway = startGateway({
    PROVIDER_CONFIG: JSON.stringify({
      plugins: { lines: plugin },
      providers: { mine: { type: 'lines', baseUrl: upstream.url, apiKeyEnv: 'MINE_API_KEY', maxRetries: 0 } },
    }),
    MINE_API_KEY: key,
    OPENAI_API_KEY: otherKey,
    OPENAI_BASE_URL: upstream.url,
    ...env,
  })
  gateways.push(gateway)
  return gateway
}

const complete = (gateway: Gateway, model: string, more: Json = {}, meta: Json = {}) =>
  callTool(gateway, 'createCompletion', { model, prompt: 'Hello', ...more }, meta)
/** A call that is not waited for. */
function begin(gateway: Gateway, id: number, meta: Json = {}): void {
  const params = {
    name: 'createCompletion',
    arguments: { model: 'mine/small', prompt: 'Hello' },
    _meta: { ...modernMeta, ...meta },
  }
  gateway.send({ jsonrpc: '2.0', id, method: 'tools/call', params })
}
const faultOf = (result: Json) => (result['_meta'] as Json)['genai-gateway/error'] as Json
const structured = (result: Json) => result['structuredContent'] as Json

/** The other provider answers, and nothing but messages has come out on stdout. */
async function assertTheRestGoesOn(gateway: Gateway): Promise<void> {
  const result = await complete(gateway, 'openai/tiny')
  assert.equal(structured(result)['text'], 'from another')
  assert.deepEqual(gateway.garbage, [])
}

test('the plugin of the documents completes, streams, lists, and is under sixty lines', async () => {
  assert.ok(documented.split('\n').length < 60)
  const gateway = start(fileOf(documented))
  const from = upstream.requests.length
  const result = await complete(
    gateway,
    'mine/small',
    { maxTokens: 9, tools: [{ name: 'add', inputSchema: { type: 'object' } }] },
    { progressToken: 1 },
  )
  const { text, finishReason, rawFinishReason, usage, warnings, provider, model, attempts } = structured(result)
  assert.deepEqual(
    { text, finishReason, rawFinishReason, usage, warnings, provider, model, attempts },
    {
      text: 'Grüß Gott',
      finishReason: 'stop',
      rawFinishReason: 'eos',
      usage: { promptTokens: 5, completionTokens: 2, totalTokens: 7 },
      warnings: ['tools were left out: this server has none'],
      provider: 'mine',
      model: 'small',
      attempts: 1,
    },
  )
  const progress = gateway.messages.flat().filter(({ method }) => method === 'notifications/progress')
  assert.equal(progress.map(({ params }) => params?.['message'] ?? '').join(''), 'Grüß Gott')
  const [request] = upstream.requests.slice(from) as [Received]
  assert.equal(request.path, '/v1/generate')
  assert.equal(request.headers['x-api-key'], key)
  assert.deepEqual(request.json, { model: 'small', turns: [{ role: 'user', text: 'Hello' }], limit: 9 })

  const list = structured(await callTool(gateway, 'listModels', { provider: 'mine' }))
  assert.deepEqual(list['models'], [
    { id: 'mine/small', provider: 'mine', name: 'small' },
    { id: 'mine/large', provider: 'mine', name: 'large' },
  ])
  const embedding = await callTool(gateway, 'createEmbedding', { model: 'mine/small', input: ['a'] })
  assert.equal(faultOf(embedding)['code'], 'invalid_request')
  await assertTheRestGoesOn(gateway)
})

test('faults of its provider are told as those of any other, and an answer that is cut off too', async () => {
  const gateway = start(fileOf(documented))
  const cases: [Answer, Json][] = [
    [(_, response) => sendJson(response, 401, { error: 'no such key' }), { code: 'authentication', status: 401 }],
    [(_, response) => sendJson(response, 404, { error: 'unknown model' }), { code: 'model_not_found', status: 404 }],
    [(_, response) => void response.end('{"piece":"half"}\n'), { code: 'truncated', attempts: 1 }],
    [(_, response) => void response.end('{"error":"tired"}\n'), { code: 'provider_error', attempts: 1 }],
    [(_, response) => void response.end('{nonsense}\n'), { code: 'invalid_response', cause: 'bad_json' }],
  ]
  for (const [faulty, expected] of cases) {
    script = faulty
    assert.partialDeepStrictEqual(faultOf(await complete(gateway, 'mine/small')), { provider: 'mine', ...expected })
  }
  script = answer
  assert.equal(structured(await complete(gateway, 'mine/small'))['text'], 'Grüß Gott')
})

test('a cancelled call closes the socket of a plugin as of any other', async () => {
  const gateway = start(fileOf(documented))
  const from = upstream.requests.length
  script = (_, response) => void response.write('{"piece":"begun"}\n')
  begin(gateway, 7, { progressToken: 7 })
  await gateway.find(({ params }) => params?.['message'] === 'begun')
  gateway.send({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 7 } })
  await upstream.closed(from)
  script = answer
  assert.equal(structured(await complete(gateway, 'mine/small'))['text'], 'Grüß Gott')
})

test('an answer that a plugin does not read holds no connection', { timeout: 20_000 }, async () => {
  const gateway = start(fileOf(chat(request, "throw new Error('no')")))
  const from = upstream.requests.length
  script = (_, response) => void response.writeHead(200).write('begun')
  assert.equal(faultOf(await complete(gateway, 'mine/small'))['code'], 'provider_error')
  await upstream.closed(from)
  script = answer
})

const wellBehaved = `
  authorize: (key) => ({ authorization: key }),
  fault: () => new Error('no'),`
const request = "({ method: 'GET', url: baseUrl + '/models', headers: {}, warnings: [] })"
const chat = (encode: string, decode: string) =>
  `export const provider = { ${wellBehaved} chat: { encode: (ask, { baseUrl }) => ${encode}, async *decode({ body }) { ${decode} } } }`

/** Each is met by the call that needs it, and by nobody else. */
const misbehaviours: Readonly<Record<string, [source: string, words: RegExp, code?: string]>> = {
  'throws while it loads': [`throw new Error('boom')`, /cannot be loaded.*boom/, 'configuration'],
  'throws a string while it loads': [`throw 'boom'`, /cannot be loaded/, 'configuration'],
  'is no JavaScript': ['not a program', /cannot be loaded/, 'configuration'],
  'exports nothing': ['export const a = 1', /exports no provider/, 'configuration'],
  'imports another file': [`import './other.mjs'`, /one file.*\.\/other\.mjs/, 'configuration'],
  'imports a package': [`import 'undici'`, /one file.*undici/, 'configuration'],
  'ends the process while it loads': ['process.exit(0)', /ended its thread/, 'configuration'],
  'throws in encode': [chat(`{ throw new Error('boom') }`, ''), /its plugin failed: boom/],
  'rejects in encode': [chat(`Promise.reject(new Error('boom'))`, ''), /its plugin failed: boom/],
  'gives junk from encode': [chat('42', ''), /did not keep to the types/],
  'gives what cannot be sent': [chat('({ method: () => 1 })', ''), /its plugin failed/],
  'asks for another address': [
    chat(`({ method: 'GET', url: 'http://127.0.0.1:9/', headers: {}, warnings: [] })`, ''),
    /another address/,
    'configuration',
  ],
  'puts a line end into a header': [
    chat(`({ method: 'GET', url: baseUrl, headers: { a: 'b\\r\\nc: d' }, warnings: [] })`, ''),
    /did not keep to the types.*headers/,
  ],
  'says how long its body is': [
    chat(`({ method: 'GET', url: baseUrl, headers: { 'Content-Length': '3' }, warnings: [] })`, ''),
    /did not keep to the types.*headers/,
  ],
  'speaks for another host': [
    chat(`({ method: 'GET', url: baseUrl, headers: { host: 'example.com' }, warnings: [] })`, ''),
    /did not keep to the types.*headers/,
  ],
  'has a tool whose schema nobody can read': [
    `export const provider = { ${wellBehaved} tools: { t: { description: 'd', sendOnce: false,
      inputSchema: { type: 'object', properties: { a: { $ref: '#/nowhere' } } }, encode() {}, async *decode() {} } } }`,
    /cannot be loaded.*inputSchema of its tool t/,
    'configuration',
  ],
  'throws in decode': [chat(request, `throw new Error('boom')`), /its plugin failed: boom/],
  'throws later': [
    chat(request, `setTimeout(() => { throw new Error('boom') }); await new Promise(() => {})`),
    /its plugin failed: boom/,
  ],
  'rejects later': [
    chat(request, `Promise.reject(new Error('boom')); await new Promise(() => {})`),
    /its plugin failed/,
  ],
  'gives junk from decode': [chat(request, `yield { type: 'text-delta', text: 7 }`), /did not keep to the types: text/],
  'gives an unknown event': [chat(request, `yield { type: 'served', provider: 'x' }`), /did not keep to the types/],
  'never finishes': [chat(request, ''), /ended before it was finished/, 'truncated'],
  'ends the process': [chat(request, 'process.exit(0); yield'), /ended its thread/],
  'sends what JSON has no words for': [
    chat(`({ method: 'POST', url: baseUrl, headers: {}, json: { count: 1n }, warnings: [] })`, ''),
    /did not keep to the types: json/,
  ],
  'answers with a value that holds itself': [
    chat(request, `const value = {}; value.value = value; yield { type: 'reasoning-block', block: value }`),
    /did not keep to the types: block/,
  ],
  'takes all memory': [chat(request, 'const a = []; for (;;) a.push(new Array(1e5).fill(a.length))'), /its plugin/],
}

for (const [name, [source, words, code = 'provider_error']] of Object.entries(misbehaviours)) {
  test(`a plugin that ${name} fails alone`, async () => {
    const gateway = start(fileOf(source))
    for (let time = 0; time < 2; time++) {
      const result = await complete(gateway, 'mine/small')
      assert.equal(faultOf(result)['code'], code)
      assert.match(((result['content'] as Json[])[0] as Json)['text'] as string, words)
    }
    await assertTheRestGoesOn(gateway)
  })
}

for (const [name, decode] of Object.entries({
  'loops for ever': 'for (;;);',
  'waits for ever': 'await new Promise(() => {})',
})) {
  test(`a plugin that ${name} is given up after five seconds`, { timeout: 30_000 }, async () => {
    const gateway = start(fileOf(chat(request, decode)))
    const startedMs = performance.now()
    const stuck = complete(gateway, 'mine/small')
    await assertTheRestGoesOn(gateway)
    const result = await stuck
    assert.match(((result['content'] as Json[])[0] as Json)['text'] as string, /did not answer within 5 s/)
    assert.ok(performance.now() - startedMs < 9_000)
    await assertTheRestGoesOn(gateway)
  })
}

const finished = `yield { type: 'text-delta', text: 'done' }; yield { type: 'finish', reason: 'stop' }`

test('what a plugin sends through its port beside its answers is nobody’s', async () => {
  const stray = `const { parentPort } = await import('node:worker_threads');
    for (const word of [null, 5, 'word', [], {}, { id: 'none', fault: null }]) parentPort.postMessage(word)`
  const gateway = start(fileOf(chat(request, `${stray}; ${finished}`)))
  assert.equal(structured(await complete(gateway, 'mine/small'))['text'], 'done')
  await assertTheRestGoesOn(gateway)
})

test('a plugin behind a symbolic link is held to its digest and to one file as well', async () => {
  writeFileSync(join(folder, 'beside.mjs'), 'export const secret = 1')
  const { path, sha256 } = fileOf(`import './beside.mjs'\n${documented}`)
  const link = join(folder, 'link.mjs')
  symlinkSync(path, link)
  const gateway = start({ path: link, sha256 })
  const result = await complete(gateway, 'mine/small')
  assert.equal(faultOf(result)['code'], 'configuration')
  assert.match(((result['content'] as Json[])[0] as Json)['text'] as string, /one file.*\.\/beside\.mjs/)
})

test('a call does not wait for its provider when another one has ended the thread', async () => {
  const decode = `if (calls++ > 0) process.exit(0); for await (const chunk of body) yield { type: 'text-delta', text: 'begun' }`
  const gateway = start(fileOf(`let calls = 0; ${chat(request, decode)}`))
  script = (_, response) => void response.write('some')
  const waiting = complete(gateway, 'mine/small', {}, { progressToken: 3 })
  await gateway.find(({ params }) => params?.['message'] === 'begun')
  const startedMs = performance.now()
  await complete(gateway, 'mine/small')
  assert.match((((await waiting)['content'] as Json[])[0] as Json)['text'] as string, /ended its thread/)
  assert.ok(performance.now() - startedMs < 10_000)
  script = answer
  await assertTheRestGoesOn(gateway)
})

test('of two calls that a thread was answering, the innocent one may be tried again', {
  timeout: 30_000,
}, async () => {
  const decode = `if (ask.messages[0].content[0].text === 'hang') for (;;);
    for await (const chunk of body) yield { type: 'text-delta', text: 'done' }
    yield { type: 'finish', reason: 'stop' }`
  const source = chat(request, decode).replace('*decode({ body })', '*decode({ body }, ask)')
  const gateway = start(fileOf(source))
  const from = upstream.requests.length
  script = (_, response, number) => {
    if (number === from) response.flushHeaders()
    else response.end('some')
  }
  const innocent = complete(gateway, 'mine/small')
  while (upstream.requests.length === from) await new Promise((resolve) => setTimeout(resolve, 10))
  await new Promise((resolve) => setTimeout(resolve, 200))
  const guilty = await complete(gateway, 'mine/small', { prompt: 'hang' })
  assert.match(((guilty['content'] as Json[])[0] as Json)['text'] as string, /did not answer within 5 s/)
  assert.equal(faultOf(guilty)['retryable'], false)
  assert.equal(faultOf(await innocent)['retryable'], true)
  assert.equal(structured(await complete(gateway, 'mine/small'))['text'], 'done')
  script = answer
})

test('a plugin that is not kept does not go on running', async () => {
  const file = join(folder, 'beats')
  const gateway = start(
    fileOf(`import { appendFileSync } from 'node:fs'
      setInterval(() => appendFileSync(${JSON.stringify(file)}, '.'), 20)
      export const provider = { ${wellBehaved} tools: { t: { description: 7 } } }`),
  )
  assert.equal(faultOf(await complete(gateway, 'mine/small'))['code'], 'configuration')
  await new Promise((resolve) => setTimeout(resolve, 300))
  const beats = existsSync(file) ? statSync(file).size : 0
  await new Promise((resolve) => setTimeout(resolve, 300))
  assert.equal(existsSync(file) ? statSync(file).size : 0, beats)
})

test('a call that is cancelled while its plugin hangs leaves its place at once', { timeout: 30_000 }, async () => {
  const decode = `if (calls++ === 0) await new Promise(() => {}); ${finished}`
  const gateway = startGateway({
    PROVIDER_CONFIG: JSON.stringify({
      plugins: { lines: fileOf(`let calls = 0; ${chat(request, decode)}`) },
      providers: { mine: { type: 'lines', baseUrl: upstream.url, apiKey: key, maxConcurrency: 1 } },
    }),
  })
  gateways.push(gateway)
  const from = upstream.requests.length
  begin(gateway, 9)
  while (upstream.requests.length === from) await new Promise((resolve) => setTimeout(resolve, 10))
  await new Promise((resolve) => setTimeout(resolve, 200))
  const startedMs = performance.now()
  gateway.send({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 9 } })
  assert.equal(structured(await complete(gateway, 'mine/small'))['text'], 'done')
  assert.ok(performance.now() - startedMs < 3_000)
})

test('names of a plugin’s headers have no case', async () => {
  const encode = `({ method: 'POST', url: baseUrl, headers: { 'Content-Type': 'text/plain' }, json: {}, warnings: [] })`
  const source = chat(encode, finished).replace('({ authorization: key })', '({ Authorization: key })')
  const gateway = startGateway({
    PROVIDER_CONFIG: JSON.stringify({
      plugins: { lines: fileOf(source) },
      providers: {
        mine: { type: 'lines', baseUrl: upstream.url, apiKey: key, headers: { authorization: 'Bearer of-ones-own' } },
      },
    }),
  })
  gateways.push(gateway)
  const from = upstream.requests.length
  assert.equal(structured(await complete(gateway, 'mine/small'))['text'], 'done')
  const [{ headers }] = upstream.requests.slice(from) as [Received]
  assert.equal(headers['content-type'], 'application/json')
  assert.equal(headers.authorization, 'Bearer of-ones-own')
})

test('a chunk that a plugin has read ahead does not end its thread later', { timeout: 30_000 }, async () => {
  const decode = `const chunks = body[Symbol.asyncIterator](); await chunks.next(); chunks.next().catch(() => {});
    yield { type: 'text-delta', text: String(++calls) }; yield { type: 'finish', reason: 'stop' }`
  const gateway = start(fileOf(`let calls = 0; ${chat(request, decode)}`))
  script = (_, response) => {
    response.write('some')
    setTimeout(() => response.end('more'), 200)
  }
  assert.equal(structured(await complete(gateway, 'mine/small'))['text'], '1')
  await new Promise((resolve) => setTimeout(resolve, 6_000))
  assert.equal(structured(await complete(gateway, 'mine/small'))['text'], '2')
  script = answer
})

test('a plugin writes nothing to stdout and finds no key in its environment', async () => {
  const source = chat(
    request,
    `console.log('stray'); process.stdout.write('stray');
     const { env } = await import('node:process');
     yield { type: 'text-delta', text: JSON.stringify([process.env, env, process.argv.slice(2)]) };
     yield { type: 'finish', reason: 'stop' }`,
  )
  const gateway = start(fileOf(source), { LOG_LEVEL: 'debug' })
  const result = await complete(gateway, 'mine/small')
  assert.equal(structured(result)['text'], '[{},{},[]]')
  assert.doesNotMatch(gateway.stderr(), new RegExp(`${key}|${otherKey}`))
  await assertTheRestGoesOn(gateway)
})

test('a file that is not what its digest says is not loaded', async () => {
  const plugin = fileOf(documented)
  writeFileSync(plugin.path, `${documented}\n`)
  const gateway = start(plugin)
  const result = await complete(gateway, 'mine/small')
  assert.equal(faultOf(result)['code'], 'configuration')
  assert.match(((result['content'] as Json[])[0] as Json)['text'] as string, /plugins\.lines\.sha256/)
  await assertTheRestGoesOn(gateway)
})

test('a plugin that nothing is of is not even read', async () => {
  const gateway = startGateway({
    PROVIDER_CONFIG: JSON.stringify({ plugins: { lines: { path: join(folder, 'none.mjs'), sha256: '0'.repeat(64) } } }),
    OPENAI_API_KEY: otherKey,
    OPENAI_BASE_URL: upstream.url,
  })
  gateways.push(gateway)
  await assertTheRestGoesOn(gateway)
  assert.equal(gateway.stderr(), '')
})

test('the published types fit a plugin, and refuse what is none', () => {
  const home = mkdtempSync(join(tmpdir(), 'plugin-types-'))
  mkdirSync(join(home, 'node_modules'))
  symlinkSync(root, join(home, 'node_modules/genai-gateway-mcp'))
  const good = `import { definePlugin, faultOfStatus, readEvents } from 'genai-gateway-mcp/plugin'
    export const provider = definePlugin({
      authorize: (key) => ({ authorization: key.trim() }),
      fault: faultOfStatus,
      chat: {
        encode: ({ messages }, { baseUrl }) =>
          ({ method: 'POST', url: baseUrl, headers: {}, json: { count: messages.length }, warnings: [] }),
        async *decode({ body }) {
          for await (const events of readEvents(body)) for (const { data } of events) yield { type: 'text-delta', text: data }
        },
      },
    })`
  writeFileSync(join(home, 'good.mts'), good)
  writeFileSync(join(home, 'bad.mts'), good.replace("type: 'text-delta'", "type: 'text'"))
  writeFileSync(join(home, 'reader.mts'), good.replace('warnings: []', 'warnings: [], decode: async function* () {}'))
  const check = (file: string) => {
    const options = [
      '--ignoreConfig',
      '--noEmit',
      '--strict',
      '--module',
      'nodenext',
      '--target',
      'es2023',
      '--lib',
      'es2024,dom',
    ]
    const tsc = join(root, 'node_modules/typescript/bin/tsc')
    return spawnSync(process.execPath, [tsc, ...options, '--types', '', file], { cwd: home, encoding: 'utf8' }).stdout
  }
  assert.equal(check('good.mts'), '')
  assert.match(check('bad.mts'), /bad\.mts.*error TS2322.*/)
  assert.match(check('reader.mts'), /reader\.mts.*error TS2322.*/)
})
