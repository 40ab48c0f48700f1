import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { onTerminal, run } from '../harness/command-line.ts'
import { at, pointedAt, upstreamFor } from '../harness/scope.ts'
import { type Answer, sendJson } from '../harness/upstream.ts'

const listing: Answer = (_, response) =>
  sendJson(response, 200, {
    object: 'list',
    data: ['tiny', 'large', 'tiny-embed'].map((id) => ({ id, object: 'model' })),
  })

describe('models', () => {
  test('is a name a line in a pipe, of all or of those that are looked for', async (t) => {
    const env = pointedAt(await upstreamFor(t, listing))
    const all = await run(t, ['models'], { env })
    assert.deepEqual(all, {
      code: 0,
      signal: null,
      stdout: 'openai/tiny\nopenai/large\nopenai/tiny-embed\n',
      stderr: '',
    })
    const some = await run(t, ['models', '--search', 'TINY', '--provider', 'openai'], { env })
    assert.equal(some.stdout, 'openai/tiny\nopenai/tiny-embed\n')
  })

  test('--json is the result of the tool', async (t) => {
    const { stdout, code } = await run(t, ['models', '--json'], { env: pointedAt(await upstreamFor(t, listing)) })
    assert.equal(code, 0)
    assert.equal(at(JSON.parse(stdout), 'structuredContent', 'models', 1, 'id'), 'openai/large')
  })

  test('a provider that does not answer is told on stderr, and the others are listed', async (t) => {
    const upstream = await upstreamFor(t, listing)
    const gone = await upstreamFor(t, listing)
    await gone.close()
    const env = pointedAt(upstream, { OLLAMA_HOST: `127.0.0.1:${gone.port}` })
    const { code, stdout, stderr } = await run(t, ['models'], { env })
    assert.equal(code, 1)
    assert.match(stdout, /^openai\/tiny\n/)
    assert.equal(
      stderr,
      `ollama is unavailable: nothing listens at 127.0.0.1:${gone.port} (connection refused); is the server running? It is started with ollama serve.\n`,
    )
  })

  test('a provider that is not configured is told with those that are', async (t) => {
    const { code, stderr } = await run(t, ['models', '--provider', 'opnai'], {
      env: { OPENAI_API_KEY: 'sk-0123456789' },
    })
    assert.equal(code, 1)
    assert.match(stderr, /opnai.*openai/)
  })

  const { command, missing } = onTerminal(['models'])
  test('on a terminal it is a table', { skip: missing }, async (t) => {
    const env = pointedAt(await upstreamFor(t, listing), { TERM: 'xterm', NO_COLOR: '1' })
    const { stdout } = await run(t, [], { command, env })
    assert.match(stdout, /model +context +capabilities\r\nopenai\/tiny\r\n/)
  })
})
