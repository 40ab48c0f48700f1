import assert from 'node:assert/strict'
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { folderFor, run } from '../harness/command-line.ts'
import { callTool, type Json, program, startGateway } from '../harness/gateway.ts'
import { at, upstreamFor } from '../harness/scope.ts'
import { chatStream, sendStream } from '../harness/upstream.ts'

const key = 'sk-never-written-0123456789'
const windows = process.platform === 'win32'

/** Where each client looks on this platform, below the home folder or the folder of the project. */
const config = process.platform === 'darwin' ? 'Library/Application Support' : windows ? 'AppData/Roaming' : '.config'
const files: Readonly<Record<string, string>> = {
  windsurf: '.codeium/windsurf/mcp_config.json',
  docker: 'genai-gateway.json',
  'claude-desktop': `${config}/Claude/claude_desktop_config.json`,
  'claude-code': '.mcp.json',
  cursor: '.cursor/mcp.json',
  vscode: `${config}/Code/User/mcp.json`,
  zed: windows ? 'AppData/Roaming/Zed/settings.json' : '.config/zed/settings.json',
  codex: '.codex/config.toml',
  'gemini-cli': '.gemini/settings.json',
}

/** What each client makes of its placeholders before it starts the server. */
const filled: Readonly<Record<string, { section: string; fill(text: string, env: Json): string }>> = {
  windsurf: {
    section: 'mcpServers',
    fill: (text, env) => text.replace(/\$\{env:(\w+)\}/g, (all, name) => `${env[name] ?? all}`),
  },
  cursor: {
    section: 'mcpServers',
    fill: (text, env) => text.replace(/\$\{env:(\w+)\}/g, (_, name) => `${env[name] ?? ''}`),
  },
  'claude-code': {
    section: 'mcpServers',
    fill: (text, env) => text.replace(/\$\{(\w+):-\}/g, (_, name) => `${env[name] ?? ''}`),
  },
  'gemini-cli': {
    section: 'mcpServers',
    fill: (text, env) => text.replace(/\$\{(\w+)\}/g, (all, name) => `${env[name] ?? all}`),
  },
  vscode: {
    section: 'servers',
    fill: (text, env) => text.replace(/\$\{input:openai-api-key\}/g, () => `${env['OPENAI_API_KEY']}`),
  },
  'claude-desktop': {
    section: 'mcpServers',
    fill: (text, env) => text.replace('YOUR_OPENAI_API_KEY', `${env['OPENAI_API_KEY']}`),
  },
  zed: {
    section: 'context_servers',
    fill: (text, env) => text.replace('YOUR_OPENAI_API_KEY', `${env['OPENAI_API_KEY']}`),
  },
}

function init(t: TestContext, home: string, args: string[], env: Record<string, string> = {}) {
  return run(t, ['init', ...args], { cwd: home, env: { HOME: home, USERPROFILE: home, OPENAI_API_KEY: key, ...env } })
}

function gatewayFrom(t: TestContext, entry: unknown) {
  const { command, args, env } = entry as { command: string; args: string[]; env: Record<string, string> }
  assert.equal(command, process.execPath)
  const gateway = startGateway(env, args)
  t.after(() => gateway.child.kill('SIGKILL'))
  return gateway
}

describe('init prints', () => {
  for (const name of Object.keys(files)) {
    test(`the block for ${name} alone on stdout, without a key, and writes nothing`, async (t) => {
      const home = folderFor(t)
      const { code, stdout, stderr } = await init(t, home, [name], { OLLAMA_HOST: '127.0.0.1:11434' })
      assert.equal(code, 0)
      assert.ok(stderr.includes(join(...(files[name] as string).split('/'))), stderr)
      assert.ok(
        stdout.includes('genai-gateway') && stdout.includes('OPENAI_API_KEY') && stdout.includes('11434'),
        stdout,
      )
      assert.ok(!`${stdout}${stderr}`.includes(key))
      if (name !== 'codex') assert.doesNotThrow(() => JSON.parse(stdout))
      assert.deepEqual(readdirSync(home), [])
    })
  }

  test('the table for Codex, as its file has it', async (t) => {
    const { stdout } = await init(t, folderFor(t), ['codex'], { GATEWAY_URL: 'http://127.0.0.1:8080/v1' })
    assert.equal(
      stdout,
      `[mcp_servers.genai-gateway]\ncommand = ${JSON.stringify(process.execPath)}\nargs = [${JSON.stringify(program)}]\n` +
        `env_vars = ["OPENAI_API_KEY"]\nenv = { GATEWAY_URL = "http://127.0.0.1:8080/v1" }\ntool_timeout_sec = 600\n`,
    )
  })

  test('what a chosen provider needs, and one key as an example where nothing is set', async (t) => {
    const home = folderFor(t)
    const env = (stdout: string) => at(JSON.parse(stdout), 'mcpServers', 'genai-gateway', 'env')
    const chosen = await init(t, home, ['windsurf', '--provider', 'anthropic', '--provider', 'ollama'])
    assert.deepEqual(env(chosen.stdout), {
      ANTHROPIC_API_KEY: `\${env:ANTHROPIC_API_KEY}`,
      OLLAMA_HOST: 'http://127.0.0.1:11434',
    })
    const example = await init(t, home, ['windsurf'], { OPENAI_API_KEY: 'YOUR_API_KEY' })
    assert.deepEqual(env(example.stdout), { OPENAI_API_KEY: `\${env:OPENAI_API_KEY}` })
    assert.match(example.stderr, /only an example/)
  })

  test('paths are whole, and a PROVIDER_CONFIG that may hold keys is not copied', async (t) => {
    const home = folderFor(t)
    const path = await init(t, home, ['windsurf'], { PROVIDER_CONFIG: 'providers.json', OPENAI_API_KEY: '' })
    assert.equal(
      at(JSON.parse(path.stdout), 'mcpServers', 'genai-gateway', 'env', 'PROVIDER_CONFIG'),
      join(home, 'providers.json'),
    )
    const text = await init(t, home, ['windsurf'], {
      PROVIDER_CONFIG: `{"providers":{"a":{"type":"openai","apiKey":"${key}"}}}`,
    })
    assert.ok(!text.stdout.includes(key))
    const password = await init(t, home, ['windsurf'], { GATEWAY_URL: `https://me:${key}@llm.example.com/v1` })
    assert.ok(!password.stdout.includes(key))
  })

  test('--docker starts the container, which sees the machine under another name', async (t) => {
    const { stdout } = await init(t, folderFor(t), ['cursor', '--docker'], { OLLAMA_HOST: '127.0.0.1:11434' })
    assert.deepEqual(at(JSON.parse(stdout), 'mcpServers', 'genai-gateway'), {
      command: 'docker',
      args: 'run -i --rm --add-host host.docker.internal:host-gateway -e OPENAI_API_KEY -e OLLAMA_HOST genai-gateway-mcp'.split(
        ' ',
      ),
      env: { OPENAI_API_KEY: `\${env:OPENAI_API_KEY}`, OLLAMA_HOST: 'host.docker.internal:11434' },
    })
  })

  test('--docker leads the container to the machine when it may look for a provider there', async (t) => {
    const { stdout } = await init(t, folderFor(t), ['cursor', '--docker'], { PROVIDER_TYPE: 'local' })
    const args = at(JSON.parse(stdout), 'mcpServers', 'genai-gateway', 'args') as string[]
    assert.deepEqual(args.slice(3, 5), ['--add-host', 'host.docker.internal:host-gateway'])
  })

  const misuses: [string[], RegExp][] = [
    [[], /which client\? There are windsurf, docker/],
    [['windsrf'], /no client "windsrf"; the nearest is windsurf/],
    [['windsurf', 'cursor'], /one client at a time/],
    [['windsurf', '--provider', 'opnai'], /no provider "opnai"; the nearest is openai/],
    [['windsurf', '--wirte'], /unknown option '--wirte'/],
  ]
  for (const [args, says] of misuses) {
    test(`is refused: ${JSON.stringify(args)}`, async (t) => {
      const { code, stdout, stderr } = await init(t, folderFor(t), args)
      assert.deepEqual([code, stdout], [2, ''])
      assert.match(stderr, says)
    })
  }
})

describe('init writes', () => {
  for (const [name, { section, fill }] of Object.entries(filled)) {
    test(`what ${name} starts the gateway from`, async (t) => {
      const upstream = await upstreamFor(t, (_, response) => sendStream(response, chatStream(['hello'])))
      const home = folderFor(t)
      const env = { OPENAI_BASE_URL: upstream.url, DEFAULT_MODEL: 'tiny' }
      const { code, stdout } = await init(t, home, [name, '--write'], env)
      assert.equal(code, 0)
      const file = join(home, files[name] as string)
      assert.ok(stdout.includes(file))
      const text = readFileSync(file, 'utf8')
      assert.ok(!text.includes(key))
      const entry = at(JSON.parse(fill(text, { OPENAI_API_KEY: key })), section, 'genai-gateway')
      const result = await callTool(gatewayFrom(t, entry), 'createCompletion', { prompt: 'hi' })
      assert.equal(at(result, 'content', 0, 'text'), 'hello')
      assert.equal(upstream.requests[0]?.headers.authorization, `Bearer ${key}`)
    })

    test(`what tells, when ${name} leaves its placeholder as it is, which variable is missing`, async (t) => {
      const home = folderFor(t)
      await init(t, home, [name, '--write'])
      const entry = at(JSON.parse(readFileSync(join(home, files[name] as string), 'utf8')), section, 'genai-gateway')
      const result = await callTool(gatewayFrom(t, entry), 'createCompletion', { prompt: 'hi' })
      assert.equal(at(result, '_meta', 'genai-gateway/error', 'code'), 'configuration')
      assert.match(
        String(at(result, 'content', 0, 'text')),
        /OPENAI_API_KEY still holds a placeholder and counts as unset/,
      )
    })
  }

  test('into a file of somebody else: the rest stays, and a copy of it as it was is kept beside it', async (t) => {
    const home = folderFor(t)
    const file = join(home, files['zed'] as string)
    mkdirSync(dirname(file), { recursive: true })
    const before =
      '// my settings\n{\n  "theme": "One Dark", // dark\n  "context_servers": { "other": { "command": "x" } },\n}\n'
    writeFileSync(file, before, { mode: 0o640 })
    writeFileSync(`${file}.bak`, 'an older copy')
    const { code, stdout } = await init(t, home, ['zed', '--write'])
    assert.equal(code, 0)
    const after = readFileSync(file, 'utf8')
    assert.ok(after.startsWith('// my settings\n{\n  "theme": "One Dark", // dark\n'))
    assert.ok(after.includes('"other": { "command": "x" }') && after.includes('"genai-gateway"'))
    assert.equal(readFileSync(`${file}.bak`, 'utf8'), 'an older copy')
    assert.equal(readFileSync(`${file}.bak.2`, 'utf8'), before)
    assert.ok(stdout.includes(`${file}.bak.2`))
    if (!windows) assert.equal(statSync(file).mode & 0o777, 0o640)
    assert.deepEqual(readdirSync(dirname(file)).sort(), ['settings.json', 'settings.json.bak', 'settings.json.bak.2'])
  })

  test('twice: the second time there is nothing to do', async (t) => {
    const home = folderFor(t)
    await init(t, home, ['windsurf', '--write'])
    const file = join(home, files['windsurf'] as string)
    const { mtimeMs, ino } = statSync(file)
    const { code, stdout } = await init(t, home, ['windsurf', '--write'])
    assert.equal(code, 0)
    assert.match(stdout, /says so already/)
    assert.deepEqual([statSync(file).mtimeMs, statSync(file).ino], [mtimeMs, ino])
    assert.deepEqual(readdirSync(dirname(file)), ['mcp_config.json'])
    if (!windows) assert.equal(statSync(file).mode & 0o777, 0o600)
  })

  const refused: { name: string; text: string; says: RegExp }[] = [
    {
      name: 'is not JSON',
      text: 'mcpServers = nothing\n',
      says: /not valid JSON \(line 1, column 1: .*nothing was changed/,
    },
    { name: 'breaks off', text: '{"mcpServers": {', says: /not valid JSON \(line 1, column 17: / },
    {
      name: 'has another entry of our name',
      text: '{"mcpServers":{"genai-gateway":{"command":"mine"}}}',
      says: /--replace/,
    },
  ]
  for (const { name, text, says } of refused) {
    test(`nothing into a file that ${name}: one sentence, and no byte is changed`, async (t) => {
      const home = folderFor(t)
      const file = join(home, files['windsurf'] as string)
      mkdirSync(dirname(file), { recursive: true })
      writeFileSync(file, text)
      const { code, stdout, stderr } = await init(t, home, ['windsurf', '--write'])
      assert.deepEqual([code, stdout], [1, ''])
      assert.match(stderr, says)
      assert.match(stderr, /^genai-gateway-mcp init: [^\n]+\n$/)
      assert.equal(readFileSync(file, 'utf8'), text)
      assert.deepEqual(readdirSync(dirname(file)), ['mcp_config.json'])
    })
  }

  test('--replace puts our entry in the place of another of its name', async (t) => {
    const home = folderFor(t)
    const file = join(home, 'mine.json')
    writeFileSync(file, '{"mcpServers":{"genai-gateway":{"command":"mine"},"other":{}}}')
    const { code } = await init(t, home, ['windsurf', '--write', '--replace', '--file', file])
    assert.equal(code, 0)
    const after: unknown = JSON.parse(readFileSync(file, 'utf8'))
    assert.equal(at(after, 'mcpServers', 'genai-gateway', 'command'), process.execPath)
    assert.deepEqual(at(after, 'mcpServers', 'other'), {})
    assert.ok(existsSync(`${file}.bak`))
  })

  test("Codex's file only where there is none: TOML is not changed", async (t) => {
    const home = folderFor(t)
    const file = join(home, files['codex'] as string)
    assert.equal((await init(t, home, ['codex', '--write'])).code, 0)
    assert.match(readFileSync(file, 'utf8'), /^\[mcp_servers\.genai-gateway\]\n/)
    assert.match((await init(t, home, ['codex', '--write'])).stdout, /says so already/)
    writeFileSync(file, 'model = "o3" # mine\n')
    const { code, stderr } = await init(t, home, ['codex', '--write'])
    assert.equal(code, 1)
    assert.match(stderr, /by hand, at its end/)
    assert.equal(readFileSync(file, 'utf8'), 'model = "o3" # mine\n')
  })

  test('through a link, which stays one; a link to nowhere and a folder are refused', { skip: windows }, async (t) => {
    const home = folderFor(t)
    const [target, link, lost, folder] = ['target.json', 'link.json', 'lost.json', 'folder'].map((name) =>
      join(home, name),
    ) as [string, string, string, string]
    writeFileSync(target, '{}')
    symlinkSync(target, link)
    symlinkSync(join(home, 'nowhere'), lost)
    mkdirSync(folder)
    assert.equal((await init(t, home, ['cursor', '--write', '--file', link])).code, 0)
    assert.ok(lstatSync(link).isSymbolicLink())
    assert.match(readFileSync(target, 'utf8'), /genai-gateway/)
    for (const file of [lost, folder]) {
      const { code, stderr } = await init(t, home, ['cursor', '--write', '--file', file])
      assert.equal(code, 1)
      assert.ok(stderr.includes(file))
    }
    assert.ok(!existsSync(join(home, 'nowhere')))
  })

  test('nothing where it may not write, and says so', { skip: windows || process.getuid?.() === 0 }, async (t) => {
    const home = folderFor(t)
    const file = join(home, 'locked', 'mcp.json')
    mkdirSync(dirname(file))
    writeFileSync(file, '{}')
    chmodSync(dirname(file), 0o500)
    t.after(() => chmodSync(dirname(file), 0o700))
    const { code, stderr } = await init(t, home, ['cursor', '--write', '--file', file])
    assert.equal(code, 1)
    assert.match(stderr, /cannot be written \(EACCES\)/)
  })
})
