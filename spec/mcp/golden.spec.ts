import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { type TestContext, test } from 'node:test'
import { beginStream, chatScript, streamEnd } from '../harness/chat-script.ts'
import type { Gateway, Json, Message } from '../harness/gateway.ts'
import { misfits, schemasAreThere, violations } from '../harness/schemas.ts'
import { at, gate, gatewayFor, pointedAt, until, upstreamFor } from '../harness/scope.ts'
import { chatChunk, sendJson } from '../harness/upstream.ts'

// Whole conversations as text: `→ ` what a client says, `← ` what it hears, `# ` a remark. `UPDATE=1` writes down anew
// what is heard. Each answer is waited for before the client goes on, except where it cancels.

const conversations = ['2024-11-05', '2025-03-26', '2025-06-18', '2025-11-25', '2026-07-28', 'both-eras']
const handshakeRevisions = ['2024-11-05', '2025-03-26', '2025-06-18', '2025-11-25']

const key = 'sk-golden-0123456789abcdef'
const folder = new URL('../../fixtures/conversations/', import.meta.url)
const updating = process.env['UPDATE'] === '1'

for (const name of conversations) {
  test(`conversation ${name}`, async (t) => {
    const file = new URL(`${name}.txt`, folder)
    if (!existsSync(file)) {
      if (process.env['CI']) assert.fail(`fixtures/conversations/${name}.txt is missing`)
      t.diagnostic(`fixtures/conversations/${name}.txt is missing: nothing was compared`)
      return
    }
    const recorded = readFileSync(file, 'utf8')
    const unanswered = !recorded.includes('\n← ')
    if (unanswered && process.env['CI'])
      assert.fail(`fixtures/conversations/${name}.txt holds no answers; run UPDATE=1`)
    const played = await play(t, recorded)
    if (updating || unanswered) writeFileSync(file, played)
    else assert.deepEqual(played.split('\n'), recorded.split('\n'))
  })
}

test('every conversation is played', () => {
  const there = readdirSync(folder).map((file) => file.replace(/\.txt$/, ''))
  assert.deepEqual(
    there.filter((name) => !conversations.includes(name)),
    [],
  )
})

/** Says the client's lines to the built program and returns the conversation as it went. */
async function play(t: TestContext, script: string): Promise<string> {
  const { gateway, port } = await start(t)
  const lines = script.split('\n').filter((line) => !line.startsWith('← '))
  const sent: { line: string; heard: number }[] = []
  const clientLines = lines.filter((line) => line.startsWith('→ '))
  for (const [index, line] of clientLines.entries()) {
    const messages = [JSON.parse(line.slice(2))].flat() as Message[]
    const next = clientLines[index + 1]
    for (const cancelled of cancelledBy(line)) await gateway.find((message) => isProgressOf(cancelled, message, sent))
    sent.push({ line, heard: gateway.messages.length })
    gateway.send(`${line.slice(2)}\n`)
    for (const { id, method } of messages) {
      if (id === undefined || method === undefined || (next && cancelledBy(next).includes(id))) continue
      if (method === 'subscriptions/listen')
        await gateway.find((message) => message.method?.endsWith('acknowledged') ?? false)
      else await gateway.find((message) => message.id === id && message.method === undefined)
    }
  }
  assert.deepEqual(await gateway.end(), { code: 0, signal: null })
  await until(() => gateway.child.stdout.readableEnded)
  assert.deepEqual(gateway.garbage, [])
  checkSchemas(t, gateway, sent)

  const rest = [...sent]
  return lines
    .flatMap((line) => {
      if (!line.startsWith('→ ')) return [line]
      const from = rest.shift()?.heard ?? 0
      const heard = gateway.messages.slice(from, rest[0]?.heard)
      return [line, ...heard.map((message) => `← ${normal(message, port)}`)]
    })
    .join('\n')
}

async function start(t: TestContext): Promise<{ gateway: Gateway; port: number }> {
  const heardFirst = gate()
  const upstream = await upstreamFor(t, (received, response, number) => {
    response.setHeader('x-request-id', 'req-1')
    if (received.path === '/v1/models') {
      const model = (id: string) => ({ id, object: 'model', created: 1_700_000_000, owned_by: 'someone' })
      return sendJson(response, 200, { object: 'list', data: [model('tiny'), model('text-embedding-tiny')] })
    }
    return script(received, response, number)
  })
  const script = chatScript({
    'Say hello'(response) {
      beginStream(response, 'Hello, ')
      response.write(chatChunk({ content: 'world' }))
      const usage = { prompt_tokens: 2, completion_tokens: 2, total_tokens: 4 }
      response.end(`${chatChunk({}, 'stop')}${chatChunk({}, null, { choices: [], usage })}data: [DONE]\n\n`)
    },
    async 'Say hello slowly'(response) {
      beginStream(response, 'Hello, ')
      await heardFirst.opened
      response.write(chatChunk({ content: 'world' }) + streamEnd)
      response.end()
    },
    'Show your key'(response) {
      const message = `Incorrect API key provided: ${key}.`
      sendJson(response, 401, { error: { message, type: 'invalid_request_error', code: 'invalid_api_key' } })
    },
    async 'Break off'(response) {
      beginStream(response, 'Once upon')
      await gateway.find(({ params }) => params?.['message'] === 'Once upon')
      response.destroy()
    },
    'Never end': (response) => beginStream(response, 'Forever'),
  })
  const gateway = gatewayFor(t, pointedAt(upstream, { OPENAI_API_KEY: key, NO_PROXY: '*' }))
  void gateway.find(({ params }) => params?.['message'] === 'Hello, ').then(heardFirst.open, () => {})
  return { gateway, port: upstream.port }
}

function cancelledBy(line: string): unknown[] {
  const messages = [JSON.parse(line.slice(2))].flat() as Message[]
  return messages
    .filter(({ method }) => method === 'notifications/cancelled')
    .map(({ params }) => params?.['requestId'])
}

/** Whether the message is progress for the request of that id. */
function isProgressOf(id: unknown, message: Message, sent: readonly { line: string }[]): boolean {
  const requests = sent.flatMap(({ line }) => [JSON.parse(line.slice(2))].flat() as Message[])
  const token = at(
    requests.find((request) => request.id === id),
    'params',
    '_meta',
    'progressToken',
  )
  const subscription = at(message, 'params', '_meta', 'io.modelcontextprotocol/subscriptionId')
  return (
    subscription === id || (message.method === 'notifications/progress' && message.params?.['progressToken'] === token)
  )
}

/** The message as text, without what differs from run to run; the tools' schemas stand in fixtures/surface. */
function normal(message: Message | Message[], port: number): string {
  const text = JSON.stringify(message, (name, value) =>
    name === 'inputSchema' || name === 'outputSchema' ? { type: value.type } : value,
  )
  assert.ok(!text.includes(key), 'the key is in an answer')
  return text
    .replace(/(\\?"(?:totalMs|firstTokenMs|elapsedMs)\\?":)\d+/g, '$10')
    .replace(/("name":"genai-gateway"(?:,"title":"[^"]*")?,"version":")[^"]*/g, '$10.0.0')
    .replace(/("title":"GenAI Gateway","name":"genai-gateway","version":")[^"]*/g, '$10.0.0')
    .replaceAll(`127.0.0.1:${port}`, '127.0.0.1:0')
}

/** Every message is what the published schema of its revision says. */
function checkSchemas(t: TestContext, gateway: Gateway, sent: readonly { line: string }[]): void {
  if (!schemasAreThere)
    return t.diagnostic('the published schemas are not here: the messages were not held against them')
  const requests = sent.flatMap(({ line }) => [JSON.parse(line.slice(2))].flat() as Message[])
  const isModern = (params: Json | undefined) =>
    at(params, '_meta', 'io.modelcontextprotocol/protocolVersion') !== undefined
  const offered = requests.find(({ method, params }) => method === 'initialize' && !isModern(params))
  const agreed = String(
    at(
      gateway.messages.flat().find(({ id }) => id === offered?.id),
      'result',
      'protocolVersion',
    ),
  )
  const tools = gateway.messages.flat().flatMap(({ result }) => (result?.['tools'] ?? []) as Json[])
  let checked = 0
  for (const message of gateway.messages.flat()) {
    const token = message.params?.['progressToken']
    const subscription = at(message, 'params', '_meta', 'io.modelcontextprotocol/subscriptionId')
    const request = requests.find(
      ({ id, params }) =>
        (message.id !== undefined && id === message.id) ||
        (token !== undefined && at(params, '_meta', 'progressToken') === token) ||
        (subscription !== undefined && id === subscription),
    )
    // Before a session is open the newest revision of the handshake speaks for them all.
    const session = handshakeRevisions.includes(agreed) ? agreed : '2025-11-25'
    const revision = isModern(request?.params) ? '2026-07-28' : session
    assert.deepEqual(violations(message, revision, request?.method), [], JSON.stringify(message).slice(0, 300))
    const structured = message.result?.['structuredContent']
    const schema = tools.find(({ name, outputSchema }) => outputSchema && name === request?.params?.['name'])
    if (structured) assert.deepEqual(misfits(schema?.['outputSchema'] as Json, structured), [])
    checked += 1
  }
  t.diagnostic(`${checked} messages fit their schemas`)
  assert.ok(checked > 0)
}

test('the conversations hold what each revision is about', () => {
  for (const name of conversations) {
    const text = readFileSync(new URL(`${name}.txt`, folder), 'utf8')
    for (const wanted of ['"tools/list"', '"tools/call"', '"notifications/progress"', '"isError":true', 'cancelled']) {
      assert.ok(text.includes(wanted), `${wanted} in ${name}`)
    }
  }
})
