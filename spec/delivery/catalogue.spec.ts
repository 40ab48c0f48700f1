import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { folderFor } from '../harness/command-line.ts'
import { callTool, handshake, program } from '../harness/gateway.ts'
import { at, gatewayFor, upstreamFor } from '../harness/scope.ts'
import { type Answers, catalogueEntry, imageStart, toolkitRun } from '../harness/toolkit.ts'
import { chatStream, sendStream } from '../harness/upstream.ts'

/** Docker's catalogue: its rules, and what its gateway starts, here without a container around it. `make image-test` adds that. */

const root = new URL('../../', import.meta.url)
const entry = catalogueEntry()
const read = (path: string) => readFileSync(new URL(path, root), 'utf8')

describe('the entry keeps to the rules of the catalogue', () => {
  test('its names', () => {
    assert.match(entry.name, /^[a-z0-9-]+$/)
    assert.equal(entry.image, `mcp/${entry.name}`)
    assert.equal(entry.type, 'server')
    assert.doesNotMatch(entry.about.title, /MCP|Server/)
    for (const word of entry.about.title.split(' ')) assert.match(word, /^[A-Z]/)
    assert.equal(entry.longLived, true)
    assert.match(entry.source.commit, /^[0-9a-f]{40}$/)
  })

  test('a secret stands below the name of the server, and each template has its parameter', () => {
    for (const { name, env, required } of entry.config.secrets) {
      assert.deepEqual([name, required], [`${entry.name}.${env}`, false])
    }
    const used = entry.config.env.map(({ value }) => /^\{\{genai-gateway\.(\w+)\}\}$/.exec(value)?.[1])
    assert.deepEqual(used, Object.keys(entry.config.parameters.properties))
    for (const { env } of entry.config.secrets) assert.match(read('spec/client.md'), new RegExp(`\`${env}\``))
    for (const { name } of entry.config.env) assert.match(read('spec/client.md'), new RegExp(`\`${name}\``))
  })

  test('its tools are those that the program lists, and every argument is described', async (t) => {
    const gateway = gatewayFor(t)
    await handshake(gateway)
    const tools = at(await gateway.request('tools/list'), 'result', 'tools') as Record<string, unknown>[]
    assert.deepEqual(
      JSON.parse(read('delivery/docker/tools.json')),
      tools.map(({ name, description, inputSchema }) => ({
        name,
        description,
        arguments: Object.entries(at(inputSchema, 'properties') as object).map(([argument, { type, description }]) => {
          assert.ok(description.length > 0, argument)
          return { name: argument, type, desc: description }
        }),
      })),
    )
  })

  test('image, package and registry have one name and one version', () => {
    const { mcpName, name, version } = JSON.parse(read('package.json'))
    const registry = JSON.parse(read('delivery/server.json'))
    assert.equal(registry.name, mcpName)
    assert.match(registry.name, /^[a-zA-Z0-9.-]+\/[a-zA-Z0-9._-]+$/)
    assert.equal(registry.version, version)
    assert.ok(registry.description.length <= 100)
    assert.deepEqual(
      registry.packages.map(({ registryType, identifier }: Record<string, string>) => [registryType, identifier]),
      [
        ['npm', name],
        ['oci', `docker.io/owner/${name}:${version}`],
      ],
    )
    assert.ok(read('Dockerfile').includes(`io.modelcontextprotocol.server.name='${mcpName}'`))
    const label = /io\.docker\.server\.metadata='(.*)'$/m.exec(read('Dockerfile'))?.[1] ?? ''
    assert.deepEqual(
      { name: JSON.parse(label).name, title: JSON.parse(label).title },
      { name: entry.name, title: entry.about.title },
    )
  })
})

describe('what the gateway of the Toolkit starts', () => {
  const start = (t: TestContext, answers: Answers, more: Record<string, string> = {}) => {
    const { entryPoint, env } = imageStart()
    const flags = entryPoint.slice(1, -1)
    assert.deepEqual(flags, ['--disable-sigusr1', '--disable-proto=delete'])
    const run = toolkitRun(entry, entry.image, answers)
    // The folder of what the image has parsed is not on this machine.
    const apart = { NODE_DISABLE_COMPILE_CACHE: '1' }
    return gatewayFor(t, { ...env, ...apart, ...run.env, ...more }, [...flags, program])
  }

  test('its line', () => {
    assert.equal(
      toolkitRun(entry, 'mcp/genai-gateway', { parameters: { provider_type: 'local' } }).args.join(' '),
      'run --rm -i --init --security-opt no-new-privileges --cpus 1 --memory 2Gb --pull never -l docker-mcp=true ' +
        '-l docker-mcp-tool-type=mcp -l docker-mcp-name=genai-gateway -l docker-mcp-transport=stdio -e OPENAI_API_KEY ' +
        '-e ANTHROPIC_API_KEY -e AZURE_OPENAI_API_KEY -e GATEWAY_API_KEY -e PROVIDER_TYPE mcp/genai-gateway',
    )
  })

  test('with no secret set: the tools are there, and a call says what is missing', async (t) => {
    const gateway = start(t, {})
    assert.equal((await handshake(gateway, '2025-06-18')).result?.['protocolVersion'], '2025-06-18')
    const { result } = await gateway.request('tools/call', { name: 'createCompletion', arguments: { prompt: 'hi' } })
    assert.equal(at(result, '_meta', 'genai-gateway/error', 'code'), 'configuration')
    assert.match(String(at(result, 'content', 0, 'text')), /OPENAI_API_KEY still holds a placeholder/)
    assert.deepEqual(await gateway.end(), { code: 0, signal: null })
  })

  test('with a secret and an address: an answer, one program a call or for all', async (t) => {
    const upstream = await upstreamFor(t, (_, response) => sendStream(response, chatStream(['hello'])))
    const answers = {
      secrets: { 'genai-gateway.GATEWAY_API_KEY': 'sk-of-the-toolkit' },
      parameters: { gateway_url: upstream.url, default_model: 'tiny' },
    }
    for (const calls of [1, 3]) {
      const gateway = start(t, answers)
      for (let call = 0; call < calls; call++) {
        const result = await callTool(gateway, 'createCompletion', { prompt: 'hi' })
        assert.equal(at(result, 'content', 0, 'text'), 'hello')
      }
      assert.deepEqual(await gateway.end(), { code: 0, signal: null })
    }
    assert.deepEqual(
      upstream.requests.map(({ headers }) => headers.authorization),
      Array(4).fill('Bearer sk-of-the-toolkit'),
    )
  })

  test('a local provider is looked for on the machine around the container', async (t) => {
    const gateway = start(t, { parameters: { provider_type: 'ollama' } }, { GATEWAY_LOCAL_HOST: 'nobody.invalid' })
    const result = await callTool(gateway, 'listModels', {})
    assert.match(String(at(result, 'structuredContent', 'unavailable', 0, 'message')), /nobody\.invalid:11434/)
    assert.equal(imageStart().env['GATEWAY_LOCAL_HOST'], 'host.docker.internal')
  })

  test('keys in files and plugins work under the flags of the image', async (t) => {
    const upstream = await upstreamFor(t, (_, response) => sendStream(response, chatStream(['hello'])))
    const folder = folderFor(t)
    const plugin = join(folder, 'plugin.mjs')
    writeFileSync(
      plugin,
      `import { definePlugin, faultOfStatus } from 'genai-gateway-mcp/plugin'
export const provider = definePlugin({
  authorize: (key) => ({ 'x-key': key }),
  fault: faultOfStatus,
  chat: {
    encode: (_, { baseUrl }) => ({ method: 'GET', url: baseUrl, headers: {}, warnings: [] }),
    async *decode({ body }) {
      for await (const _ of body);
      yield { type: 'text-delta', text: 'from a plugin' }
      yield { type: 'finish', reason: 'stop', raw: 'stop' }
    },
  },
})`,
    )
    writeFileSync(join(folder, 'key'), 'sk-of-a-file\n')
    const sha256 = createHash('sha256').update(readFileSync(plugin)).digest('hex')
    const config = {
      plugins: { own: { path: plugin, sha256 } },
      providers: {
        box: { type: 'own', baseUrl: upstream.url, apiKeyFile: join(folder, 'key') },
        other: { type: 'openai', baseUrl: upstream.url, apiKeyFile: join(folder, 'key') },
      },
    }
    writeFileSync(join(folder, 'providers.json'), JSON.stringify(config))
    const gateway = start(t, {}, { PROVIDER_CONFIG: join(folder, 'providers.json') })
    const answer = async (model: string) =>
      at(await callTool(gateway, 'createCompletion', { prompt: 'hi', model }), 'content', 0, 'text')
    assert.equal(await answer('box/any'), 'from a plugin')
    assert.equal(await answer('other/any'), 'hello')
    assert.equal(upstream.requests[0]?.headers['x-key'], 'sk-of-a-file')
    assert.equal(upstream.requests[1]?.headers.authorization, 'Bearer sk-of-a-file')
  })
})
