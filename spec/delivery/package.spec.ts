import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { after, describe, type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { unzipSync } from 'fflate'
import { bundleOf } from '../../scripts/delivery/bundle.ts'
import { bundledSbom } from '../../scripts/delivery/sbom.ts'
import { folderFor } from '../harness/command-line.ts'
import { callTool, handshake, startGateway } from '../harness/gateway.ts'
import { at, pointedAt, upstreamFor } from '../harness/scope.ts'
import { chatStream, sendStream } from '../harness/upstream.ts'

/** The package and the bundle as they are handed out: packed, installed without a network into an empty folder, and run. */

const root = fileURLToPath(new URL('../../', import.meta.url))
const { name, version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<string, string>
const tarball = `${name}-${version}.tgz`
const windows = process.platform === 'win32'
const env = { ...process.env, PATH: [dirname(process.execPath), process.env['PATH']].join(delimiter) }

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

function npm(folder: string, ...args: string[]): string {
  return execFileSync('npm', [...args, '--loglevel=error', '--no-audit', '--no-fund'], {
    cwd: folder,
    encoding: 'utf8',
    env,
    shell: windows,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}

/** Packs what is built in a folder; the bytes of the tarball. */
function pack(source: string, into: string): Uint8Array {
  npm(source, 'pack', '--ignore-scripts', '--silent', '--pack-destination', into)
  return readFileSync(join(into, tarball))
}

/** The project in another folder, built anew. */
function elsewhere(t: TestContext): string {
  const folder = join(folderFor(t), 'somewhere', 'else')
  mkdirSync(folder, { recursive: true })
  const own = ['src', 'scripts', 'package.json', 'tsconfig.json', 'README.md', 'LICENSE', 'CHANGELOG.md', 'SECURITY.md']
  for (const path of own) cpSync(join(root, path), join(folder, path), { recursive: true })
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  execFileSync(process.execPath, ['scripts/build.mjs'], { cwd: folder, env: { ...env, TZ: 'Pacific/Auckland' } })
  return folder
}

function installed(t: TestContext): string {
  const folder = folderFor(t)
  pack(root, folder)
  writeFileSync(join(folder, 'package.json'), '{"private":true,"type":"module"}')
  npm(folder, 'install', '--offline', `./${tarball}`)
  return folder
}

describe('the package', () => {
  test('installed from its tarball it brings nothing else, and runs by npx and for a client', async (t) => {
    const folder = installed(t)
    assert.deepEqual(
      readdirSync(join(folder, 'node_modules')).filter((entry) => !entry.startsWith('.')),
      [name],
    )
    assert.equal(npm(folder, 'exec', '--offline', '--', name ?? '', '--version'), `${version}\n`)

    const upstream = await upstreamFor(t, (_, response) => sendStream(response, chatStream(['hello'])))
    const program = join(folder, 'node_modules', name ?? '', 'dist', `${name}.mjs`)
    const gateway = startGateway(pointedAt(upstream), [program])
    t.after(() => gateway.child.kill('SIGKILL'))
    assert.equal(at((await handshake(gateway)).result, 'serverInfo', 'version'), version)
    const result = await callTool(gateway, 'createCompletion', { prompt: 'hi' })
    assert.equal(at(result, 'content', 0, 'text'), 'hello')
    assert.deepEqual(await gateway.end(), { code: 0, signal: null })
  })

  test('installed for all, init makes a block that starts it', { skip: windows }, async (t) => {
    const folder = folderFor(t)
    pack(root, folder)
    npm(folder, 'install', '--offline', '--global', '--prefix', join(folder, 'all'), `./${tarball}`)
    const command = join(folder, 'all', 'bin', name ?? '')
    const said = execFileSync(command, ['init', 'windsurf'], {
      encoding: 'utf8',
      env: { ...env, HOME: folder },
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    const entry = JSON.parse(said).mcpServers['genai-gateway']
    const gateway = startGateway(entry.env, entry.args, entry.command)
    t.after(() => gateway.child.kill('SIGKILL'))
    assert.equal(at((await handshake(gateway)).result, 'serverInfo', 'version'), version)
  })

  test('a plugin finds what it is written with there, with its types', (t) => {
    const folder = installed(t)
    writeFileSync(
      join(folder, 'plugin.ts'),
      `import { definePlugin, faultOfStatus, readJson, textOf } from 'genai-gateway-mcp/plugin'

export const provider = definePlugin({
  authorize: (key) => ({ 'x-key': key }),
  fault: faultOfStatus,
  chat: {
    encode: ({ messages }, { baseUrl }) => {
      const json = { words: messages.map(({ content }) => textOf(content)) }
      return { method: 'POST', url: baseUrl, headers: {}, json, warnings: [] }
    },
    async *decode(response) {
      await readJson(response)
      yield { type: 'finish', reason: 'stop', raw: 'stop' }
    },
  },
})
`,
    )
    const settings = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2023', '--lib', 'es2023,dom']
    const typescript = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
    const check = () =>
      execFileSync(process.execPath, [typescript, ...settings, '--types', '', 'plugin.ts'], {
        cwd: folder,
        encoding: 'utf8',
      })
    assert.equal(check(), '')
    const right = readFileSync(join(folder, 'plugin.ts'), 'utf8')
    writeFileSync(join(folder, 'plugin.ts'), right.replace("'stop', raw", "'tired', raw"))
    assert.throws(check, ({ stdout }) => /tired/.test(stdout))
    const script = "console.log(typeof (await import('genai-gateway-mcp/plugin')).definePlugin)"
    const said = execFileSync(process.execPath, ['--input-type=module', '-e', script], {
      cwd: folder,
      encoding: 'utf8',
    })
    assert.equal(said, 'function\n')
  })

  test('is the same, and so is the bundle, wherever and whenever it is built', (t) => {
    const there = elsewhere(t)
    assert.equal(sha256(pack(there, folderFor(t))), sha256(pack(root, folderFor(t))))
    assert.equal(sha256(bundleOf(there)), sha256(bundleOf(root)))
  })

  test('its bill of materials names what is bundled, and none of the tools', () => {
    const whole = JSON.parse(npm(root, 'sbom', '--sbom-format', 'cyclonedx', '--package-lock-only'))
    const notices = readFileSync(join(root, 'dist', 'THIRD-PARTY-LICENSES'), 'utf8')
    const date = new Date(Date.UTC(2030, 0, 1))
    const text = bundledSbom(whole, name ?? '', notices, date)
    const { components, dependencies, metadata, serialNumber } = JSON.parse(text)
    const names: string[] = components.map((component: { name: string }) => component.name)
    for (const used of ['undici', 'zod', 'pino', 'sonic-boom']) assert.ok(names.includes(used), used)
    for (const tool of ['typescript', 'esbuild', 'yaml', 'fast-check']) assert.ok(!names.includes(tool), tool)
    assert.equal(dependencies.length, names.length + 1)
    assert.deepEqual(
      [metadata.component.name, metadata.component.version, metadata.timestamp, serialNumber],
      [name, version, '2030-01-01T00:00:00.000Z', undefined],
    )
    const again = JSON.parse(npm(root, 'sbom', '--sbom-format', 'cyclonedx', '--package-lock-only'))
    assert.equal(bundledSbom(again, name ?? '', notices, date), text)
    assert.throws(() => bundledSbom(whole, name ?? '', `${notices}\n== left-pad 1.0.0 (MIT)\n`, date), /lock file/)
  })

  test('is small', (t) => {
    const bytes = pack(root, folderFor(t)).length
    t.diagnostic(`${(bytes / 1024).toFixed(0)} KB packed`)
    assert.ok(bytes < 600 * 1024)
  })
})

describe('the bundle for desktop clients', () => {
  const zone = process.env['TZ']
  after(() => {
    if (zone === undefined) delete process.env['TZ']
    else process.env['TZ'] = zone
  })

  test('starts from its manifest, with every field of its form left empty', async (t) => {
    const folder = folderFor(t)
    const files = unzipSync(bundleOf(root))
    for (const [path, bytes] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, path)), { recursive: true })
      writeFileSync(join(folder, path), bytes)
    }
    const manifest = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8'))
    assert.equal(manifest.version, version)
    assert.ok(Object.keys(files).includes(manifest.server.entry_point))
    const { command, args, env: given } = manifest.server.mcp_config
    assert.equal(command, 'node')
    const fields = Object.values(given as Record<string, string>).map(
      (text) => /^\$\{user_config\.(\w+)\}$/.exec(text)?.[1],
    )
    assert.deepEqual(fields, Object.keys(manifest.user_config))
    const here = args.map((word: string) => word.replace(`\${__dirname}`, folder))

    const empty = startGateway(given, here)
    t.after(() => empty.child.kill('SIGKILL'))
    const failed = await callTool(empty, 'createCompletion', { prompt: 'hi' })
    assert.equal(at(failed, '_meta', 'genai-gateway/error', 'code'), 'configuration')

    const upstream = await upstreamFor(t, (_, response) => sendStream(response, chatStream(['hello'])))
    const filled = startGateway({ ...given, GATEWAY_URL: upstream.url, DEFAULT_MODEL: 'tiny' }, here)
    t.after(() => filled.child.kill('SIGKILL'))
    const result = await callTool(filled, 'createCompletion', { prompt: 'hi' })
    assert.equal(at(result, 'content', 0, 'text'), 'hello')
  })

  test('is the same in every time zone', () => {
    const prints = ['UTC', 'Pacific/Auckland', 'America/Los_Angeles'].map((name) => {
      process.env['TZ'] = name
      return sha256(bundleOf(root))
    })
    assert.equal(new Set(prints).size, 1)
  })
})
