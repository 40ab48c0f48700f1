import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { test } from 'node:test'

/** The rules of the house, read from the source: who may import whom, and what is said in one place only. */

type Source = { path: string; text: string }
type Import = { from: string; types: boolean; later: boolean }

const root = new URL('../', import.meta.url)
const sources: Source[] = globSync('src/**/*.ts', { cwd: root })
  .map((path) => path.replaceAll('\\', '/'))
  .sort()
  .map((path) => ({ path, text: readFileSync(new URL(path, root), 'utf8') }))

/** A room is a folder of src/, or a file that stands there alone. A file is named `room/file`. */
type Rule = {
  /** Rooms and files whose values may be imported; a room's own files always may. */
  values?: string[]
  /** Rooms and files of which only types may be imported. */
  types?: string[]
}

const everything: Rule = { values: ['*'] }
const rules: Readonly<Record<string, Rule>> = {
  main: { values: ['identity', 'mcp', 'tools/declarations', 'transports', 'chat', 'cli'], types: ['rpc', 'tool'] },
  chat: everything,
  // What the chat tower is made of comes from its own bundle: a second copy would have a class Fault of its own.
  cli: {
    values: [
      ...['chat', 'errors', 'http/tape', 'identity', 'json', 'json-text', 'mcp', 'nearest', 'tools/declarations'],
      'transports',
    ],
    types: ['*'],
  },
  config: { values: ['json-text', 'log', 'nearest', 'providers/index', 'schema'], types: ['http', 'secrets'] },
  secrets: {},
  access: { values: ['secrets'] },
  identity: {},
  log: { values: ['log-lines'] },
  'log-lines': {},
  errors: {},
  clock: {},
  gateway: { types: ['errors'] },
  engine: {},
  text: {},
  tool: { types: ['text'] },
  iteration: {},
  json: {},
  'json-text': {},
  nearest: {},
  schema: {},
  handle: { types: ['gateway', 'tool'] },
  provider: { types: ['errors', 'gateway', 'http/message'] },
  rpc: { values: ['json', 'text'] },
  // What a transport asks of the protocol above it is a type of the transport's.
  mcp: { values: ['rpc', 'json'], types: ['tool', 'transports/http'] },
  transports: { values: ['rpc'] },
  http: { values: ['clock', 'engine', 'errors', 'iteration'] },
  providers: {
    values: [
      'json',
      'errors',
      'gateway',
      'provider',
      ...['message', 'sse', 'ndjson', 'body', 'problem'].map((f) => `http/${f}`),
    ],
  },
  plugin: { values: ['errors', 'gateway', 'http'], types: ['provider'] },
  plugins: {
    values: ['errors', 'gateway', 'schema', 'http/problem'],
    types: ['config', 'http/message', 'log', 'provider'],
  },
  pipeline: {
    values: ['http', 'iteration', 'json', 'nearest', 'errors', 'gateway', 'handle', 'provider', 'text'],
    types: ['clock', 'config', 'secrets'],
  },
  tools: {
    values: ['pipeline', 'json', 'nearest', 'schema', 'tool', 'handle', 'provider', 'gateway', 'errors'],
    types: ['config'],
  },
  extensions: {
    values: ['pipeline', 'iteration', 'json', 'tool', 'handle', 'provider', 'gateway', 'errors'],
    types: ['clock', 'config', 'log', 'secrets'],
  },
}

/** What a file may import beyond its room's rule. */
const exceptions: Readonly<Record<string, Rule>> = {
  'pipeline/formatter': { types: ['tool'] },
  'pipeline/tool-formatter': { types: ['tool'] },
  // Generated, and served by the wire tower as it is.
  'tools/declarations': { types: ['tool'] },
}

/** Packages, and who may load each. A package that is not here may be loaded by nobody. */
const packages: Readonly<Record<string, string[]>> = {
  'eventsource-parser': ['http/sse'],
  'jsonc-parser': ['json-text', 'cli/client-entry'],
  'p-limit': ['extensions'],
  'p-retry': ['http/retry'],
  pino: ['log', 'log-lines'],
  undici: ['http/pool', 'http/proxy', 'http/undici.d'],
  zod: ['schema', 'pipeline/response-schema'],
}

/** What the program may load before its first answer, main.ts and all that it loads with it: what Node itself has loaded. */
const wireBuiltins = ['node:buffer', 'node:fs', 'node:module']
const wireRooms = [
  ...['main', 'identity', 'rpc', 'mcp', 'tools/declarations', 'json', 'text', 'tool'],
  ...['transports/stdio', 'transports/pipe', 'transports/outlet', 'transports/ending'],
]

type Wall = { name: string; pattern: RegExp; allowed(file: string): boolean; but?: RegExp }
const walls: readonly Wall[] = [
  { name: 'process.env outside config', pattern: /process\s*\.\s*env\b|process\[['"]env/, allowed: isOneOf('config') },
  {
    name: 'stdout outside transports/pipe and cli',
    pattern: /process\s*\.\s*stdout\b|\bconsole\b|\/dev\/stdout/,
    allowed: (file) => file === 'transports/pipe' || file.startsWith('cli/'),
  },
  {
    name: 'a program or code made at run time',
    pattern: /child_process|\bexecve\b|\beval\b|new Function\b|node:vm|node:repl/,
    // To end where Node itself cannot.
    allowed: isOneOf('transports/pipe'),
  },
  {
    name: 'fetch, which follows redirects and quotes headers',
    pattern: /\bfetch\(/,
    allowed: isOneOf('pipeline/directory'),
  },
  { name: 'a default export', pattern: /^export default\b|\bas default\b/m, allowed: (file) => file.endsWith('.d') },
  {
    name: "a provider's name outside providers and config",
    pattern: /open-?ai|anthropic|azure|ollama|lm[-_ ]?studio/i,
    // What identity.ts and cli/ tell in a sentence may name whom the gateway can reach.
    allowed: (file) =>
      roomOf(file) === 'config' || file.startsWith('providers/') || file.startsWith('cli/') || file === 'identity',
    // Names of headers on the wire, which are kept on a tape.
    but: /anthropic-ratelimit|openai-processing/g,
  },
]

const maxLines = 350

function breaches(files: readonly Source[]): string[] {
  return files.flatMap((source) => {
    const file = source.path.replace(/^src\//, '').replace(/\.ts$/, '')
    const code = withoutComments(source.text)
    const lines = source.text.split('\n').length - 1
    return [
      ...importsOf(code).flatMap((one) => broken(file, one)),
      ...walls
        .filter(({ allowed, pattern, but }) => !allowed(file) && pattern.test(but ? code.replace(but, '') : code))
        .map(({ name }) => `${file}: ${name}`),
      ...(lines > maxLines && file !== 'tools/declarations' ? [`${file}: ${lines} lines, more than ${maxLines}`] : []),
    ]
  })
}

function broken(file: string, { from, types, later }: Import): string[] {
  const room = roomOf(file)
  if (!from.startsWith('.')) {
    if (types) return []
    if (from.startsWith('node:')) {
      const wire = wireRooms.some((one) => one === room || one === file)
      return wire && !wireBuiltins.includes(from) ? [`${file}: ${from} before the first answer`] : []
    }
    const name = from.split('/')[0] as string
    const users = Object.hasOwn(packages, name) ? (packages[name] as string[]) : []
    return covers(users, file) ? [] : [`${file}: the package ${from}`]
  }
  const target = resolved(file, from)
  if (roomOf(target) === room && target !== file) return []
  const rule = rules[room]
  if (!rule) return [`${file}: a room without a rule`]
  const extra = exceptions[file] ?? {}
  const values = [...(rule.values ?? []), ...(extra.values ?? [])]
  const typed = [...values, ...(rule.types ?? []), ...(extra.types ?? [])]
  const late = file === 'main' ? ['chat', 'cli'] : room === 'cli' && !types ? ['chat'] : []
  if (!later && late.includes(roomOf(target))) return [`${file}: ${target} at once`]
  if (covers(types ? typed : values, target)) return []
  return [`${file}: ${types ? 'a type of ' : ''}${target}`]
}

function covers(allowed: readonly string[], file: string): boolean {
  return allowed.some((one) => one === '*' || one === file || one === roomOf(file))
}

function isOneOf(...files: string[]): (file: string) => boolean {
  return (file) => files.includes(file)
}

/** The files of the configuration, which stand alone, are one room. */
function roomOf(file: string): string {
  return (file.split('/')[0] as string).replace(/^config-.+/, 'config')
}

function resolved(file: string, from: string): string {
  return new URL(from, `file:///${file}`).pathname.slice(1).replace(/\.ts$/, '')
}

/** `import type` is gone at run time; `import { type A }` still loads the module. */
function importsOf(code: string): Import[] {
  const fixed = code.matchAll(/\b(?:import|export)\s+(type\s+)?(?:[\w*{}\s,$]+?\s*from\s*)?(['"])([^'"\n]+)\2/g)
  const later = code.matchAll(/(typeof\s+)?\bimport\(\s*(['"])([^'"\n]+)\2/g)
  return [
    ...[...fixed].map(([, type, , from]) => ({ from: from as string, types: type !== undefined, later: false })),
    ...[...later].map(([, type, , from]) => ({ from: from as string, types: type !== undefined, later: true })),
  ]
}

/** The code with its comments blanked out; strings, templates and regular expressions stay. */
function withoutComments(text: string): string {
  const token =
    /\/\/[^\n]*|\/\*[\s\S]*?\*\/|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\[\s\S])*`|(?<=[=(,:[!&|?{;\n]\s*|return\s|=>\s*)\/(?:[^/\\\n[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/g
  return text.replace(token, (found) => (found.startsWith('//') || found.startsWith('/*') ? ' ' : found))
}

test('the source keeps the rules of the house', () => {
  assert.ok(sources.length > 40, 'the source was not found')
  assert.deepEqual(breaches(sources), [])
})

test('what stands before the first answer loads nothing but each other and small builtins', () => {
  const byFile = new Map(sources.map(({ path, text }) => [path.slice(4, -3), withoutComments(text)]))
  const seen = new Set<string>()
  const outside = new Set<string>()
  const visit = (file: string) => {
    if (seen.has(file)) return
    seen.add(file)
    for (const { from, types, later } of importsOf(byFile.get(file) ?? '')) {
      if (types || later) continue
      if (from.startsWith('.')) visit(resolved(file, from))
      else outside.add(from)
    }
  }
  visit('main')
  assert.ok(seen.has('rpc/framer') && seen.has('mcp/stateless') && seen.has('transports/stdio'))
  assert.deepEqual(
    [...outside].filter((name) => !wireBuiltins.includes(name)),
    [],
  )
  assert.deepEqual(
    [...seen].filter((file) => !covers(wireRooms, file)),
    [],
  )
})

test('the built wire tower imports only what is on the list', () => {
  const bundle = readFileSync(new URL('dist/genai-gateway-mcp.mjs', root), 'utf8')
  const imports = importsOf(bundle.replace(/(from|import)(?=["'])/g, '$1 ').replaceAll('import{', 'import {'))
  const fixed = imports.filter(({ later }) => !later).map(({ from }) => from)
  assert.deepEqual(
    fixed.filter((name) => !wireBuiltins.includes(name)),
    [],
  )
  assert.deepEqual(
    new Set(imports.filter(({ later }) => later).map(({ from }) => from)),
    new Set(['./chat.mjs', './command.mjs']),
  )
  assert.deepEqual(
    [...bundle.matchAll(/getBuiltinModule\("([^"]+)"\)/g)]
      .map(([, name]) => name as string)
      .filter((name) => !wireBuiltins.includes(name)),
    [],
  )
  assert.doesNotMatch(bundle, /\brequire\(|createRequire|child_process|\beval\(|new Function/)
})

test('of node:assert, the bundles use no more than the function that the build puts in its place', () => {
  for (const name of ['chat', 'proxy']) {
    const bundle = readFileSync(new URL(`dist/${name}.mjs`, root), 'utf8')
    assert.match(bundle, /an assertion of undici does not hold/)
    assert.doesNotMatch(bundle, /\bassert\d*\.[a-z]/)
  }
})

test('nothing is installed with the package, and no vendor SDK is bundled', () => {
  const { dependencies = {} } = JSON.parse(readFileSync(new URL('package.json', root), 'utf8')) as {
    dependencies?: Record<string, string>
  }
  assert.deepEqual(dependencies, {})
  const notices = readFileSync(new URL('dist/THIRD-PARTY-LICENSES', root), 'utf8')
  const bundled = [...notices.matchAll(/^== (\S+) \d+\.\d+\.\d+ \((\S+)\)\n\n(?=.)/gm)]
  assert.deepEqual(
    bundled.map(([, name]) => name),
    [
      '@pinojs/redact',
      'atomic-sleep',
      'eventsource-parser',
      'is-network-error',
      'jsonc-parser',
      'on-exit-leak-free',
      'p-limit',
      'p-retry',
      'pino',
      'pino-std-serializers',
      'quick-format-unescaped',
      'safe-stable-stringify',
      'sonic-boom',
      'thread-stream',
      'undici',
      'yocto-queue',
      'zod',
    ],
  )
  assert.deepEqual(new Set(bundled.map(([, , licence]) => licence)), new Set(['MIT']))
})

const offences: { path: string; text: string; says: string[] }[] = [
  { path: 'mcp/bad', text: "import { a } from '../pipeline/router.ts'", says: ['mcp/bad: pipeline/router'] },
  { path: 'mcp/bad', text: "import type { A } from '../http/message.ts'", says: ['mcp/bad: a type of http/message'] },
  { path: 'mcp/bad', text: "export * from '../providers/index.ts'", says: ['mcp/bad: providers/index'] },
  { path: 'mcp/bad', text: "import type { Tool } from '../tool.ts'", says: [] },
  { path: 'mcp/bad', text: "import { type Tool } from '../tool.ts'", says: ['mcp/bad: tool'] },
  {
    path: 'transports/bad',
    text: "import {\n  a,\n  b,\n} from '../mcp/server.ts'",
    says: ['transports/bad: mcp/server'],
  },
  { path: 'pipeline/bad', text: "import { readConfig } from '../config.ts'", says: ['pipeline/bad: config'] },
  { path: 'pipeline/bad', text: "import type { Config } from '../config.ts'", says: [] },
  { path: 'pipeline/bad', text: "import type { Tool } from '../tool.ts'", says: ['pipeline/bad: a type of tool'] },
  { path: 'pipeline/formatter', text: "import type { ToolResult } from '../tool.ts'", says: [] },
  { path: 'providers/bad', text: "import { createPool } from '../http/pool.ts'", says: ['providers/bad: http/pool'] },
  { path: 'providers/bad', text: "import { readEvents } from '../http/sse.ts'", says: [] },
  { path: 'http/bad', text: "import type { Ask } from '../gateway.ts'", says: ['http/bad: a type of gateway'] },
  { path: 'http/bad', text: "import { request } from 'undici'", says: ['http/bad: the package undici'] },
  { path: 'gateway', text: "import { Fault } from './errors.ts'", says: ['gateway: errors'] },
  { path: 'rpc/bad', text: "import http from 'node:http'", says: ['rpc/bad: node:http before the first answer'] },
  {
    path: 'transports/stdio',
    text: "import http from 'node:http'",
    says: ['transports/stdio: node:http before the first answer'],
  },
  { path: 'transports/http', text: "const { createServer } = await import('node:http')", says: [] },
  { path: 'mcp/bad', text: "import type { Protocol } from '../transports/http.ts'", says: [] },
  { path: 'mcp/bad', text: "import { startHttp } from '../transports/http.ts'", says: ['mcp/bad: transports/http'] },
  { path: 'main', text: "import { pino } from 'pino'", says: ['main: the package pino'] },
  { path: 'main', text: "import { createChat } from './chat.ts'", says: ['main: chat at once'] },
  { path: 'main', text: "const { createChat } = await import('./chat.ts')", says: [] },
  { path: 'cli/bad', text: "import { createChat } from '../chat.ts'", says: ['cli/bad: chat at once'] },
  { path: 'cli/bad', text: "import type { Chat } from '../chat.ts'", says: [] },
  { path: 'cli/bad', text: "import { readConfig } from '../config.ts'", says: ['cli/bad: config'] },
  { path: 'extensions/bad', text: "import leftPad from 'left-pad'", says: ['extensions/bad: the package left-pad'] },
  { path: 'attic/bad', text: "import { a } from '../errors.ts'", says: ['attic/bad: a room without a rule'] },
  { path: 'http/bad', text: 'const key = process.env.KEY', says: ['http/bad: process.env outside config'] },
  { path: 'http/bad', text: "console.log('hello')", says: ['http/bad: stdout outside transports/pipe and cli'] },
  { path: 'transports/pipe', text: "process.stdout.write('hello')", says: [] },
  { path: 'main', text: "process.stdout.write('hello')", says: ['main: stdout outside transports/pipe and cli'] },
  {
    path: 'tools/bad',
    text: "await import('node:child_process')",
    says: ['tools/bad: a program or code made at run time'],
  },
  {
    path: 'http/bad',
    text: "const known = 'api.openai.com'",
    says: ["http/bad: a provider's name outside providers and config"],
  },
  {
    path: 'http/bad',
    text: 'const isOllama = true',
    says: ["http/bad: a provider's name outside providers and config"],
  },
  { path: 'http/bad', text: '// as OpenAI has it\nconst a = 1 /* import { b } from "left-pad" */', says: [] },
  { path: 'http/bad', text: 'const url = "http://example.com" // not a comment before this', says: [] },
  { path: 'http/bad', text: 'export default function () {}', says: ['http/bad: a default export'] },
  { path: 'http/bad', text: 'let a\n'.repeat(351), says: ['http/bad: 351 lines, more than 350'] },
]

for (const { path, text, says } of offences) {
  test(`${says.length > 0 ? 'caught' : 'let pass'} in ${path}: ${text.split('\n')[0]}`, () => {
    assert.deepEqual(breaches([{ path: `src/${path}.ts`, text }]), says)
  })
}
