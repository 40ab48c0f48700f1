import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { beginStream, chatScript } from '../harness/chat-script.ts'
import { type Json, program } from '../harness/gateway.ts'
import { gate, pointedAt, upstreamFor } from '../harness/scope.ts'
import { chatStream, sendJson, sendStream, type Upstream } from '../harness/upstream.ts'

/** The command line of MCP's Inspector drives the built gateway, in both eras. */

const inspector = fileURLToPath(
  new URL('node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js', import.meta.url),
)
const protocols = { legacy: '2025-11-25', auto: '2026-07-28', modern: '2026-07-28' } as const
/** What the Inspector exits with when a tool's result is an error. */
const toolFailed = 5

for (const [era, revision] of Object.entries(protocols)) {
  test(`Inspector, ${era}: connects`, async (t) => {
    const { code, output } = await inspect(t, await provider(t), era, '--method', 'initialize')
    assert.equal(code, 0)
    assert.ok(JSON.stringify(output).includes(revision), JSON.stringify(output))
  })

  test(`Inspector, ${era}: lists the tools, and finds no fault in their schemas`, async (t) => {
    const { code, output, complaints } = await inspect(t, await provider(t), era, '--method', 'tools/list', '--strict')
    assert.equal(code, 0)
    // A vector is a list of numbers or a text, which one schema that every client takes cannot say.
    assert.match(
      complaints,
      /createEmbedding"\n +Path: outputSchema\.properties\.embeddings\.items\n[\s\S]*0 errors, 1 warning/,
    )
    const names = (output as { result: { tools: { name: string }[] } }).result.tools.map(({ name }) => name)
    assert.deepEqual(names.sort(), ['callTool', 'createCompletion', 'createEmbedding', 'listModels'])
  })

  test(`Inspector, ${era}: calls`, async (t) => {
    const upstream = await provider(t)
    const { code, output } = await inspect(t, upstream, era, ...callOf('Say hello'))
    assert.equal(code, 0)
    const { content, structuredContent } = (output as { result: { content: Json[]; structuredContent: Json } }).result
    assert.deepEqual(content, [{ type: 'text', text: 'Grüß Gott 👋' }])
    assert.deepEqual(structuredContent['usage'], { promptTokens: 3, completionTokens: 2, totalTokens: 5 })
    const failed = await inspect(t, upstream, era, ...callOf('Refuse'))
    assert.equal(failed.code, toolFailed)
  })
}

test('Inspector: interrupted in mid-stream, and the provider’s connection is closed', async (t) => {
  const begun = gate()
  const upstream = await provider(t, begun.open)
  const { child, ended } = startInspector(t, upstream, 'legacy', callOf('Never end'))
  await begun.opened
  child.kill('SIGINT')
  await upstream.closed(0)
  assert.notEqual((await ended).code, 0)
})

function callOf(prompt: string): string[] {
  const args = JSON.stringify({ prompt })
  return ['--method', 'tools/call', '--tool-name', 'createCompletion', '--tool-args-json', args]
}

function provider(t: TestContext, onEndless = () => {}): Promise<Upstream> {
  return upstreamFor(
    t,
    chatScript({
      'Say hello': (response) => sendStream(response, chatStream(['Grüß ', 'Gott 👋'])),
      Refuse: (response) => sendJson(response, 400, { error: { message: 'no', type: 'invalid_request_error' } }),
      'Never end'(response) {
        beginStream(response, 'Forever')
        onEndless()
      },
    }),
  )
}

type Inspected = { code: number | null; output: unknown; complaints: string }

function inspect(t: TestContext, upstream: Upstream, era: string, ...method: string[]): Promise<Inspected> {
  return startInspector(t, upstream, era, method).ended
}

/** Runs the Inspector in a home of its own, because it keeps files there. */
function startInspector(t: TestContext, upstream: Upstream, era: string, method: readonly string[]) {
  const home = mkdtempSync(join(tmpdir(), 'inspector-'))
  const variables = Object.entries({ ...pointedAt(upstream), LOG_LEVEL: 'silent' }).flatMap(([name, value]) => {
    return ['-e', `${name}=${value}`]
  })
  const child = spawn(
    process.execPath,
    [inspector, '--cli', ...method, '--format', 'json', '--protocol-era', era, ...variables, '--'].concat(
      process.execPath,
      program,
    ),
    { env: { PATH: process.env['PATH'] ?? '', HOME: home }, stdio: ['ignore', 'pipe', 'pipe'] },
  )
  t.after(() => {
    child.kill('SIGKILL')
    rmSync(home, { recursive: true, force: true })
  })
  let said = ''
  let complaints = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (complaints += text))
  const ended = new Promise<Inspected>((resolve) => {
    child.on('close', (code) => resolve({ code, output: said === '' ? undefined : JSON.parse(said), complaints }))
  })
  return { child, ended }
}
