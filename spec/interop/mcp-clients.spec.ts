import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { beginStream, chatScript, streamEnd } from '../harness/chat-script.ts'
import type { Json } from '../harness/gateway.ts'
import { gate, pointedAt, until, upstreamFor } from '../harness/scope.ts'
import { chatChunk, chatStream, sendJson, sendStream, type Upstream } from '../harness/upstream.ts'
import { type ClientKind, type Connected, clientKinds } from './mcp-clients.ts'

/** MCP's own client libraries drive the built gateway: lists, calls, progress, cancellation, the end. */

const toolNames = ['callTool', 'createCompletion', 'createEmbedding', 'listModels']
const pieces = ['Grüß', ' Gott', ', ', 'Welt 👋']

for (const kind of clientKinds) {
  test(`${kind.name}: agrees on ${kind.revision} and lists the tools`, async (t) => {
    const { client } = await connect(t, kind)
    assert.equal(client.revision, kind.revision)
    assert.equal(client.serverName, 'genai-gateway')
    const tools = await client.listTools()
    assert.deepEqual(tools.map(({ name }) => name).sort(), toolNames)
    assert.ok(tools.every(({ outputSchema }) => outputSchema !== undefined))
    assert.deepEqual(client.complaints, [])
  })

  test(`${kind.name}: an answer, whose structure it holds against the schema`, async (t) => {
    const { client } = await connect(t, kind)
    await client.listTools()
    const { content, structuredContent } = await client.callTool('createCompletion', { prompt: 'Say hello' })
    assert.deepEqual(content, [{ type: 'text', text: pieces.join('') }])
    const { text, finishReason, usage } = structuredContent as Json
    assert.deepEqual([text, finishReason], [pieces.join(''), 'stop'])
    assert.deepEqual(usage, { promptTokens: 3, completionTokens: 4, totalTokens: 7 })
    const models = await client.callTool('listModels', {})
    assert.deepEqual(
      (models['structuredContent'] as { models: { id: string }[] }).models.map(({ id }) => id),
      ['openai/tiny'],
    )
    const vectors = await client.callTool('createEmbedding', { input: ['a'] })
    assert.deepEqual((vectors['structuredContent'] as Json)['embeddings'], [[1, 0]])
    const failed = await client.callTool('createCompletion', { prompt: 'Refuse' })
    assert.equal(failed['isError'], true)
    await assert.rejects(client.callTool('noSuchTool', {}), { code: -32602 })
    assert.deepEqual(client.complaints, [])
  })

  test(`${kind.name}: progress that is the answer`, async (t) => {
    const { client } = await connect(t, kind)
    const heard: { progress: number; message?: string | undefined }[] = []
    const result = await client.callTool(
      'createCompletion',
      { prompt: 'Say hello slowly' },
      { onprogress: (one) => void heard.push(one) },
    )
    assert.equal(heard.map(({ message = '' }) => message).join(''), pieces.join(''))
    assert.ok(heard.length > 1, 'more than one piece')
    assert.ok(heard.every(({ progress }, at) => at === 0 || progress > (heard[at - 1]?.progress ?? 0)))
    assert.equal((result['structuredContent'] as Json)['text'], pieces.join(''))
    assert.deepEqual(client.complaints, [])
  })

  // These libraries pass over progress that they read in one go with the result. On a busy machine that may happen.
  test(`${kind.name}: progress of answers that come at once`, async (t) => {
    const { client } = await connect(t, kind)
    const rounds = 20
    let whole = 0
    for (let round = 0; round < rounds; round += 1) {
      const heard: string[] = []
      const onprogress = ({ message = '' }) => void heard.push(message)
      const { structuredContent } = await client.callTool('createCompletion', { prompt: 'Say hello' }, { onprogress })
      assert.equal((structuredContent as Json)['text'], pieces.join(''))
      if (heard.join('') === pieces.join('')) whole += 1
    }
    assert.ok(whole > rounds / 2, `heard whole in ${whole} of ${rounds} calls`)
  })

  test(`${kind.name}: cancelled in mid-stream, and the provider's connection is closed`, async (t) => {
    const { client, upstream } = await connect(t, kind)
    const begun = gate()
    const abort = new AbortController()
    const call = client.callTool(
      'createCompletion',
      { prompt: 'Never end' },
      { signal: abort.signal, onprogress: begun.open },
    )
    await Promise.race([begun.opened, call])
    abort.abort()
    await assert.rejects(call)
    await upstream.closed(0)
    const { structuredContent } = await client.callTool('createCompletion', { prompt: 'Say hello' })
    assert.equal((structuredContent as Json)['text'], pieces.join(''))
    assert.deepEqual(client.complaints, [])
  })

  test(`${kind.name}: its patience ends, and the provider's connection is closed`, async (t) => {
    const { client, upstream } = await connect(t, kind)
    await assert.rejects(client.callTool('createCompletion', { prompt: 'Never end' }, { timeout: 300 }))
    await upstream.closed(0)
    assert.deepEqual(client.complaints, [])
  })

  test(`${kind.name}: many calls at once, each with its own answer`, async (t) => {
    const { client } = await connect(t, kind)
    const numbers = Array.from({ length: 20 }, (_, at) => at)
    const texts = await Promise.all(
      numbers.map(async (number) => {
        const { structuredContent } = await client.callTool('createCompletion', { prompt: `Echo ${number}` })
        return (structuredContent as Json)['text']
      }),
    )
    assert.deepEqual(
      texts,
      numbers.map((number) => `Echo ${number}`),
    )
    assert.deepEqual(client.complaints, [])
  })

  test(`${kind.name}: the end, in the middle of a call`, async (t) => {
    const { client, upstream } = await connect(t, kind)
    const begun = gate()
    const call = client.callTool('createCompletion', { prompt: 'Never end' }, { onprogress: begun.open })
    // The library waits two seconds for the gateway to end, and then asks it to: the call is answered as interrupted.
    const failed = call.then(
      ({ isError }) => isError === true,
      () => true,
    )
    await begun.opened
    await client.close()
    assert.ok(await failed)
    await upstream.closed(0)
    const { pid } = client
    assert.ok(pid === null || !isAlive(pid), 'the gateway has ended')
  })
}

async function connect(t: TestContext, kind: ClientKind): Promise<{ client: Connected; upstream: Upstream }> {
  const said = chatScript({
    'Say hello': (response) => sendStream(response, chatStream(pieces)),
    async 'Say hello slowly'(response) {
      beginStream(response)
      for (const content of pieces) {
        response.write(chatChunk({ content }))
        // Longer than pieces of progress are gathered for.
        await new Promise((resolve) => setTimeout(resolve, 120))
      }
      response.end(streamEnd)
    },
    Refuse: (response) => sendJson(response, 400, { error: { message: 'no', type: 'invalid_request_error' } }),
    'Never end': (response) => beginStream(response, 'Forever'),
    ...Object.fromEntries(
      Array.from({ length: 20 }, (_, at) => [
        `Echo ${at}`,
        (response) => sendStream(response, chatStream([`Echo `, `${at}`])),
      ]) satisfies [string, Parameters<typeof chatScript>[0][string]][],
    ),
  })
  const upstream = await upstreamFor(t, (received, response, number) => {
    if (received.path === '/v1/models') return sendJson(response, 200, { object: 'list', data: [{ id: 'tiny' }] })
    if (received.path === '/v1/embeddings') {
      return sendJson(response, 200, { object: 'list', model: 'tiny', data: [{ index: 0, embedding: [1, 0] }] })
    }
    return said(received, response, number)
  })
  const client = await kind.connect({ ...pointedAt(upstream), LOG_LEVEL: 'silent' })
  t.after(async () => {
    await client.close()
    const { pid } = client
    if (pid !== null) await until(() => !isAlive(pid))
  })
  return { client, upstream }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
