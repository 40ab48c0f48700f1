import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { startConformanceServer } from './conformance-tools.ts'
import { startServer } from './mcp-clients.ts'

/**
 * MCP's own conformance suite, over HTTP: all that it requires of a server by either revision. What a server may leave out,
 * and this one does, stands below with the reason; everything else has to pass, and nothing below may pass unnoticed.
 */

const suite = fileURLToPath(new URL('node_modules/@modelcontextprotocol/conformance/dist/index.js', import.meta.url))
const revisions = ['2025-11-25', '2026-07-28'] as const

/** Scenarios that cannot pass, by the reason. */
const absent: Readonly<Record<string, readonly string[]>> = {
  'there are no resources': [
    'sep-2164-resource-not-found',
    'resources-list',
    'resources-read-text',
    'resources-read-binary',
    'resources-templates-read',
  ],
  'there is nothing to subscribe to': ['resources-subscribe', 'resources-unsubscribe'],
  'there are no prompts': [
    ...['prompts-list', 'prompts-get-simple', 'prompts-get-with-args', 'prompts-get-embedded-resource'],
    'prompts-get-with-image',
  ],
  'no argument is completed': ['completion-complete'],
  'logs go to stderr': ['logging-set-level', 'tools-call-with-logging'],
  'the server asks nothing of the client': [
    ...['tools-call-sampling', 'tools-call-elicitation', 'elicitation-sep1034-defaults', 'elicitation-sep1330-enums'],
    ...[
      'basic-elicitation',
      'basic-sampling',
      'basic-list-roots',
      'request-state',
      'multiple-input-requests',
      'multi-round',
      'non-tool-request',
      'result-type',
      'tampered-state',
      'capability-check',
      'missing-input-response',
      'ignore-extra-params',
    ].map((name) => `input-required-result-${name}`),
  ],
  'no tool has its arguments in headers': ['http-custom-header-server-validation'],
  'tasks are an extension': [
    ...['lifecycle', 'capability-negotiation', 'wire-fields', 'request-state-removal', 'mrtr-input', 'request-headers'],
    ...['dispatch-and-envelope', 'required-task-error', 'mrtr-composition'],
  ].map((name) => `tasks-${name}`),
}

/** Of scenarios that pass otherwise, the checks that cannot, by the reason. */
const absentChecks: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  caching: {
    'there are no prompts and no resources': [
      'sep-2549-prompts-list-caching-hints',
      'sep-2549-resources-list-caching-hints',
      'sep-2549-resources-templates-list-caching-hints',
    ],
  },
  'server-stateless': {
    'the server asks nothing of the client': [
      'sep-2575-server-rejects-undeclared-capability',
      'sep-2575-missing-capability-http-400',
    ],
    'they want a tool of the suite’s own': [
      'sep-2575-http-server-no-independent-requests-on-stream',
      'sep-2575-server-no-log-without-loglevel',
    ],
  },
}

/** What asks for tools of the suite's own: the gateway's have other names, the wire tower passes with them. */
const ofItsTools = [
  ...['simple-text', 'image', 'audio', 'embedded-resource', 'mixed-content', 'error', 'with-progress'].map(
    (name) => `tools-call-${name}`,
  ),
  'json-schema-2020-12',
]

type Verdicts = Map<string, { id: string; status: string; errorMessage?: string }[]>

async function judge(t: TestContext, url: string, revision: string): Promise<Verdicts> {
  const folder = mkdtempSync(join(tmpdir(), 'conformance-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const child = spawn(process.execPath, [suite, 'server', '--url', url, '--requirements', revision, '-o', folder], {
    env: { PATH: process.env['PATH'] ?? '', HOME: folder },
    stdio: 'ignore',
  })
  t.after(() => child.kill('SIGKILL'))
  await new Promise((resolve) => child.on('close', resolve))
  const scenarioOf = (name: string) => name.replace(/^server-/, '').replace(/-\d{4}-\d\d-\d\dT[\d-]+Z$/, '')
  return new Map(
    readdirSync(folder).map((name) => [
      scenarioOf(name),
      JSON.parse(readFileSync(join(folder, name, 'checks.json'), 'utf8')),
    ]),
  )
}

const faultsOf = (verdicts: Verdicts, scenario: string) =>
  (verdicts.get(scenario) ?? [{ id: 'was not run', status: 'FAILURE' }])
    .filter(({ status }) => status === 'FAILURE' || status === 'WARNING')
    .map(({ id }) => id)
const scenarios = { '2025-11-25': 33, '2026-07-28': 50 }

for (const revision of revisions) {
  test(`${revision}: the gateway passes what a server with tools alone can pass`, async (t) => {
    const server = await startServer({ LOG_LEVEL: 'silent' }, ['--without-token'])
    t.after(server.close)
    const verdicts = await judge(t, String(server.url), revision)
    assert.equal(verdicts.size, scenarios[revision])
    const hopeless = new Set([...Object.values(absent).flat(), ...ofItsTools])
    for (const scenario of verdicts.keys()) {
      const faults = faultsOf(verdicts, scenario)
      if (hopeless.has(scenario)) assert.notDeepEqual(faults, [], `${scenario} passes, and stands on the list`)
      else assert.deepEqual(faults, Object.values(absentChecks[scenario] ?? {}).flat(), scenario)
    }
  })

  test(`${revision}: the wire tower passes with the tools of the suite`, async (t) => {
    const server = await startConformanceServer()
    t.after(() => server.close(0))
    const verdicts = await judge(t, `http://127.0.0.1:${server.port}/mcp`, revision)
    for (const scenario of ofItsTools) assert.deepEqual(faultsOf(verdicts, scenario), [], scenario)
    if (revision === '2025-11-25') return
    const reasons = absentChecks['server-stateless'] ?? {}
    assert.deepEqual(faultsOf(verdicts, 'server-stateless'), reasons['the server asks nothing of the client'])
  })
}
