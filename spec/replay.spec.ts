import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { asRecorded, inOnePiece, recuts } from '../scripts/replay/cuts.ts'

/** `make replay`, run as people run it: it must pass what is right and, above all, fail what is not. */

const root = fileURLToPath(new URL('..', import.meta.url))
const cases = join(root, 'fixtures', 'cases')
const scratch = mkdtempSync(join(tmpdir(), 'replay-'))
after(() => rmSync(scratch, { recursive: true, force: true }))

type Ended = { code: number | null; lines: string[]; output: string }

function replay(args: readonly string[], env: Record<string, string> = {}): Promise<Ended> {
  const child = spawn(process.execPath, ['--import', 'tsx', 'scripts/replay.ts', ...args], {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, output, lines: output.split('\n') })))
}

/** A folder of fixtures with a copy of one case, which may then be spoilt. */
function copyOf(name: string): { dir: string; env: { FIXTURES: string } } {
  const fixtures = mkdtempSync(join(scratch, 'fixtures-'))
  const dir = join(fixtures, 'cases', name)
  mkdirSync(dir, { recursive: true })
  cpSync(join(cases, name), dir, { recursive: true })
  return { dir, env: { FIXTURES: fixtures } }
}

function edit(path: string, change: (text: string) => string): void {
  const text = readFileSync(path, 'utf8')
  const changed = change(text)
  assert.notEqual(changed, text)
  writeFileSync(path, changed)
}

test('cases that are named are played, a line each, and the last line counts them', async () => {
  const { code, lines, output } = await replay(['llamacpp/chat-tool-call-whole', 'openai/error-quota'])
  assert.equal(code, 0, output)
  assert.equal(lines.filter((line) => line === '2 passed, 0 failed').length, 1)
  assert.equal(lines.at(-2), '2 passed, 0 failed')
  assert.deepEqual(
    lines.filter((line) => /^\S+ \(\d+\)$/.test(line)),
    ['llamacpp (1)', 'openai (1)'],
  )
  assert.equal(lines.filter((line) => line.startsWith('  ok ')).length, 2)
  assert.ok(!output.includes('\u001b'), 'no escape sequences in a pipe')
})

const spoilt: { name: string; file: string; change(text: string): string; said: RegExp }[] = [
  {
    name: 'another text is expected',
    file: 'result.json',
    change: (text) => text.replaceAll('Hello!', 'Hullo!'),
    said: /result\.content\[0\]\.text: expected "Hullo!", is "Hello!"/,
  },
  {
    name: 'other usage is expected',
    file: 'result.json',
    change: (text) => text.replace('"promptTokens": 9', '"promptTokens": 8'),
    said: /result\.structuredContent\.usage\.promptTokens: expected 8, is 9/,
  },
  {
    name: 'another request is expected',
    file: '1.exchange.json',
    change: (text) => text.replace('"stream": true', '"stream": false'),
    said: /request\.body\.stream: expected false, is true/,
  },
  {
    name: 'another path is expected',
    file: '1.exchange.json',
    change: (text) => text.replace('/v1/chat/completions', '/v2/chat/completions'),
    said: /request\.path: expected "\/v2\/chat\/completions", is "\/v1\/chat\/completions"/,
  },
  {
    name: 'a file is no JSON',
    file: '1.exchange.json',
    change: (text) => text.slice(0, -10),
    said: /1\.exchange\.json is not valid JSON/,
  },
]

for (const { name, file, change, said } of spoilt) {
  test(`a case fails when ${name}`, async () => {
    const { dir, env } = copyOf('openai/chat')
    edit(join(dir, file), change)
    const { code, lines, output } = await replay([], env)
    assert.equal(code, 1)
    assert.equal(lines.at(-2), '0 passed, 1 failed')
    assert.match(output, said)
    assert.ok(lines.includes('failed: openai/chat'), output)
  })
}

test('a case fails when a request is missing or is one too many', async () => {
  const missing = copyOf('openai/chat')
  cpSync(join(missing.dir, '1.exchange.json'), join(missing.dir, '2.exchange.json'))
  const extra = copyOf('openai/failover-route')
  rmSync(join(extra.dir, '2.exchange.json'))
  for (const [{ env }, said] of [
    [missing, /the gateway made 1 requests, and 2 were expected/],
    [extra, /the gateway made 2 requests, and 1 were expected/],
  ] as const) {
    const { code, output } = await replay([], env)
    assert.equal(code, 1)
    assert.match(output, said)
  }
})

test('a missing result is a failure; UPDATE=1 writes it as it was', async () => {
  const { dir, env } = copyOf('openai/chat')
  const path = join(dir, 'result.json')
  rmSync(path)
  const without = await replay([], env)
  assert.equal(without.code, 1)
  assert.match(without.output, /result\.json is missing/)
  assert.ok(!existsSync(path))
  const updated = await replay([], { ...env, UPDATE: '1' })
  assert.equal(updated.code, 0, updated.output)
  for (const file of readdirSync(dir)) {
    assert.equal(readFileSync(join(dir, file), 'utf8'), readFileSync(join(cases, 'openai/chat', file), 'utf8'))
  }
})

test('a name that no case has is a failure', async () => {
  const { code, lines } = await replay(['no-such-case'])
  assert.equal(code, 1)
  assert.equal(lines.at(-2), '0 passed, 0 failed')
})

test('every case says what it exercises and where it comes from', () => {
  const names = readdirSync(cases).flatMap((server) => readdirSync(join(cases, server)).map((name) => [server, name]))
  assert.ok(names.length >= 30)
  for (const name of names) {
    const { title, source } = JSON.parse(readFileSync(join(cases, ...name, 'call.json'), 'utf8'))
    assert.match(title, /^\S.{10,}/, name.join('/'))
    assert.match(source, /^(?:recorded from|response recorded from|written after|written by hand:) /, name.join('/'))
  }
})

test('every cut leaves the bytes as they are', () => {
  const chunks = ['data: {"a":"Zürich, 東京 🦆"}\r\n', '\r\n', 'data: [DONE]\n\n'].map((text) => Buffer.from(text))
  const whole = Buffer.concat(chunks)
  for (const cut of [asRecorded, ...recuts]) {
    const pieces = cut.of(chunks)
    assert.ok(pieces, cut.name)
    assert.deepEqual(Buffer.concat(pieces), whole, cut.name)
  }
  assert.deepEqual(
    recuts.map((cut) => cut.of(chunks)?.length),
    [whole.length, 1 + 1 + 2 * 2 + 3, 1 + 2, 1],
  )
  assert.equal(inOnePiece.of([])?.length, 1)
})
