import assert from 'node:assert/strict'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { beginStream } from '../harness/chat-script.ts'
import { folderFor, onTerminal, run, startCommand } from '../harness/command-line.ts'
import { pointedAt, until, upstreamFor } from '../harness/scope.ts'
import { chatStream, sendJson, sendStream } from '../harness/upstream.ts'

const key = 'sk-not-a-real-key-0123456789'
const fixtures = fileURLToPath(new URL('../../fixtures/cases', import.meta.url))
const hello = '{"prompt":"hi"}'

describe('record', () => {
  test('keeps a call that replay makes again when the provider and the key are gone', async (t) => {
    const upstream = await upstreamFor(t, (_, response) => sendStream(response, chatStream(['hel', 'lö'])))
    const dir = join(folderFor(t), 'cases', 'hello')
    const env = pointedAt(upstream, { OPENAI_API_KEY: key })
    const recorded = await run(t, ['record', dir, 'createCompletion', hello, '--title', 'a greeting'], { env })
    assert.deepEqual([recorded.code, recorded.stdout], [0, 'hellö\n'])
    assert.match(recorded.stderr, /^Kept in .*: 1 exchange\. /)
    assert.deepEqual(readdirSync(dir).sort(), ['1.exchange.json', 'call.json', 'result.json'])
    for (const file of readdirSync(dir)) assert.ok(!readFileSync(join(dir, file), 'utf8').includes(key), file)
    await upstream.close()
    const replayed = await run(t, ['replay', join(dir, '..')])
    assert.deepEqual(replayed, {
      code: 0,
      signal: null,
      stdout: 'ok  hello  a greeting\n\n1 passed, 0 failed\n',
      stderr: '',
    })
    assert.equal(upstream.requests.length, 1)
  })

  test('keeps nothing of an answer in which a key stands in pieces', async (t) => {
    const pieces = ['my key is ', key.slice(0, 9), key.slice(9), ', you see']
    const upstream = await upstreamFor(t, (_, response) => sendStream(response, chatStream(pieces)))
    const dir = join(folderFor(t), 'told')
    const env = pointedAt(upstream, { OPENAI_API_KEY: key })
    const recorded = await run(t, ['record', dir, 'createCompletion', hello], { env })
    assert.deepEqual([recorded.code, recorded.stdout], [1, 'my key is [redacted], you see\n'])
    assert.match(recorded.stderr, /^Nothing is kept: a key stands in the answer in pieces/m)
    assert.ok(!recorded.stderr.includes(key))
    assert.equal(existsSync(dir), false)
  })

  test('keeps every attempt, a route to a second provider, and a connection that breaks', async (t) => {
    const busy = await upstreamFor(t, (_, response) => sendJson(response, 503, { error: { message: 'busy' } }))
    const broken = await upstreamFor(t, (_, response) => {
      beginStream(response, 'half an ans')
      setTimeout(() => response.destroy(), 20)
    })
    const dir = join(folderFor(t), 'case')
    const config = {
      providers: {
        one: { type: 'openai', baseUrl: busy.url, apiKey: key, maxRetries: 1 },
        two: { type: 'openai', baseUrl: broken.url, headers: { 'x-token': key }, maxRetries: 0 },
      },
      routes: { both: { strategy: 'failover', targets: [{ model: 'one/a' }, { model: 'two/b' }] } },
      defaultModel: 'both',
    }
    const env = { PROVIDER_CONFIG: JSON.stringify(config) }
    const recorded = await run(t, ['record', dir, 'createCompletion', hello], { env })
    assert.equal(recorded.code, 0)
    assert.match(recorded.stderr, /broke the connection in the middle/)
    assert.equal(busy.requests.length + broken.requests.length, 3)
    for (const number of [1, 2, 3]) assert.ok(existsSync(join(dir, `${number}.exchange.json`)))
    for (const file of readdirSync(dir)) assert.ok(!readFileSync(join(dir, file), 'utf8').includes(key), file)
    const { code, stdout } = await run(t, ['replay', dir])
    assert.equal(code, 0, stdout)
  })

  test('keeps questions that are asked side by side in the order in which they were asked', async (t) => {
    const listing = (id: string, delayMs: number) => (_: unknown, response: Parameters<typeof sendJson>[0]) => {
      setTimeout(() => sendJson(response, 200, { object: 'list', data: [{ id, object: 'model' }] }), delayMs)
    }
    const slow = await upstreamFor(t, listing('slow', 200))
    const fast = await upstreamFor(t, listing('fast', 0))
    const dir = join(folderFor(t), 'case')
    const env = { GROQ_API_KEY: key, GROQ_BASE_URL: slow.url, MISTRAL_API_KEY: key, MISTRAL_BASE_URL: fast.url }
    const recorded = await run(t, ['record', dir, 'listModels'], { env })
    assert.deepEqual([recorded.code, recorded.stdout], [0, 'groq/slow\nmistral/fast\n'])
    assert.equal((await run(t, ['replay', dir])).code, 0)
  })

  test('keeps a refusal, which names the provider where it was', async (t) => {
    const upstream = await upstreamFor(t, (_, response) =>
      sendJson(response, 404, { error: { message: `nothing at ${response.req.headers.host}` } }),
    )
    const dir = join(folderFor(t), 'case')
    const recorded = await run(t, ['record', dir, 'createCompletion', hello], { env: pointedAt(upstream) })
    assert.equal(recorded.code, 0, recorded.stderr)
    assert.match(recorded.stderr, new RegExp(`${upstream.port}`))
  })

  test('overwrites nothing, and leaves nothing where there is nothing to keep', async (t) => {
    const folder = folderFor(t)
    const upstream = await upstreamFor(t, (_, response) => beginStream(response, 'first'))
    const env = pointedAt(upstream)
    writeFileSync(join(folder, 'mine'), '')
    const full = await run(t, ['record', folder, 'createCompletion', hello], { env })
    assert.equal(full.code, 1)
    assert.match(full.stderr, /not empty/)
    assert.equal(upstream.requests.length, 0)

    const nowhere = await run(t, ['record', join(folder, 'mine', 'case'), 'createCompletion', hello], { env })
    assert.equal(nowhere.code, 1)
    assert.match(nowhere.stderr, /^genai-gateway-mcp record: .*mine.* cannot be used \(\w+\)\n$/)
    assert.equal(upstream.requests.length, 0)

    const running = startCommand(t, ['record', join(folder, 'new'), 'createCompletion', hello], { env })
    await until(() => running.stdout() === 'first')
    running.child.kill('SIGINT')
    assert.equal((await running.ended).code, 130)

    const unreached = await run(t, ['record', join(folder, 'new'), 'createCompletion', hello], {
      env: { GATEWAY_URL: 'http://127.0.0.1:1/v1', MAX_RETRIES: '0' },
    })
    assert.equal(unreached.code, 1)
    assert.match(unreached.stderr, /No provider answered/)
    assert.deepEqual(readdirSync(folder), ['mine'])
  })

  for (const args of [[], ['dir'], ['dir', 'createComplet'], ['dir', 'createCompletion', '{']]) {
    test(`is refused: ${JSON.stringify(args)}`, async (t) => {
      const cwd = folderFor(t)
      const { code, stderr } = await run(t, ['record', ...args], { cwd })
      assert.equal(code, 2)
      assert.match(stderr, /^genai-gateway-mcp record: [^\n]+--help\n$/)
      assert.deepEqual(readdirSync(cwd), [])
    })
  }
})

describe('replay', () => {
  test('plays every recorded case of this project, and takes nothing from the environment', async (t) => {
    const count = readdirSync(fixtures, { recursive: true }).filter((path) => `${path}`.endsWith('call.json')).length
    assert.ok(count > 200)
    const env = {
      OPENAI_API_KEY: key,
      GATEWAY_URL: 'http://127.0.0.1:1/v1',
      DEFAULT_MODEL: 'nothing',
      MAX_RETRIES: '7',
    }
    const { code, stdout, stderr } = await run(t, ['replay', fixtures], { env })
    assert.match(stdout, new RegExp(`\\n${count} passed, 0 failed\\n$`))
    assert.deepEqual([code, stderr], [0, ''])
  })

  const changes: { name: string; file: string; from: string; to: string; says: RegExp }[] = [
    {
      name: 'result',
      file: 'result.json',
      from: '"finishReason": "stop"',
      to: '"finishReason": "length"',
      says: /result\.structuredContent\.finishReason: expected "length", is "stop"/,
    },
    {
      name: 'request',
      file: '1.exchange.json',
      from: '"path": "/v1/chat/completions"',
      to: '"path": "/v1/other"',
      says: /request\.path: expected "\/v1\/other"/,
    },
    {
      name: 'call',
      file: 'call.json',
      from: '"tool": "createCompletion"',
      to: '"tool": "nothing"',
      says: /there is no tool nothing/,
    },
    { name: 'file', file: 'result.json', from: '}', to: '', says: /result\.json is not valid JSON/ },
    {
      name: 'exchange',
      file: '1.exchange.json',
      from: '"chunks"',
      to: '"pieces"',
      says: /1\.exchange\.json holds no exchange/,
    },
  ]
  for (const { name, file, from, to, says } of changes) {
    test(`fails with a line when another ${name} was recorded`, async (t) => {
      const folder = folderFor(t)
      cpSync(join(fixtures, 'openai', 'chat'), join(folder, 'changed'), { recursive: true })
      cpSync(join(fixtures, 'openai', 'chat'), join(folder, 'good'), { recursive: true })
      const path = join(folder, 'changed', file)
      const text = readFileSync(path, 'utf8')
      assert.ok(text.includes(from))
      writeFileSync(path, text.replace(from, to))
      const { code, stdout } = await run(t, ['replay', folder])
      assert.equal(code, 1)
      assert.match(stdout, says)
      assert.match(stdout, /^FAIL +changed/m)
      assert.match(stdout, /^ok +good/m)
      assert.match(stdout, /\n1 passed, 1 failed\n$/)
      const json = await run(t, ['replay', folder, '--json'])
      const { passed, failed, cases } = JSON.parse(json.stdout) as {
        passed: number
        failed: number
        cases: { faults: string[] }[]
      }
      assert.deepEqual([json.code, passed, failed], [1, 1, 1])
      assert.match(cases[0]?.faults.join('\n') ?? '', says)
    })
  }

  test('a case of a stranger writes nothing and calls nobody', async (t) => {
    const folder = folderFor(t)
    const upstream = await upstreamFor(t, (_, response) => sendStream(response, chatStream(['no'])))
    cpSync(join(fixtures, 'openai', 'chat'), join(folder, 'case'), { recursive: true })
    const path = join(folder, 'case', 'call.json')
    const call = JSON.parse(readFileSync(path, 'utf8')) as object
    const env = { GATEWAY_URL: upstream.url, GATEWAY_RECORD: join(folder, 'written'), HTTP_PROXY: upstream.url }
    writeFileSync(path, JSON.stringify({ ...call, title: 'a \u001b[2Jtitle', env }))
    const { stdout } = await run(t, ['replay', join(folder, 'case')])
    assert.match(stdout, /a \[2Jtitle/)
    assert.equal(upstream.connections(), 0)
    assert.deepEqual(readdirSync(folder), ['case'])
  })

  test('says what it wants when there is nothing to play', async (t) => {
    const folder = folderFor(t)
    mkdirSync(join(folder, 'empty'))
    const empty = await run(t, ['replay', join(folder, 'empty')])
    assert.deepEqual([empty.code, empty.stdout], [1, ''])
    assert.match(empty.stderr, /holds no call\.json/)
    assert.match((await run(t, ['replay', join(folder, 'none')])).stderr, /is not a folder/)
    assert.equal((await run(t, ['replay'])).code, 2)
  })

  const { command, missing } = onTerminal(['replay', join(fixtures, 'openai', 'chat')])
  test('has colour on a terminal', { skip: missing }, async (t) => {
    const { stdout } = await run(t, [], { command, env: { TERM: 'xterm' } })
    assert.match(stdout, /\u001b\[32mok\u001b\[39m/)
  })
})
