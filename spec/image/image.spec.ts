import assert from 'node:assert/strict'
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { createGzip } from 'node:zlib'
import { folderFor } from '../harness/command-line.ts'
import { callTool, handshake, modernMeta } from '../harness/gateway.ts'
import { at, until } from '../harness/scope.ts'
import { catalogueEntry, imageStart, toolkitRun } from '../harness/toolkit.ts'
import { sendJson, startUpstream } from '../harness/upstream.ts'
import { containerFor, docker, hardened, image, inside, networkFor } from './engine.ts'

/** The image as it was built: what it holds, what it needs, and what its clients get from it. */

const { version, mcpName } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
const ended = { code: 0, signal: null }

type ImageConfig = {
  User: string
  Entrypoint: string[]
  Cmd?: string[]
  Healthcheck?: object
  Labels: Record<string, string>
}

describe('what the image is', () => {
  const config: ImageConfig = JSON.parse(docker('image', 'inspect', image, '--format', '{{json .Config}}'))

  test('nobody in particular, without shell, default arguments or health check', () => {
    assert.equal(config.User, '1001:1001')
    assert.deepEqual(config.Entrypoint, imageStart().entryPoint)
    assert.equal(config.Cmd ?? undefined, undefined)
    assert.equal(config.Healthcheck, undefined)
    for (const shell of ['/bin/sh', '/bin/bash', '/usr/local/bin/npm']) {
      const { status } = spawnSync('docker', ['run', '--rm', '--network', 'none', '--entrypoint', shell, image])
      assert.equal(status, 127, shell)
    }
  })

  test('it says what it is', () => {
    assert.equal(config.Labels['io.modelcontextprotocol.server.name'], mcpName)
    assert.equal(config.Labels['org.opencontainers.image.version'], version)
    const metadata = JSON.parse(config.Labels['io.docker.server.metadata'] ?? '')
    const tools = ['listModels', 'createCompletion', 'createEmbedding', 'callTool']
    assert.deepEqual(
      [metadata.name, metadata.type, metadata.tools.map((tool: { name: string }) => tool.name)],
      ['genai-gateway', 'server', tools],
    )
    assert.match(metadata.tools[3].description, /a provider's own/)
  })

  test('at most 140 MB unpacked and 60 MB packed', async (t) => {
    const unpacked = Number(docker('image', 'inspect', image, '--format', '{{.Size}}'))
    // By its id: a name without a tag would save all tags that it has.
    const id = docker('image', 'inspect', image, '--format', '{{.Id}}')
    const save = spawn('docker', ['save', id], { stdio: ['ignore', 'pipe', 'inherit'] })
    t.after(() => save.kill('SIGKILL'))
    let packed = 0
    for await (const chunk of save.stdout.pipe(createGzip())) packed += (chunk as Buffer).length
    t.diagnostic(`${(unpacked / 1e6).toFixed(1)} MB unpacked, ${(packed / 1e6).toFixed(1)} MB packed`)
    assert.ok(unpacked <= 140e6)
    assert.ok(packed <= 60e6)
  })

  test('nothing in it can be written by whom it runs as, and what is bundled comes with its licences', () => {
    const script = `
      const fs = require('node:fs')
      const own = fs.readdirSync('/').filter((name) => !['proc', 'sys', 'dev'].includes(name)).map((name) => '/' + name)
      const folders = own.filter((path) => fs.statSync(path).isDirectory())
      const all = ['/', ...own, ...folders.flatMap((path) => fs.readdirSync(path, { recursive: true }).map((file) => path + '/' + file))]
      const writable = all.filter((path) => { try { fs.accessSync(path, fs.constants.W_OK); return true } catch { return false } })
      console.log(JSON.stringify({ writable, app: fs.readdirSync('/app').sort() }))`
    const { writable, app } = JSON.parse(inside(['--network', 'none'], script))
    assert.deepEqual(writable, [])
    assert.deepEqual(
      app.filter((file: string) => !file.endsWith('.mjs')),
      ['LICENSE', 'THIRD-PARTY-LICENSES', 'code-cache', 'llhttp-simd.wasm', 'llhttp.wasm'],
    )
  })
})

describe('allowed as little as possible', () => {
  for (const init of [[], ['--init']]) {
    const flags = [...init, ...hardened]
    const run = ['run', '--rm', '-i', ...flags, image]

    test(`it serves both eras and ends with its client: ${init.join('') || 'as process 1'}`, async (t) => {
      const { gateway } = containerFor(t, run)
      assert.equal((await handshake(gateway)).result?.['protocolVersion'], '2025-11-25')
      assert.equal(at((await gateway.request('tools/list')).result, 'tools', 'length'), 4)
      assert.equal((await gateway.request('server/discover', { _meta: modernMeta })).error, undefined)
      const result = await callTool(gateway, 'createCompletion', { prompt: 'hi' })
      assert.equal(at(result, '_meta', 'genai-gateway/error', 'code'), 'configuration')
      assert.deepEqual(await gateway.end(), ended)
      assert.deepEqual(gateway.garbage, [])
    })

    test(`it ends when it is told to: ${init.join('') || 'as process 1'}`, async (t) => {
      const { gateway, name } = containerFor(t, run)
      await handshake(gateway)
      const startedMs = performance.now()
      docker('stop', '--time', '20', name)
      const tookMs = performance.now() - startedMs
      t.diagnostic(`${tookMs.toFixed(0)} ms`)
      assert.ok(tookMs < 10_000, 'it was killed only when the time had run out')
      await gateway.exited
    })
  }

  test('there is nothing that it could do', () => {
    const script = `
      const fs = require('node:fs')
      const status = Object.fromEntries(fs.readFileSync('/proc/self/status', 'utf8').split('\\n').map((line) => line.split(/:\\t/)))
      const write = (path) => { try { fs.writeFileSync(path, ''); return 'written' } catch ({ code }) { return code } }
      const links = Object.keys(require('node:os').networkInterfaces())
      console.log(JSON.stringify([process.getuid(), status.CapEff, status.CapBnd, status.NoNewPrivs, status.Seccomp, write('/x'), links]))`
    assert.deepEqual(JSON.parse(inside(hardened, script)), [
      1001,
      '0000000000000000',
      '0000000000000000',
      '1',
      '2',
      'EROFS',
      ['lo'],
    ])
  })

  test('Node takes the bundles as they were parsed when the image was built, and writes nothing', async (t) => {
    const { gateway } = containerFor(t, [
      ...['run', '--rm', '-i', ...hardened],
      ...['-e', 'NODE_DEBUG_NATIVE=COMPILE_CACHE', '-e', 'LOG_LEVEL=silent', image],
    ])
    const closed = once(gateway.child, 'close')
    await handshake(gateway)
    await callTool(gateway, 'createCompletion', { prompt: 'hi' })
    await gateway.end()
    await closed
    const told = gateway.stderr()
    const bundles = (pattern: RegExp) => [...told.matchAll(pattern)].map(([, bundle]) => bundle).sort()
    const used = ['chat', 'genai-gateway-mcp']
    assert.deepEqual(bundles(/file:\/\/\/app\/(\S+)\.mjs was accepted/g), used, told)
    assert.deepEqual(bundles(/skip persisting ESM file:\/\/\/app\/(\S+)\.mjs because cache was the same/g), used, told)
    assert.doesNotMatch(told, /was not initialized|rejected|temporary file/)
  })

  test('another user than the one of the image', async (t) => {
    const run = ['run', '--rm', '-i', ...hardened, '--user', '4242:4242', '-e', 'LOG_LEVEL=silent', image]
    const { gateway } = containerFor(t, run)
    const closed = once(gateway.child, 'close')
    await handshake(gateway)
    const result = await callTool(gateway, 'createCompletion', { prompt: 'hi' })
    assert.equal(at(result, '_meta', 'genai-gateway/error', 'code'), 'configuration')
    assert.deepEqual(await gateway.end(), ended)
    await closed
    assert.equal(gateway.stderr(), '')
  })

  test('a key in a file that is mounted', async (t) => {
    const folder = folderFor(t)
    const key = join(folder, 'key')
    writeFileSync(key, 'sk-of-a-mounted-file', { mode: 0o444 })
    const mount = ['-v', `${key}:/run/secrets/key:ro`, '-e', 'OPENAI_API_KEY_FILE=/run/secrets/key']
    const { gateway } = containerFor(t, ['run', '--rm', '-i', ...hardened, ...mount, image])
    const result = await callTool(gateway, 'createCompletion', { prompt: 'hi' })
    // It was read, or the fault would be that of the configuration; the network is what is missing.
    assert.equal(at(result, '_meta', 'genai-gateway/error', 'code'), 'network')
  })

  test('the command line', () => {
    assert.equal(docker('run', '--rm', ...hardened, image, '--version'), version)
    const block = docker('run', '--rm', ...hardened, '-e', 'OPENAI_API_KEY=sk-not-told', image, 'init', 'cursor')
    assert.deepEqual(at(JSON.parse(block), 'mcpServers', 'genai-gateway'), {
      command: 'docker',
      args: ['run', '-i', '--rm', '-e', 'OPENAI_API_KEY', 'genai-gateway-mcp'],
      env: { OPENAI_API_KEY: `\${env:OPENAI_API_KEY}` },
    })
  })
})

describe('as the MCP Toolkit runs it', () => {
  test('with no secret set', async (t) => {
    const { args, env } = toolkitRun(catalogueEntry(), image)
    const { gateway } = containerFor(t, args, env)
    assert.equal((await handshake(gateway, '2025-06-18')).result?.['protocolVersion'], '2025-06-18')
    assert.equal(at((await gateway.request('tools/list')).result, 'tools', 'length'), 4)
    const { result } = await gateway.request('tools/call', { name: 'createCompletion', arguments: { prompt: 'hi' } })
    assert.match(String(at(result, 'content', 0, 'text')), /OPENAI_API_KEY still holds a placeholder/)
    assert.deepEqual(await gateway.end(), ended)
  })

  const elsewhere = process.platform !== 'linux' && 'the network of the containers is not on this machine'
  test('an answer of an Ollama on the machine around it, from its usual port', { skip: elsewhere }, async (t) => {
    const { network, address } = networkFor(t)
    const upstream = await startUpstream(
      ({ path }, response) =>
        path === '/api/tags'
          ? sendJson(response, 200, { models: [{ name: 'tiny', model: 'tiny' }] })
          : sendJson(response, 200, { model: 'tiny', message: { role: 'assistant', content: 'hello' }, done: true }),
      { host: address, port: 11434 },
    )
    t.after(() => upstream.close())
    const { args, env } = toolkitRun(catalogueEntry(), image, { parameters: { provider_type: 'local' } })
    const [run = '', ...rest] = args
    const there = ['--network', network, '--add-host', `host.docker.internal:${address}`]
    const { gateway } = containerFor(t, [run, ...there, ...rest], env)
    const result = await callTool(gateway, 'createCompletion', { prompt: 'hi' })
    assert.equal(at(result, 'content', 0, 'text'), 'hello', JSON.stringify(result))
    assert.equal(upstream.requests[0]?.headers.host, 'host.docker.internal:11434')
    assert.deepEqual(await gateway.end(), ended)
  })
})

test('the first answer costs little more than the container itself', async (t) => {
  const median = (times: number[]) => times.toSorted((a, b) => a - b)[times.length >> 1] as number
  const bare: number[] = []
  const answered: number[] = []
  for (let run = 0; run < 5; run++) {
    const startedMs = performance.now()
    execFileSync('docker', ['run', '--rm', ...hardened, '--entrypoint', '/usr/local/bin/node', image, '--eval', '0'])
    bare.push(performance.now() - startedMs)
    const againMs = performance.now()
    const { gateway } = containerFor(t, ['run', '--rm', '-i', ...hardened, image])
    await handshake(gateway)
    answered.push(performance.now() - againMs)
    await gateway.end()
    await until(() => gateway.child.exitCode !== null)
  }
  t.diagnostic(
    `node --eval 0: ${median(bare).toFixed(0)} ms with the end of the container; first answer: ${median(answered).toFixed(0)} ms`,
  )
  assert.ok(median(answered) < median(bare) + 250)
})
