import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, delimiter, dirname, join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { beginStream, streamEnd } from './harness/chat-script.ts'
import { callTool, type Gateway, handshake, modernMeta, program } from './harness/gateway.ts'
import { at, gatewayFor, pointedAt, until, upstreamFor } from './harness/scope.ts'

const { version, engines } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string
  engines: { node: string }
}

const errorOf = (result: unknown) => at(result, '_meta', 'genai-gateway/error', 'code')
const sentenceOf = (result: unknown) => String(at(result, 'content', 0, 'text'))

/** Whatever the environment is: the program starts, and shows what it has. */
async function assertServes(gateway: Gateway): Promise<void> {
  assert.equal((await gateway.request('server/discover', { _meta: modernMeta })).error, undefined)
  assert.equal((await handshake(gateway)).result?.['protocolVersion'], '2025-11-25')
  assert.ok(Array.isArray((await gateway.request('tools/list')).result?.['tools']))
}

function folderFor(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'gateway-spec-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

describe('without any configuration', () => {
  test('it starts, lists its tools, and a call says what to set', async (t) => {
    const gateway = gatewayFor(t)
    await assertServes(gateway)
    for (const [name, args] of [
      ['createCompletion', { prompt: 'hi' }],
      ['createCompletion', { prompt: 'hi', model: 'gpt-5' }],
      ['createEmbedding', { input: ['hi'] }],
      ['listModels', {}],
    ] as const) {
      const result = await callTool(gateway, name, args)
      assert.equal(result['isError'], true)
      assert.equal(errorOf(result), 'configuration')
      assert.match(sentenceOf(result), /OPENAI_API_KEY/)
      assert.match(sentenceOf(result), /GATEWAY_URL/)
      assert.equal(at(result, '_meta', 'genai-gateway/error', 'retryable'), false)
    }
    assert.deepEqual(await gateway.end(), { code: 0, signal: null })
    assert.deepEqual(gateway.garbage, [])
  })

  test('an environment of nothing at all will do', async (t) => {
    const gateway = gatewayFor(t, { PATH: '', HOME: '' })
    await assertServes(gateway)
    assert.equal(errorOf(await callTool(gateway, 'createCompletion', { prompt: 'hi' })), 'configuration')
  })

  test('nothing is said on stderr before something is asked', async (t) => {
    const gateway = gatewayFor(t)
    await gateway.end()
    assert.equal(gateway.stderr(), '')
    assert.deepEqual(gateway.messages, [])
  })
})

describe('a value that somebody forgot to fill in counts as none', () => {
  const placeholders = [
    '',
    '   ',
    '<UNKNOWN>',
    '<your key here>',
    `\${user_config.openai_api_key}`,
    `\${OPENAI_API_KEY}`,
    '$OPENAI_API_KEY',
    '{{OPENAI_API_KEY}}',
    `\${env:OPENAI_API_KEY}`,
    'sk-...',
    'YOUR_KEY',
    'YOUR_API_KEY',
    'your-api-key-here',
    'se://docker/mcp/openai',
  ]
  for (const placeholder of placeholders) {
    test(JSON.stringify(placeholder), async (t) => {
      const gateway = gatewayFor(t, {
        OPENAI_API_KEY: placeholder,
        GATEWAY_URL: placeholder,
        DEFAULT_MODEL: placeholder,
      })
      await assertServes(gateway)
      const result = await callTool(gateway, 'createCompletion', { prompt: 'hi' })
      assert.equal(errorOf(result), 'configuration')
      assert.match(sentenceOf(result), /OPENAI_API_KEY/)
      if (placeholder.trim() !== '') assert.ok(!JSON.stringify(result).includes(placeholder))
    })
  }
})

describe('a wrong configuration stops nothing, and is told in the answer to a call', () => {
  const wrong: { name: string; env: Record<string, string>; says: RegExp }[] = [
    { name: 'a URL that is none', env: { GATEWAY_URL: 'http://' }, says: /GATEWAY_URL/ },
    { name: 'a URL of another scheme', env: { GATEWAY_URL: 'file:///etc/passwd' }, says: /GATEWAY_URL/ },
    {
      name: 'an unknown type',
      env: { PROVIDER_TYPE: 'abacus', GATEWAY_API_KEY: 'sk-0123456789' },
      says: /PROVIDER_TYPE/,
    },
    { name: 'a type without its key', env: { PROVIDER_TYPE: 'openai' }, says: /OPENAI_API_KEY/ },
    { name: 'a timeout that is none', env: { OPENAI_API_KEY: 'sk-0123456789', TIMEOUT: 'soon' }, says: /TIMEOUT/ },
    { name: 'retries below zero', env: { OPENAI_API_KEY: 'sk-0123456789', MAX_RETRIES: '-1' }, says: /MAX_RETRIES/ },
    { name: 'PROVIDER_CONFIG that is no JSON', env: { PROVIDER_CONFIG: '{"providers":' }, says: /PROVIDER_CONFIG/ },
    {
      name: 'PROVIDER_CONFIG that is not there',
      env: { PROVIDER_CONFIG: '/no/such/file.json' },
      says: /PROVIDER_CONFIG/,
    },
    { name: 'PROVIDER_CONFIG of another shape', env: { PROVIDER_CONFIG: '{"provider":{}}' }, says: /PROVIDER_CONFIG/ },
  ]
  for (const { name, env, says } of wrong) {
    test(name, async (t) => {
      const gateway = gatewayFor(t, env)
      await assertServes(gateway)
      const result = await callTool(gateway, 'createCompletion', { prompt: 'hi', model: 'tiny' })
      assert.equal(errorOf(result), 'configuration')
      assert.match(sentenceOf(result), says)
      assert.ok(!JSON.stringify(gateway.messages).includes('sk-0123456789'))
    })
  }
})

describe('the command line', () => {
  const run = (...args: string[]) =>
    spawnSync(process.execPath, [program, ...args], { encoding: 'utf8', input: '', env: {} })

  test('--version', () => {
    for (const flag of ['--version', '-v']) {
      const { status, stdout, stderr } = run(flag)
      assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: `${version}\n`, stderr: '' })
    }
  })

  test('--help', () => {
    for (const flag of ['--help', '-h']) {
      const { status, stdout, stderr } = run(flag)
      assert.equal(status, 0)
      assert.equal(stderr, '')
      assert.match(stdout, /^Usage: genai-gateway-mcp/m)
      for (const word of ['--help', '--version', 'OPENAI_API_KEY', 'GATEWAY_URL'])
        assert.ok(stdout.includes(word), word)
      assert.ok(stdout.endsWith('\n'))
    }
  })

  for (const argument of ['--no-such-option', 'no-such-command', '--port=1', '']) {
    test(`what is not known is refused: ${JSON.stringify(argument)}`, () => {
      const { status, stdout, stderr } = run(argument)
      assert.equal(status, 2)
      assert.equal(stdout, '')
      assert.match(stderr, /^genai-gateway-mcp: .*--help\n$/)
    })
  }

  test('it can be run by itself and through a link, as npx does', { skip: process.platform === 'win32' }, (t) => {
    const link = join(folderFor(t), 'genai-gateway-mcp')
    symlinkSync(program, link)
    const env = { PATH: [join(process.execPath, '..'), process.env['PATH']].join(delimiter) }
    for (const command of [program, link]) {
      assert.equal(execFileSync(command, ['--version'], { encoding: 'utf8', env }), `${version}\n`)
    }
  })
})

describe('a Node that is too old', () => {
  const [, wantedMajor = 0, wantedMinor = 0] = (/(\d+)\.(\d+)/.exec(engines.node) ?? []).map(Number)
  const versionOf = (node: string) => spawnSync(node, ['--version'], { encoding: 'utf8' }).stdout?.trim() ?? ''
  const isOlder = (node: string) => {
    const [, major = Number.POSITIVE_INFINITY, minor = 0] = (/v(\d+)\.(\d+)/.exec(versionOf(node)) ?? []).map(Number)
    return major < wantedMajor || (major === wantedMajor && minor < wantedMinor)
  }
  const older = (process.env['PATH'] ?? '')
    .split(delimiter)
    .map((folder) => join(folder, process.platform === 'win32' ? 'node.exe' : 'node'))
    .find((node) => node !== process.execPath && isOlder(node))

  for (const args of [[], ['--version']]) {
    test(`is told so in one sentence: ${args.join(' ') || 'no argument'}`, (t) => {
      if (!older) return t.diagnostic(`no Node older than ${engines.node} is on the PATH: not tried`)
      t.diagnostic(versionOf(older))
      const input = '{"jsonrpc":"2.0","id":1,"method":"ping"}\n'
      const { status, stdout, stderr } = spawnSync(older, [program, ...args], { encoding: 'utf8', input, env: {} })
      assert.equal(status, 1)
      assert.equal(stdout, '')
      const expected = `genai-gateway-mcp needs Node ${wantedMajor}.${wantedMinor} or newer, and this is ${versionOf(older).slice(1)}.\n`
      assert.equal(stderr, expected)
    })
  }
})

describe('the network', () => {
  test('is not touched before a call asks for it', async (t) => {
    const upstream = await upstreamFor(t, (_, response) => {
      beginStream(response, 'hello')
      response.end(streamEnd)
    })
    const gateway = gatewayFor(t, pointedAt(upstream, { OPENAI_API_KEY: 'sk-0123456789', OLLAMA_HOST: upstream.url }))
    await assertServes(gateway)
    // Long enough for whatever is begun behind the first answer.
    await new Promise((resolve) => setTimeout(resolve, 250))
    await gateway.request('ping')
    assert.equal(upstream.connections(), 0)
    const result = await callTool(gateway, 'createCompletion', { prompt: 'hi', model: 'openai/tiny' })
    assert.equal(at(result, 'content', 0, 'text'), 'hello')
    assert.equal(upstream.connections(), 1)
  })

  test('a provider that does not answer delays no answer of ours', async (t) => {
    const upstream = await upstreamFor(t, () => {})
    const gateway = gatewayFor(t, pointedAt(upstream))
    gateway.send({ jsonrpc: '2.0', id: 'm', method: 'tools/call', params: { name: 'listModels', _meta: modernMeta } })
    await until(() => upstream.requests.length === 1)
    const startedMs = performance.now()
    await assertServes(gateway)
    assert.ok(performance.now() - startedMs < 1_000)
  })
})

describe('the start', () => {
  test('the first answer comes within half a second', async (t) => {
    const times: number[] = []
    for (let run = 0; run < 3; run++) {
      const startedMs = performance.now()
      await handshake(gatewayFor(t))
      times.push(performance.now() - startedMs)
    }
    t.diagnostic(`${times.map(Math.round).join(', ')} ms from the start of the process`)
    assert.ok(Math.min(...times) < 500)
  })

  test('what is asked before the start is over is answered in order', async (t) => {
    const gateway = gatewayFor(t)
    const ids = Array.from({ length: 50 }, (_, index) => index)
    await Promise.all(ids.map((id) => gateway.request('tools/list', { _meta: modernMeta }, id)))
    assert.deepEqual(
      gateway.messages.flat().map(({ id }) => id),
      ids,
    )
  })

  test('it takes nothing from the folder in which it is started, and leaves nothing there', async (t) => {
    const folder = folderFor(t)
    writeFileSync(join(folder, '.env'), 'OPENAI_API_KEY=sk-of-somebody-else\n')
    writeFileSync(join(folder, 'package.json'), '{"type":"commonjs"')
    const before = readdirSync(folder)
    const { status, stdout } = spawnSync(process.execPath, [program], {
      cwd: folder,
      encoding: 'utf8',
      env: {},
      input: `${JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'listModels', _meta: modernMeta } })}\n`,
    })
    assert.equal(status, 0)
    assert.match(stdout, /"code":"configuration"/)
    assert.deepEqual(readdirSync(folder), before, 'nothing was written')
  })
})

describe('what Node has parsed', () => {
  /** A copy of the built program, beside which nothing has been kept yet. */
  const copyFor = (t: TestContext) => {
    const folder = folderFor(t)
    cpSync(dirname(program), folder, { recursive: true, filter: (path) => !path.endsWith('.cache') })
    return { program: join(folder, basename(program)), cache: join(folder, '.cache') }
  }
  const callAtOnce = async (t: TestContext, copy: string, env: Record<string, string> = {}) => {
    const gateway = gatewayFor(t, env, [copy])
    const closed = once(gateway.child, 'close')
    const result = await callTool(gateway, 'createCompletion', { prompt: 'hi' })
    assert.equal(errorOf(result), 'configuration')
    assert.deepEqual(await gateway.end(), { code: 0, signal: null })
    await closed
    return gateway.stderr()
  }
  const accepted = /chat\.mjs was accepted/

  test('is kept beside the bundles where a call waits for them, and taken from there', async (t) => {
    const copy = copyFor(t)
    const debug = { NODE_DEBUG_NATIVE: 'COMPILE_CACHE' }
    assert.doesNotMatch(await callAtOnce(t, copy.program, debug), accepted)
    const [kept] = readdirSync(copy.cache)
    assert.ok(kept)
    assert.match(await callAtOnce(t, copy.program, debug), accepted)
    assert.deepEqual(readdirSync(copy.cache), [kept])
  })

  test('is no longer good for changed settings, and so is kept before they change', async (t) => {
    const copy = copyFor(t)
    const gateway = gatewayFor(t, {}, [copy.program])
    await callTool(gateway, 'createCompletion', { prompt: 'hi' })
    await until(() => existsSync(copy.cache) && readdirSync(copy.cache, { recursive: true }).length > 1)
    await gateway.end()
    assert.match(await callAtOnce(t, copy.program, { NODE_DEBUG_NATIVE: 'COMPILE_CACHE' }), accepted)
  })

  test('is not kept where nobody calls, where it is switched off, or where it cannot be written', async (t) => {
    const copy = copyFor(t)
    const gateway = gatewayFor(t, {}, [copy.program])
    await handshake(gateway)
    await new Promise((resolve) => setTimeout(resolve, 200))
    await gateway.end()
    await callAtOnce(t, copy.program, { NODE_DISABLE_COMPILE_CACHE: '1' })
    assert.equal(existsSync(copy.cache), false)
    writeFileSync(copy.cache, '')
    assert.doesNotMatch(await callAtOnce(t, copy.program), /cache/i)
    assert.equal(readFileSync(copy.cache, 'utf8'), '')
  })
})
