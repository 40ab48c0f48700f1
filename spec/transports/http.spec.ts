import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { beginStream, chatScript, type Line, streamEnd } from '../harness/chat-script.ts'
import { folderFor, run } from '../harness/command-line.ts'
import type { Message } from '../harness/gateway.ts'
import {
  ask,
  bytesOf,
  type HttpGateway,
  httpGatewayFor,
  modern,
  openSession,
  type PostOptions,
  post,
  rawly,
  token,
} from '../harness/http-gateway.ts'
import { at, gate, pointedAt, until, upstreamFor } from '../harness/scope.ts'
import { chatChunk, sendJson, type Upstream } from '../harness/upstream.ts'

/** MCP over HTTP, spoken to the built program over real sockets. */

const discover = modern('server/discover')
const call = (prompt: string) => ({ name: 'createCompletion', arguments: { prompt } })
const textOf = (answer: unknown) => at(answer, 'result', 'content', 0, 'text')
const joined = (messages: readonly (Message | Message[])[]) =>
  messages.map((message) => at(message, 'params', 'message') ?? '').join('')

async function startBoth(t: TestContext, lines: Record<string, Line>, env: Record<string, string> = {}) {
  const upstream = await upstreamFor(t, chatScript(lines))
  return { upstream, gateway: await httpGatewayFor(t, pointedAt(upstream, env)) }
}

const hello: Line = (response) => {
  beginStream(response, 'Hel', 'lo')
  response.end(streamEnd)
}
const endless: Line = (response) => beginStream(response, 'Once', ' upon')

describe('who may come in', () => {
  const refusals: [name: string, status: number, options: PostOptions & { body?: string }][] = [
    ['its own name', 200, {}],
    ['localhost', 200, { headers: { host: 'localhost:PORT' } }],
    ['LOCALHOST', 200, { headers: { host: 'LOCALHOST:PORT' } }],
    ['IPv6', 200, { headers: { host: '[::1]:PORT' } }],
    ['an origin of its own', 200, { headers: { origin: 'http://localhost:PORT' } }],
    ['another host', 403, { headers: { host: 'evil.example.com' } }],
    ['another host with the port', 403, { headers: { host: 'evil.example.com:PORT' } }],
    ['a name that begins like one', 403, { headers: { host: 'localhost.evil.example.com:PORT' } }],
    ['another port', 403, { headers: { host: 'localhost:1' } }],
    ['no port', 403, { headers: { host: 'localhost' } }],
    ['a host with a user', 403, { headers: { host: 'localhost:PORT@evil.example.com' } }],
    ['another origin', 403, { headers: { origin: 'http://evil.example.com' } }],
    ['another origin with the port', 403, { headers: { origin: 'http://evil.example.com:PORT' } }],
    ['an origin at another port', 403, { headers: { origin: 'http://localhost:3000' } }],
    ['the origin null', 403, { headers: { origin: 'null' } }],
    ['an origin of another scheme', 403, { headers: { origin: 'constructor://localhost:PORT' } }],
    ['the name before the path', 403, { path: '/x', headers: { host: 'evil.example.com' } }],
    ['the path before the token', 404, { path: '/', headers: { authorization: undefined } }],
    ['a path below', 404, { path: '/mcp/x' }],
    ['a path with dots', 404, { path: '/x/../mcp' }],
    ['a whole address as target', 404, { path: 'http://127.0.0.1/mcp' }],
    ['a query', 200, { path: '/mcp?x=1' }],
    ['GET', 405, { method: 'GET', headers: { authorization: undefined } }],
    ['PUT', 405, { method: 'PUT' }],
    ['OPTIONS', 405, { method: 'OPTIONS', headers: { authorization: undefined } }],
    ['DELETE without a session', 405, { method: 'DELETE' }],
    ['no token', 401, { headers: { authorization: undefined } }],
    ['another token', 401, { headers: { authorization: 'Bearer token-of-the-spec-0123456780' } }],
    ['the beginning of the token', 401, { headers: { authorization: `Bearer ${token.slice(0, -1)}` } }],
    ['more than the token', 401, { headers: { authorization: `Bearer ${token}x` } }],
    ['another scheme', 401, { headers: { authorization: `Basic ${token}` } }],
    ['a scheme in other case', 200, { headers: { authorization: `bEARER ${token}` } }],
    ['no scheme', 401, { headers: { authorization: token } }],
    ['the token before the size', 401, { headers: { authorization: undefined, 'content-length': '99999999999' } }],
    ['the token before the type', 401, { headers: { authorization: undefined, 'content-type': 'text/plain' } }],
    ['too large by its own word', 413, { headers: { 'content-length': '33554433' } }],
    ['another type', 415, { headers: { 'content-type': 'text/plain' } }],
    ['no type', 415, { headers: { 'content-type': undefined } }],
    ['a form', 415, { headers: { 'content-type': 'application/x-www-form-urlencoded' } }],
    ['a type that begins like it', 415, { headers: { 'content-type': 'application/json-seq' } }],
    ['another encoding of characters', 415, { headers: { 'content-type': 'application/json; charset=latin1' } }],
    ['UTF-8, said', 200, { headers: { 'content-type': 'application/json; charset=UTF-8' } }],
    ['a packed body', 415, { headers: { 'content-encoding': 'gzip' } }],
    ['who takes JSON alone', 406, { headers: { accept: 'application/json' } }],
    ['who takes a stream alone', 406, { headers: { accept: 'text/event-stream' } }],
    ['who does not take a stream', 406, { headers: { accept: 'application/json, text/event-stream;q=0' } }],
    ['who takes everything but a stream', 406, { headers: { accept: 'text/event-stream;q=0.0, */*' } }],
    ['who takes everything but JSON', 406, { headers: { accept: '*/*, application/json; q=0' } }],
    ['who takes no other text', 200, { headers: { accept: 'text/*;q=0, text/event-stream, application/*' } }],
    ['who takes everything', 200, { headers: { accept: '*/*' } }],
    ['who does not say', 200, { headers: { accept: undefined } }],
    ['who prefers', 200, { headers: { accept: 'application/json;q=0.9,text/*;q=0.1' } }],
  ]
  test('every refusal has its status', async (t) => {
    const gateway = await httpGatewayFor(t)
    for (const [name, status, { headers = {}, ...options }] of refusals) {
      const filled = Object.entries(headers).map(([key, value]) => [key, value?.replace('PORT', `${gateway.port}`)])
      const controller = new AbortController()
      const { signal } = controller
      const answer = await post(gateway, options.method === 'GET' ? undefined : discover.body, {
        ...options,
        signal,
        headers: { ...discover.headers, ...Object.fromEntries(filled) },
      }).finally(() => controller.abort())
      assert.equal(answer.status, status, name)
      assert.equal(answer.headers['cache-control'], 'no-store', name)
      if (status === 200) assert.ok(at(answer.messages, 0, 'result', 'supportedVersions'), name)
      else {
        assert.equal(at(answer.messages, 0, 'error', 'code'), -32600, name)
        assert.equal(Object.hasOwn(answer.messages[0] ?? {}, 'id'), false, name)
        assert.doesNotMatch(answer.text, /evil|token-of/, name)
      }
      if (status === 401) assert.equal(answer.headers['www-authenticate'], 'Bearer', name)
      if (status === 405) assert.match(String(answer.headers['allow'] ?? 'POST'), /POST/, name)
    }
  })

  test('health says that it lives, and nothing else', async (t) => {
    const gateway = await httpGatewayFor(t)
    const options = { path: '/health', headers: { authorization: undefined, 'content-type': undefined } }
    const answer = await post(gateway, undefined, { ...options, method: 'GET' })
    assert.deepEqual([answer.status, answer.text], [204, ''])
    assert.doesNotMatch(JSON.stringify(answer.headers), /genai|node|0\.1/i)
    assert.equal((await post(gateway, undefined, { ...options, method: 'HEAD' })).status, 204)
    assert.equal((await post(gateway, '{}', options)).status, 405)
    const rebound = { ...options, method: 'GET', headers: { ...options.headers, host: 'evil.example.com' } }
    assert.equal((await post(gateway, undefined, rebound)).status, 403)
  })

  test('further names are allowed by option, and several tokens', async (t) => {
    const second = 'another-token-0123456789'
    const env = { GATEWAY_HTTP_TOKEN: `${token}, ${second}` }
    const names = ['gateway.example.com', 'other.example.com:8443', 'tls.example.com:443'].flatMap((name) => [
      '--allow-host',
      name,
    ])
    const gateway = await httpGatewayFor(t, env, names)
    const statusFor = async (headers: Record<string, string>) =>
      (await post(gateway, discover.body, { headers: { ...discover.headers, ...headers } })).status
    assert.equal(await statusFor({ host: 'gateway.example.com' }), 200)
    assert.equal(await statusFor({ host: 'gateway.example.com:9' }), 200)
    assert.equal(await statusFor({ host: 'gateway.example.com', origin: 'https://gateway.example.com' }), 200)
    assert.equal(await statusFor({ host: 'other.example.com:8443' }), 200)
    assert.equal(await statusFor({ host: 'other.example.com' }), 403)
    assert.equal(await statusFor({ host: 'tls.example.com' }), 200)
    assert.equal(await statusFor({ host: 'tls.example.com:80' }), 403)
    assert.equal(await statusFor({ host: 'tls.example.com', origin: 'https://tls.example.com' }), 200)
    assert.equal(await statusFor({ host: 'tls.example.com', origin: 'http://tls.example.com' }), 403)
    assert.equal(await statusFor({ host: 'x.gateway.example.com' }), 403)
    assert.equal(await statusFor({ authorization: `Bearer ${second}` }), 200)
    assert.equal(await statusFor({ authorization: `Bearer ${token}, ${second}` }), 401)
  })

  test('a token that is put into its file comes in, and one that is taken out does not', async (t) => {
    const file = join(folderFor(t), 'tokens')
    writeFileSync(file, `${token}\n`)
    const gateway = await httpGatewayFor(t, { GATEWAY_HTTP_TOKEN: '', GATEWAY_HTTP_TOKEN_FILE: file })
    const status = async (given: string) =>
      (await post(gateway, discover.body, { headers: { ...discover.headers, authorization: `Bearer ${given}` } }))
        .status
    assert.equal(await status(token), 200)
    writeFileSync(file, 'new-token-0123456789\nthird-token-0123456789\n')
    let now = 0
    while (now !== 200) now = await status('new-token-0123456789')
    assert.deepEqual([await status(token), await status('third-token-0123456789')], [401, 200])
  })
})

describe('the start', () => {
  const starts: [name: string, args: string[], env: Record<string, string>, code: number, says: RegExp][] = [
    ['no token', [], {}, 1, /^genai-gateway-mcp http: no token is set: export GATEWAY_HTTP_TOKEN=/],
    ['a placeholder as token', [], { GATEWAY_HTTP_TOKEN: '<UNKNOWN>' }, 1, /no token is set/],
    ['a short token', [], { GATEWAY_HTTP_TOKEN: 'too-short' }, 1, /at least 16 characters/],
    ['one short token of two', [], { GATEWAY_HTTP_TOKEN: `${token},short` }, 1, /at least 16 characters/],
    ['a token with an umlaut', [], { GATEWAY_HTTP_TOKEN: 'tökenökenökenökenöken' }, 1, /ASCII/],
    ['a file that is not there', [], { GATEWAY_HTTP_TOKEN_FILE: '/nowhere' }, 1, /cannot be read/],
    ['every address', ['--host', '0.0.0.0'], { GATEWAY_HTTP_TOKEN: token }, 1, /--allow-host NAME/],
    [
      'every address, of the environment',
      [],
      { GATEWAY_HTTP_TOKEN: token, GATEWAY_HTTP_HOST: '::' },
      1,
      /--allow-host/,
    ],
    [
      'every address without a token',
      ['--host', '0.0.0.0', '--allow-host', 'a.example.com', '--without-token'],
      {},
      1,
      /--without-token is for 127\.0\.0\.1 alone/,
    ],
    ['a port that is none', ['--port', '65536'], {}, 2, /--port must be a number/],
    ['a port that is none, of the environment', [], { GATEWAY_HTTP_PORT: 'x' }, 2, /GATEWAY_HTTP_PORT must be/],
    ['a name that is none', ['--allow-host', 'http://x'], {}, 2, /no name of a host/],
    ['an unknown option', ['--without-tokens'], {}, 2, /--help/],
    ['a word too many', ['8790'], {}, 2, /--help/],
    [
      'an address of somebody else',
      ['--host', '192.0.2.1', '--allow-host', 'x'],
      { GATEWAY_HTTP_TOKEN: token },
      1,
      /EADDR/,
    ],
  ]
  for (const [name, args, env, code, says] of starts) {
    test(`refused: ${name}`, async (t) => {
      const ended = await run(t, ['http', ...args], { env: { LOG_LEVEL: 'silent', ...env } })
      assert.match(ended.stderr, says)
      assert.deepEqual([ended.code, ended.stdout], [code, ''])
      assert.doesNotMatch(ended.stderr, /token-of-the-spec|too-short|tök/)
    })
  }

  test('refused: a port that is taken', async (t) => {
    const other = createServer()
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
    t.after(() => other.close())
    const { port } = other.address() as { port: number }
    const ended = await run(t, ['http', '--port', `${port}`], { env: { GATEWAY_HTTP_TOKEN: token } })
    assert.match(ended.stderr, /cannot listen on 127\.0\.0\.1, port \d+ \(EADDRINUSE\)/)
    assert.equal(ended.code, 1)
  })

  test('without a token, when it is said aloud', async (t) => {
    const gateway = await httpGatewayFor(t, { GATEWAY_HTTP_TOKEN: '' }, ['--without-token'])
    assert.match(String(Buffer.concat(gateway.output)), /WITHOUT A TOKEN/)
    const headers = { ...discover.headers, authorization: undefined }
    assert.equal((await post(gateway, discover.body, { headers })).status, 200)
  })

  test('at the address that it tells, whichever it is', async (t) => {
    // Only Linux has the whole of 127.0.0.0/8 without being told.
    const further = process.platform === 'linux' ? ['127.0.0.2'] : []
    for (const host of ['127.0.0.1', 'localhost', '0.0.0.0', ...further]) {
      const gateway = await httpGatewayFor(t, {}, ['--host', host, '--allow-host', 'a.example.com'])
      const asked = (own: string) => rawly(gateway, `GET /health HTTP/1.0\r\nHost: ${own}\r\n\r\n`, { host })
      assert.equal(new URL(gateway.url).hostname, host)
      assert.match((await asked(new URL(gateway.url).host)).said, /^HTTP\/1\.1 204 /, host)
      assert.match((await asked(host)).said, /^HTTP\/1\.1 403 /, host)
    }
  })

  test('on every address, under a name', async (t) => {
    const gateway = await httpGatewayFor(t, { GATEWAY_HTTP_HOST: '0.0.0.0', GATEWAY_HTTP_ALLOW_HOSTS: 'a.example.com' })
    const headers = { ...discover.headers, host: 'a.example.com' }
    assert.equal((await post(gateway, discover.body, { headers })).status, 200)
  })

  // Only Linux tells how long a queue it allows.
  const allowed = '/proc/sys/net/core/somaxconn'
  const many = 1_000
  const tooShort = !existsSync(allowed) || Number(readFileSync(allowed, 'utf8')) < many
  test('many who come while it does not look are let in all the same', { skip: tooShort }, async (t) => {
    const gateway = await httpGatewayFor(t)
    gateway.child.kill('SIGSTOP')
    const callers = Array.from({ length: many }, () => connect(gateway.port, '127.0.0.1'))
    t.after(() => callers.map((socket) => socket.destroy()))
    // The kernel makes who is one too many ask again after a second.
    await until(() => callers.every((socket) => !socket.pending), 900)
    gateway.child.kill('SIGCONT')
    assert.equal((await post(gateway, discover.body, discover)).status, 200)
  })
})

describe('the answer', () => {
  test('is JSON where nothing comes before it', async (t) => {
    const { gateway } = await startBoth(t, { hi: hello })
    const { status, headers, messages } = await ask(gateway, 'hi')
    assert.deepEqual([status, headers['content-type']], [200, 'application/json'])
    assert.deepEqual(messages.map(textOf), ['Hello'])
  })

  test('is a stream of events where progress comes before it', async (t) => {
    const { gateway } = await startBoth(t, { hi: hello })
    for (const progressToken of [0, '', 'a']) {
      const { status, headers, messages } = await ask(gateway, 'hi', { progressToken, id: 'x' })
      assert.deepEqual([status, headers['content-type']], [200, 'text/event-stream'])
      assert.equal(headers['x-accel-buffering'], 'no')
      assert.equal(joined(messages), 'Hello')
      assert.deepEqual([at(messages.at(-1), 'id'), textOf(messages.at(-1))], ['x', 'Hello'])
    }
  })

  test('comes while the provider still writes', async (t) => {
    const more = gate()
    const { gateway } = await startBoth(t, {
      async slow(response) {
        beginStream(response, 'one ')
        await more.opened
        response.end(`${chatChunk({ content: 'two' })}${streamEnd}`)
      },
    })
    const heard: unknown[] = []
    const onMessage = (message: Message) => {
      heard.push(at(message, 'params', 'message'))
      more.open()
    }
    const { messages } = await ask(gateway, 'slow', { progressToken: 1, onMessage })
    assert.equal(heard[0], 'one ')
    assert.equal(textOf(messages.at(-1)), 'one two')
  })

  test('crosses with nobody else’s, whatever ids and tokens are the same', async (t) => {
    const said = (name: string): Line => {
      return async (response) => {
        beginStream(response)
        for (let piece = 0; piece < 20; piece++) {
          response.write(chatChunk({ content: `${name} ` }))
          await new Promise((resolve) => setTimeout(resolve, piece % 3))
        }
        response.end(streamEnd)
      }
    }
    const names = Array.from({ length: 12 }, (_, number) => `n${number}`)
    const { gateway } = await startBoth(t, Object.fromEntries(names.map((name) => [name, said(name)])))
    const session = await openSession(gateway)
    const answers = await Promise.all(
      names.map((name, number) => {
        if (number % 3 > 0) return ask(gateway, name, { id: 7, progressToken: 7 })
        return session.request('tools/call', { ...call(name), _meta: { progressToken: number } }, { id: number })
      }),
    )
    for (const [number, { messages }] of answers.entries()) {
      const whole = `${names[number]} `.repeat(20)
      assert.equal(textOf(messages.at(-1)), whole)
      assert.equal(joined(messages), whole)
    }
  })

  test('holds no key and no token, wherever the provider puts them', async (t) => {
    const key = 'sk-canary-abcdefghijklmnop'
    const { gateway } = await startBoth(
      t,
      {
        echo(response) {
          beginStream(response, `${key} and ${token}`)
          response.end(streamEnd)
        },
        refuse: (response) => sendJson(response, 400, { error: { message: `bad ${key} ${token}` } }),
      },
      { OPENAI_API_KEY: key },
    )
    for (const prompt of ['echo', 'refuse'] as const) {
      for (const options of [{}, { progressToken: 1 }]) {
        const { text, headers } = await ask(gateway, prompt, options)
        assert.match(text, /\[redacted\]/)
        assert.doesNotMatch(text + JSON.stringify(headers), /canary|token-of-the-spec/)
      }
    }
    const strange = modern('tools/list', {}, { id: `${key} ${token}` })
    const { text } = await post(gateway, strange.body, { headers: strange.headers })
    assert.doesNotMatch(text, /canary|token-of-the-spec/)
  })
})

describe('cancellation', () => {
  const eras = ['stateless', 'handshake'] as const
  for (const era of eras) {
    test(`${era}: closing the connection closes the one to the provider`, async (t) => {
      const { upstream, gateway } = await startBoth(t, { endless, hi: hello })
      const abort = new AbortController()
      const options = { signal: abort.signal, onMessage: () => abort.abort() }
      const params = { ...call('endless'), _meta: { progressToken: 1 } }
      const asked =
        era === 'stateless'
          ? ask(gateway, 'endless', { ...options, progressToken: 1 })
          : (await openSession(gateway)).request('tools/call', params, options)
      await assert.rejects(asked)
      await upstream.closed(0)
      assert.equal(textOf((await ask(gateway, 'hi')).messages[0]), 'Hello')
    })

    test(`${era}: so it does before anything was said`, async (t) => {
      const { upstream, gateway } = await startBoth(t, { endless })
      const abort = new AbortController()
      const asked =
        era === 'stateless'
          ? ask(gateway, 'endless', { signal: abort.signal })
          : (await openSession(gateway)).request('tools/call', call('endless'), { signal: abort.signal })
      const rejected = assert.rejects(asked)
      await until(() => upstream.requests.length > 0)
      abort.abort()
      await rejected
      await upstream.closed(0)
    })
  }

  test('by a notification of the same session, and of no other', async (t) => {
    const { upstream, gateway } = await startBoth(t, { endless })
    const [session, other] = [await openSession(gateway), await openSession(gateway)]
    let ended = false
    const asked = session.request('tools/call', call('endless'), { id: 'same' }).finally(() => (ended = true))
    await until(() => upstream.requests.length > 0)
    assert.equal((await other.notify('notifications/cancelled', { requestId: 'same' })).status, 202)
    assert.equal((await session.notify('notifications/cancelled', { requestId: 'unknown' })).status, 202)
    const modernly = { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 'same' } }
    const headers = { 'mcp-protocol-version': '2026-07-28' }
    assert.equal((await post(gateway, modernly, { headers })).status, 202)
    assert.equal((await session.request('ping')).status, 200)
    assert.equal(ended, false)
    assert.equal((await session.notify('notifications/cancelled', { requestId: 'same' })).status, 202)
    const answer = await asked
    assert.deepEqual([answer.status, answer.headers['content-type'], answer.text], [200, 'text/event-stream', ''])
    await upstream.closed(0)
  })

  test('in mid-stream the stream just ends', async (t) => {
    const { upstream, gateway } = await startBoth(t, { endless })
    const session = await openSession(gateway)
    const { messages } = await session.request(
      'tools/call',
      { ...call('endless'), _meta: { progressToken: 1 } },
      { id: 5, onMessage: () => void session.notify('notifications/cancelled', { requestId: 5 }) },
    )
    assert.ok(messages.length > 0 && messages.every((message) => at(message, 'method') === 'notifications/progress'))
    await upstream.closed(0)
  })

  test('DELETE ends a session and what it asked', async (t) => {
    const { upstream, gateway } = await startBoth(t, { endless })
    const session = await openSession(gateway)
    const asked = session.request('tools/call', call('endless'))
    await until(() => upstream.requests.length > 0)
    const headers = { 'mcp-session-id': session.id }
    const stateless = { ...headers, 'mcp-protocol-version': '2026-07-28' }
    assert.equal((await post(gateway, undefined, { method: 'DELETE', headers: stateless })).status, 405)
    assert.equal((await post(gateway, undefined, { method: 'DELETE', headers })).status, 204)
    assert.equal((await asked).text, '')
    await upstream.closed(0)
    assert.equal((await session.request('ping')).status, 404)
    assert.equal((await post(gateway, undefined, { method: 'DELETE', headers })).status, 404)
  })
})

describe('the end', () => {
  async function midway(t: TestContext): Promise<{ gateway: HttpGateway; upstream: Upstream; goOn(): void }> {
    const more = gate()
    const both = await startBoth(t, {
      async slow(response) {
        beginStream(response, 'one ')
        await more.opened
        response.end(`${chatChunk({ content: 'two' })}${streamEnd}`)
      },
      endless,
    })
    return { ...both, goOn: more.open }
  }
  for (const [signal, code] of Object.entries({ SIGTERM: 143, SIGINT: 130, SIGHUP: 129 })) {
    test(`${signal}: what is in flight is finished, nobody else is let in, and it exits with ${code}`, async (t) => {
      const { gateway, upstream, goOn } = await midway(t)
      const asked = [ask(gateway, 'slow', { progressToken: 1 }), ask(gateway, 'slow')]
      await until(() => upstream.requests.length === 2)
      gateway.child.kill(signal as NodeJS.Signals)
      await assert.rejects(async () => {
        for (;;) await ask(gateway, 'no line')
      })
      goOn()
      for (const { messages } of await Promise.all(asked)) assert.equal(textOf(messages.at(-1)), 'one two')
      assert.equal(await gateway.ended, code)
    })
  }

  test('what takes too long is answered as interrupted', async (t) => {
    const { gateway, upstream } = await midway(t)
    const session = await openSession(gateway)
    const asked = [ask(gateway, 'endless'), session.request('tools/call', call('endless'))]
    await until(() => upstream.requests.length === 2)
    gateway.child.kill('SIGTERM')
    for (const { messages } of await Promise.all(asked)) assert.equal(at(messages.at(-1), 'result', 'isError'), true)
    assert.equal(await gateway.ended, 143)
  })

  test('a signal as soon as it says that it serves', async (t) => {
    for (let round = 0; round < 5; round++) {
      const gateway = await httpGatewayFor(t)
      gateway.child.kill('SIGTERM')
      assert.equal(await gateway.ended, 143)
    }
  })

  test('a second signal does not wait', async (t) => {
    const { gateway, upstream } = await midway(t)
    const asked = assert.rejects(ask(gateway, 'endless'))
    await until(() => upstream.requests.length === 1)
    const startedMs = performance.now()
    gateway.child.kill('SIGTERM')
    await until(() => gateway.child.killed)
    await new Promise((resolve) => setTimeout(resolve, 100))
    gateway.child.kill('SIGTERM')
    assert.equal(await gateway.ended, 143)
    assert.ok(performance.now() - startedMs < 3_000)
    await asked
  })
})

describe('bytes that no client sends', () => {
  const head = (lines: readonly string[], first = 'POST /mcp HTTP/1.1') =>
    [first, 'Host: 127.0.0.1:PORT', `Authorization: Bearer ${token}`, ...lines, '', ''].join('\r\n')
  const body = JSON.stringify(discover.body)
  const usual = [
    'Content-Type: application/json',
    'Accept: */*',
    'MCP-Protocol-Version: 2026-07-28',
    'Mcp-Method: server/discover',
  ]
  const whole = head([...usual, `Content-Length: ${body.length}`]) + body
  const chunked = head([...usual, 'Transfer-Encoding: chunked'])
  const cases: [name: string, bytes: string, says: RegExp, answers?: number][] = [
    ['as it should be', whole, /^HTTP\/1\.1 200 [\s\S]*supportedVersions/],
    ['two requests at once', whole + whole, /^HTTP\/1\.1 200 [\s\S]*HTTP\/1\.1 200 /, 2],
    [
      'in chunks',
      `${chunked}5\r\n${body.slice(0, 5)}\r\n${(body.length - 5).toString(16)}\r\n${body.slice(5)}\r\n0\r\n\r\n`,
      /^HTTP\/1\.1 200 /,
    ],
    [
      'with a trailer',
      `${chunked}${body.length.toString(16)}\r\n${body}\r\n0\r\nAuthorization: Bearer x\r\n\r\n`,
      /^HTTP\/1\.1 200 /,
    ],
    [
      'a length and chunks',
      head([...usual, 'Transfer-Encoding: chunked', 'Content-Length: 5']) + body,
      /^HTTP\/1\.1 400 /,
    ],
    ['two lengths', head([...usual, 'Content-Length: 5', `Content-Length: ${body.length}`]) + body, /^HTTP\/1\.1 400 /],
    ['a length that is none', head([...usual, 'Content-Length: +5']) + body, /^HTTP\/1\.1 400 /],
    ['chunks of another spelling', head([...usual, 'Transfer-Encoding: xchunked']) + body, /^HTTP\/1\.1 400 /],
    ['a chunk whose size is none', `${chunked}x\r\n${body}\r\n`, /^HTTP\/1\.1 400 /],
    ['two hosts', head([...usual, 'Host: evil.example.com', 'Content-Length: 0']), /^HTTP\/1\.1 400 /],
    [
      'two origins',
      head([...usual, 'Origin: http://127.0.0.1:PORT', 'Origin: http://evil.example.com', 'Content-Length: 0']),
      /^HTTP\/1\.1 400 /,
    ],
    ['two tokens', head([...usual, 'Authorization: Bearer x', 'Content-Length: 0']), /^HTTP\/1\.1 400 /],
    [
      'two methods',
      head([...usual, 'Mcp-Method: tools/call', `Content-Length: ${body.length}`]) + body,
      /^HTTP\/1\.1 400 /,
    ],
    ...['__proto__', 'constructor', 'toString'].map((name): [string, string, RegExp] => [
      `a header that is named ${name}`,
      head([...usual, `${name}: x`, `Content-Length: ${body.length}`]) + body,
      /^HTTP\/1\.1 200 /,
    ]),
    ['no host', `POST /mcp HTTP/1.1\r\n${usual.join('\r\n')}\r\nContent-Length: 0\r\n\r\n`, /^HTTP\/1\.1 400 /],
    [
      'a header that is folded',
      head([...usual, 'X-A: b\r\n c', `Content-Length: ${body.length}`]) + body,
      /^HTTP\/1\.1 400 /,
    ],
    ['a bare newline', whole.replaceAll('\r\n', '\n'), /^HTTP\/1\.1 400 /],
    ['HTTP/1.0', whole.replace('HTTP/1.1', 'HTTP/1.0'), /^HTTP\/1\.1 200 [\s\S]*supportedVersions/],
    ['HTTP/1.0 without a host', `POST /mcp HTTP/1.0\r\nContent-Length: 0\r\n\r\n`, /^HTTP\/1\.1 403 /],
    ['an empty host', whole.replace('127.0.0.1:PORT', ''), /^HTTP\/1\.1 403 /],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', /^HTTP\/1\.1 400 /],
    [
      'a whole address',
      head([...usual, 'Content-Length: 0'], 'POST http://127.0.0.1:PORT/mcp HTTP/1.1'),
      /^HTTP\/1\.1 404 /,
    ],
    ['an asterisk', head(['Content-Length: 0'], 'OPTIONS * HTTP/1.1'), /^HTTP\/1\.1 404 /],
    ['CONNECT', head([], 'CONNECT evil.example.com:443 HTTP/1.1'), /^$/, 0],
    [
      'another protocol',
      head(['Connection: Upgrade', 'Upgrade: websocket', ...usual, `Content-Length: ${body.length}`]) + body,
      /^HTTP\/1\.1 200 /,
    ],
    [
      'a body that is asked for',
      head([...usual, 'Expect: 100-continue', `Content-Length: ${body.length}`]) + body,
      /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 /,
    ],
    [
      'a body that nobody wants',
      head(['Expect: 100-continue', 'Content-Length: 999999999']),
      /^HTTP\/1\.1 413 [\s\S]*connection: close/i,
    ],
    ['another expectation', head([...usual, 'Expect: tea', 'Content-Length: 0']), /^HTTP\/1\.1 417 /],
    ['too long a head', head([`X-Long: ${'x'.repeat(20_000)}`]), /^HTTP\/1\.1 431 /],
    ['no request at all', '\u0016\u0003\u0001\u0002\u0000\u0001', /^HTTP\/1\.1 400 /],
  ]
  test('are refused, or mean what they say', async (t) => {
    const gateway = await httpGatewayFor(t)
    for (const [name, bytes, says, answers = 1] of cases) {
      const countIn = (said: string) => said.match(/HTTP\/1\.1 [2-5]\d\d /g)?.length ?? 0
      const enough = (said: string) => says.test(said) && countIn(said) >= answers
      const { said } = await rawly(gateway, bytes.replaceAll('PORT', `${gateway.port}`), { enough })
      assert.match(said, says, name)
      assert.equal(countIn(said), answers, `${name}: ${said}`)
    }
    assert.equal((await post(gateway, discover.body, { headers: discover.headers })).status, 200)
  })

  test('a client that closes its half has gone, and so has its call', async (t) => {
    const { upstream, gateway } = await startBoth(t, { endless })
    const bytes = bytesOf(gateway, modern('tools/call', call('endless')))
    await rawly(gateway, bytes, { halfClose: true, patienceMs: 500 })
    if (upstream.requests.length > 0) await upstream.closed(0)
    assert.equal((await post(gateway, discover.body, { headers: discover.headers })).status, 200)
  })

  test('an answer that waits behind another is cancelled with it', async (t) => {
    const { upstream, gateway } = await startBoth(t, { endless })
    const one = bytesOf(gateway, modern('tools/call', call('endless')))
    const raw = rawly(gateway, one.repeat(3), { patienceMs: 1_000 })
    await until(() => upstream.requests.length === 3)
    await raw
    for (const number of [0, 1, 2]) await upstream.closed(number)
  })
})

describe('a body', () => {
  test('may be as large as a line over stdio, and no larger', async (t) => {
    const { gateway } = await startBoth(t, { hi: hello })
    const limit = 32 * 1024 * 1024
    const { body, headers } = modern('tools/call', { name: 'noSuchTool', arguments: { prompt: '' } })
    const empty = JSON.stringify(body).length
    const sized = (bytes: number) =>
      JSON.stringify(body).replace('"prompt":""', `"prompt":"${'x'.repeat(bytes - empty)}"`)
    const fits = await post(gateway, sized(limit), { headers })
    assert.deepEqual([fits.status, at(fits.messages, 0, 'error', 'code')], [200, -32602])
    assert.equal((await post(gateway, sized(limit + 1), { headers })).status, 413)
    const unsaid = { ...headers, 'transfer-encoding': 'chunked' }
    assert.equal((await post(gateway, sized(limit + 1), { headers: unsaid })).status, 413)
    assert.equal(textOf((await ask(gateway, 'hi')).messages[0]), 'Hello')
  })

  test('that would take all the memory is refused before it is parsed', async (t) => {
    const gateway = await httpGatewayFor(t, { NODE_OPTIONS: '--max-old-space-size=256' })
    for (const empty of ['{}', '[]']) {
      const { status, messages } = await post(gateway, `[${`${empty},`.repeat(11_000_000)}1]`)
      assert.deepEqual([status, at(messages, 0, 'error', 'code')], [400, -32600])
    }
    assert.equal((await post(gateway, discover.body, { headers: discover.headers })).status, 200)
  })

  const faulty: [name: string, body: string | Uint8Array, code: number][] = [
    ['nothing', '', -32700],
    ['white space', ' \n ', -32700],
    ['no JSON', '{', -32700],
    ['two messages', '{"jsonrpc":"2.0","id":1,"method":"ping"}\n{"jsonrpc":"2.0","id":2,"method":"ping"}', -32700],
    ['a newline in a text', '{"jsonrpc":"2.0","id":1,"method":"pi\nng"}', -32700],
    ['no UTF-8', Buffer.from([0x22, 0xff, 0x22]), -32700],
    ['too deep', '['.repeat(300) + ']'.repeat(300), -32600],
    ['a number', '1', -32600],
    ['no method', '{"jsonrpc":"2.0","id":1}', -32600],
    ['an id that is none', '{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600],
    ['an array', '[]', -32600],
  ]
  test('that is no message is answered 400', async (t) => {
    const gateway = await httpGatewayFor(t)
    for (const [name, body, code] of faulty) {
      const answer = await post(gateway, body, { headers: { 'mcp-protocol-version': '2026-07-28' } })
      assert.deepEqual([answer.status, at(answer.messages, 0, 'error', 'code')], [400, code], name)
    }
    const pretty = JSON.stringify(discover.body, undefined, 2)
    assert.equal((await post(gateway, pretty, { headers: discover.headers })).status, 200)
    const marked = Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), Buffer.from(pretty)])
    assert.equal((await post(gateway, marked, { headers: discover.headers })).status, 200)
  })
})
