import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import type { Checkup } from '../../src/cli/checkup.ts'
import { folderFor, onTerminal, run, startCommand } from '../harness/command-line.ts'
import { callTool } from '../harness/gateway.ts'
import { at, gatewayFor, until, upstreamFor } from '../harness/scope.ts'
import { type Answer, sendJson } from '../harness/upstream.ts'

const key = 'sk-right-0123456789'
const list = {
  object: 'list',
  data: [
    { id: 'tiny', object: 'model' },
    { id: 'large', object: 'model' },
  ],
}

/** A provider that lists its models to whoever has the key. */
const guarded: Answer = ({ headers }, response) =>
  headers.authorization === `Bearer ${key}`
    ? sendJson(response, 200, list)
    : sendJson(response, 401, { error: { message: 'Incorrect API key provided' } })

const open: Answer = (_, response) => sendJson(response, 200, list)

async function examine(t: Parameters<typeof run>[0], env: Record<string, string>) {
  const { code, stdout, stderr } = await run(t, ['doctor', '--json'], { env })
  assert.equal(stderr, '')
  return { code, stdout, checkup: JSON.parse(stdout) as Checkup }
}

describe('doctor', () => {
  test('all is well: 0, what is configured by what, an accepted key, the models; two free questions and no other', async (t) => {
    const upstream = await upstreamFor(t, guarded)
    const { code, stdout, checkup } = await examine(t, { OPENAI_API_KEY: key, OPENAI_BASE_URL: upstream.url })
    assert.equal(code, 0)
    const [{ listMs, ...provider }] = checkup.providers as [Checkup['providers'][0]]
    assert.deepEqual(provider, {
      name: 'openai',
      type: 'openai',
      setBy: ['OPENAI_API_KEY', 'OPENAI_BASE_URL'],
      address: upstream.url,
      ok: true,
      key: 'accepted',
      models: 2,
    })
    assert.ok(Number.isInteger(listMs))
    assert.equal(checkup.ok, true)
    assert.equal(checkup.node, process.versions.node)
    assert.deepEqual(checkup.protocols, {
      initialize: ['2024-11-05', '2025-03-26', '2025-06-18', '2025-11-25'],
      'server/discover': ['2026-07-28'],
    })
    assert.deepEqual(
      upstream.requests.map(({ method, path }) => `${method} ${path}`),
      ['GET /v1/models', 'GET /v1/models'],
    )
    assert.ok(!stdout.includes(key))
  })

  test('the cost of the tool list is that of the answer on the wire', async (t) => {
    const { checkup } = await examine(t, {})
    const gateway = gatewayFor(t)
    await gateway.request('initialize', {
      protocolVersion: '2025-11-25',
      capabilities: {},
      clientInfo: { name: 'a', version: '1' },
    })
    const answer = await gateway.request('tools/list', {}, 1)
    assert.equal(checkup.toolList.bytes, Buffer.byteLength(JSON.stringify(answer)))
    assert.equal(checkup.toolList.tools, (at(answer.result, 'tools') as unknown[]).length)
  })

  test('a key that is never looked at is not called accepted', async (t) => {
    const upstream = await upstreamFor(t, open)
    const { code, checkup } = await examine(t, { OPENAI_API_KEY: key, OPENAI_BASE_URL: upstream.url })
    assert.equal(code, 0)
    assert.equal(checkup.providers[0]?.key, 'not checked')
  })

  test('a wrong key is told with the variable to look at', async (t) => {
    const upstream = await upstreamFor(t, guarded)
    const wrong = 'sk-wrong-0123456789'
    const { code, stdout, checkup } = await examine(t, { OPENAI_API_KEY: wrong, OPENAI_BASE_URL: upstream.url })
    assert.equal(code, 1)
    assert.equal(checkup.providers[0]?.key, 'refused')
    assert.match(checkup.providers[0]?.problem ?? '', /401.*check the key: OPENAI_API_KEY$/)
    assert.ok(!stdout.includes(wrong))
  })

  test('a port that nobody listens on is told with the variable that names it, at once', async (t) => {
    const upstream = await upstreamFor(t, open)
    await upstream.close()
    const startedMs = performance.now()
    const { code, checkup } = await examine(t, { GATEWAY_URL: upstream.url })
    assert.equal(code, 1)
    assert.match(
      checkup.providers[0]?.problem ?? '',
      /nothing listens at 127\.0\.0\.1:\d+ .*Check the address: GATEWAY_URL$/,
    )
    assert.ok(performance.now() - startedMs < 5_000)
  })

  test('nothing configured, a placeholder, a wrong value: each is told by its variable', async (t) => {
    const upstream = await upstreamFor(t, open)
    const none = await examine(t, {})
    assert.equal(none.code, 1)
    assert.match(none.checkup.problem ?? '', /OPENAI_API_KEY.*GATEWAY_URL/)
    const only = await examine(t, { OPENAI_API_KEY: 'sk-...' })
    assert.match(only.checkup.problem ?? '', /OPENAI_API_KEY still holds a placeholder/)
    assert.deepEqual(only.checkup.notes, [], 'it is said once')
    const forgotten = await examine(t, { OPENAI_API_KEY: `\${env:OPENAI_API_KEY}`, GATEWAY_URL: upstream.url })
    assert.equal(forgotten.code, 0)
    assert.deepEqual(forgotten.checkup.notes, ['OPENAI_API_KEY still holds a placeholder and counts as unset'])
    const wrong = await examine(t, { TIMEOUT: 'soon', GATEWAY_URL: upstream.url })
    assert.equal(wrong.code, 1)
    assert.match(wrong.checkup.problem ?? '', /TIMEOUT/)
    assert.equal(wrong.checkup.providers[0]?.ok, true, 'the provider is asked all the same')
    const azure = await examine(t, { PROVIDER_TYPE: 'azure' })
    assert.match(azure.checkup.providers[0]?.problem ?? '', /AZURE_OPENAI_ENDPOINT/)
  })

  test('a slip in PROVIDER_CONFIG is told with line, column and the likest name', async (t) => {
    const file = join(folderFor(t), 'providers.json')
    writeFileSync(
      file,
      '{\n  "providers": {\n    "mine": { "type": "openai", "baseurl": "http://127.0.0.1:1" }\n  }\n}\n',
    )
    const { code, checkup } = await examine(t, { PROVIDER_CONFIG: file })
    assert.equal(code, 1)
    assert.match(
      checkup.problem ?? '',
      /providers\.mine\.baseurl \(line 3, column 33\): there is no such name; the nearest known one is baseUrl/,
    )
  })

  test('a default model that nobody lists is a note with the likest one', async (t) => {
    const upstream = await upstreamFor(t, open)
    const { code, checkup } = await examine(t, { GATEWAY_URL: upstream.url, DEFAULT_MODEL: 'tinny' })
    assert.equal(code, 0)
    assert.match(checkup.notes.join(), /"tinny".*nearest is tiny/)
  })

  test('of two that stand for one another, one is enough', async (t) => {
    const upstream = await upstreamFor(t, open)
    const env = { PROVIDER_TYPE: 'local', LMSTUDIO_BASE_URL: upstream.url, OLLAMA_HOST: '127.0.0.1:1' }
    const { code, checkup } = await examine(t, env)
    assert.deepEqual(
      checkup.providers.map(({ name, ok }) => [name, ok]),
      [
        ['ollama', false],
        ['lmstudio', true],
      ],
    )
    assert.equal(code, 0)
    const neither = await examine(t, {
      PROVIDER_TYPE: 'local',
      LMSTUDIO_BASE_URL: 'http://127.0.0.1:1/v1',
      OLLAMA_HOST: '127.0.0.1:1',
    })
    assert.equal(neither.code, 1)
  })

  test('the proxy is shown without its password, and nothing is recorded', async (t) => {
    const folder = join(folderFor(t), 'records')
    const upstream = await upstreamFor(t, open)
    const env = {
      HTTPS_PROXY: 'http://me:secret-word@127.0.0.1:9',
      NO_PROXY: '127.0.0.1',
      GATEWAY_RECORD: folder,
      GATEWAY_URL: upstream.url,
    }
    const { code, stdout, checkup } = await examine(t, env)
    assert.equal(code, 0)
    assert.deepEqual(checkup.proxy, { https: 'http://127.0.0.1:9', except: '127.0.0.1' })
    assert.ok(!stdout.includes('secret-word'))
    assert.throws(() => readFileSync(folder), /ENOENT/)
  })

  test('a provider that says nothing does not keep the doctor beyond Ctrl-C', async (t) => {
    const upstream = await upstreamFor(t, () => {})
    const running = startCommand(t, ['doctor'], { env: { GATEWAY_URL: upstream.url } })
    await until(() => upstream.requests.length === 1)
    running.child.kill('SIGINT')
    assert.equal((await running.ended).code, 130)
  })

  test('what a call says of the same configuration agrees', async (t) => {
    const upstream = await upstreamFor(t, guarded)
    const env = { OPENAI_API_KEY: 'sk-wrong-0123456789', OPENAI_BASE_URL: upstream.url }
    const { checkup } = await examine(t, env)
    const result = await callTool(gatewayFor(t, env), 'listModels', {})
    const { unavailable } = result['structuredContent'] as { unavailable: { message: string }[] }
    assert.ok(checkup.providers[0]?.problem?.startsWith(unavailable[0]?.message ?? '?'))
  })

  test('is plain text in a pipe', async (t) => {
    const upstream = await upstreamFor(t, guarded)
    const env = { OPENAI_API_KEY: key, OPENAI_BASE_URL: upstream.url }
    const { code, stdout, stderr } = await run(t, ['doctor'], { env })
    assert.equal(code, 0)
    assert.equal(stderr, '')
    assert.match(
      stdout,
      /^ok +openai +http:\/\/127\.0\.0\.1:\d+\/v1 +OPENAI_API_KEY OPENAI_BASE_URL +accepted +2 +\d+ ms$/m,
    )
    assert.match(stdout, /^All is well\.$/m)
    assert.ok(!stdout.includes('\u001b'))
    assert.equal((await run(t, ['doctor', 'now'])).code, 2)
  })

  const { command, missing } = onTerminal(['doctor'])
  test('has colour on a terminal, and words of a provider cannot take hold of it', { skip: missing }, async (t) => {
    const upstream = await upstreamFor(t, (_, response) =>
      sendJson(response, 401, { error: { message: 'no \u001b[2J way' } }),
    )
    const env = { GATEWAY_URL: upstream.url, TERM: 'xterm' }
    const { code, stdout } = await run(t, [], { command, env })
    assert.equal(code, 1)
    assert.ok(stdout.includes('\u001b[31m'))
    assert.ok(!stdout.includes('\u001b[2J'))
  })
})
