import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { beginStream, chatScript, streamEnd } from '../harness/chat-script.ts'
import { type Gateway, handshake, type Json, modernMeta } from '../harness/gateway.ts'
import { at, gatewayFor, pointedAt, repliesTo, upstreamFor } from '../harness/scope.ts'
import { sendJson } from '../harness/upstream.ts'

const serverInfoKey = 'io.modelcontextprotocol/serverInfo'
const subscriptionKey = 'io.modelcontextprotocol/subscriptionId'
const versionKey = 'io.modelcontextprotocol/protocolVersion'
const capabilitiesKey = 'io.modelcontextprotocol/clientCapabilities'

const handshakeRevisions = ['2024-11-05', '2025-03-26', '2025-06-18', '2025-11-25'] as const

const modern = (params: Json = {}, meta: Json = {}) => ({ ...params, _meta: { ...modernMeta, ...meta } })
const codeOf = (answer: unknown) => at(answer, 'error', 'code')

const hello = chatScript({
  hi(response) {
    beginStream(response, 'Hel', 'lo')
    response.end(streamEnd)
  },
})
const askHello = { name: 'createCompletion', arguments: { prompt: 'hi' } }

/** Methods that exist in no revision for a server that declares tools alone, and those that the other era has. */
const undeclared = [
  'resources/list',
  'resources/read',
  'resources/templates/list',
  'resources/subscribe',
  'resources/unsubscribe',
  'prompts/list',
  'prompts/get',
  'completion/complete',
  'logging/setLevel',
  'tasks/get',
  'tasks/list',
  'tasks/result',
  'tasks/cancel',
  'sampling/createMessage',
  'elicitation/create',
  'roots/list',
]

describe('the handshake', () => {
  const offers: { offered: string; answered: string }[] = [
    ...handshakeRevisions.map((revision) => ({ offered: revision, answered: revision })),
    ...['2026-07-28', '1999-01-01', '2099-12-31', '', '2025-11-25 ', '2025-6-18', 'latest', '__proto__'].map(
      (offered) => ({ offered, answered: '2025-11-25' }),
    ),
  ]
  for (const { offered, answered } of offers) {
    test(`a client that offers ${JSON.stringify(offered)} hears ${answered}`, async (t) => {
      const { result, error } = await handshake(gatewayFor(t), offered)
      assert.equal(error, undefined)
      assert.equal(result?.['protocolVersion'], answered)
    })
  }

  for (const revision of handshakeRevisions) {
    test(`the result of initialize holds what ${revision} knows and no more`, async (t) => {
      const { result } = await handshake(gatewayFor(t), revision)
      assert.deepEqual(Object.keys(result ?? {}).sort(), [
        'capabilities',
        'instructions',
        'protocolVersion',
        'serverInfo',
      ])
      assert.deepEqual(result?.['capabilities'], { tools: {} })
      const titled = revision >= '2025-06-18'
      assert.deepEqual(Object.keys(result?.['serverInfo'] as Json).sort(), [
        'name',
        ...(titled ? ['title'] : []),
        'version',
      ])
      assert.equal(at(result, 'serverInfo', 'name'), 'genai-gateway')
      assert.equal(at(result, 'serverInfo', 'title'), titled ? 'GenAI Gateway' : undefined)
      assert.match(String(at(result, 'serverInfo', 'version')), /^\d+\.\d+\.\d+/)
      const instructions = String(result?.['instructions'])
      assert.ok(instructions.length > 50 && instructions.length < 4096)
    })
  }

  test('nothing is said before the first message, and nothing in answer to initialized', async (t) => {
    const gateway = gatewayFor(t)
    await handshake(gateway)
    await gateway.request('ping')
    assert.equal(gateway.messages.length, 2)
  })

  test('ping works before and after', async (t) => {
    const gateway = gatewayFor(t)
    assert.deepEqual((await gateway.request('ping')).result, {})
    await handshake(gateway)
    assert.deepEqual((await gateway.request('ping')).result, {})
  })

  test('requests are served without waiting for initialized', async (t) => {
    const gateway = gatewayFor(t)
    await gateway.request('initialize', { protocolVersion: '2025-06-18', capabilities: {} })
    assert.ok(Array.isArray((await gateway.request('tools/list')).result?.['tools']))
  })
})

describe('tools/list', () => {
  const members: Readonly<Record<string, readonly string[]>> = {
    '2024-11-05': ['description', 'inputSchema', 'name'],
    '2025-03-26': ['annotations', 'description', 'inputSchema', 'name'],
    '2025-06-18': ['annotations', 'description', 'inputSchema', 'name', 'outputSchema', 'title'],
    '2025-11-25': ['annotations', 'description', 'inputSchema', 'name', 'outputSchema', 'title'],
    '2026-07-28': ['annotations', 'description', 'inputSchema', 'name', 'outputSchema', 'title'],
  }
  for (const [revision, expected] of Object.entries(members)) {
    test(`a tool of ${revision} has ${expected.join(', ')}`, async (t) => {
      const gateway = gatewayFor(t)
      const isModern = revision === '2026-07-28'
      if (!isModern) await handshake(gateway, revision)
      const { result } = await gateway.request('tools/list', isModern ? modern() : undefined)
      const tools = result?.['tools'] as Json[]
      assert.deepEqual(
        Object.keys(result ?? {}).sort(),
        isModern ? ['_meta', 'cacheScope', 'resultType', 'tools', 'ttlMs'].sort() : ['tools'],
      )
      for (const tool of tools) {
        assert.deepEqual(Object.keys(tool).sort(), expected)
        assert.equal(at(tool, 'inputSchema', 'type'), 'object')
        assert.notEqual(tool['description'], '')
        if (expected.includes('outputSchema')) assert.equal(at(tool, 'outputSchema', 'type'), 'object')
        if (expected.includes('annotations')) assert.equal(typeof at(tool, 'annotations', 'readOnlyHint'), 'boolean')
      }
      const names = tools.map((tool) => tool['name'])
      assert.deepEqual(names, ['listModels', 'createCompletion', 'createEmbedding', 'callTool'])
      const bytes = Buffer.byteLength(JSON.stringify(result))
      t.diagnostic(`${bytes} bytes`)
      assert.ok(bytes < 8 * 1024, 'every byte sits in the context of the client')
    })
  }

  test('the list is the same for everybody, whatever happened before', async (t) => {
    const gateway = gatewayFor(t)
    const first = await gateway.request('tools/list', modern())
    await handshake(gateway, '2024-11-05')
    await gateway.request('tools/call', { name: 'listModels' })
    const second = await gateway.request('tools/list', modern())
    assert.deepEqual(second.result, first.result)
    const another = gatewayFor(t, { OPENAI_API_KEY: 'sk-of-another-user' })
    assert.deepEqual((await another.request('tools/list', modern())).result, first.result)
  })
})

describe('the result of a call', () => {
  const shapes: { revision: string; structured: boolean }[] = [
    { revision: '2024-11-05', structured: false },
    { revision: '2025-03-26', structured: false },
    { revision: '2025-06-18', structured: true },
    { revision: '2025-11-25', structured: true },
    { revision: '2026-07-28', structured: true },
  ]
  for (const { revision, structured } of shapes) {
    test(`${revision} ${structured ? 'has structured content' : 'has all as text'}`, async (t) => {
      const gateway = gatewayFor(t, pointedAt(await upstreamFor(t, hello)))
      const isModern = revision === '2026-07-28'
      if (!isModern) await handshake(gateway, revision)
      const { result } = await gateway.request('tools/call', isModern ? modern(askHello) : askHello)
      const content = result?.['content'] as { type: string; text: string }[]
      assert.deepEqual(content[0], { type: 'text', text: 'Hello' })
      const facts = { model: 'tiny', provider: 'openai', finishReason: 'stop', attempts: 1 }
      if (structured) {
        assert.equal(content.length, 1)
        const { timing, ...rest } = (result?.['structuredContent'] ?? {}) as Json
        assert.deepEqual(rest, { ...facts, text: 'Hello', rawFinishReason: 'stop' })
        assert.equal(typeof at(timing, 'totalMs'), 'number')
      } else {
        assert.equal('structuredContent' in (result ?? {}), false)
        assert.equal(content.length, 2)
        assert.equal(content[1]?.type, 'text')
        const told = JSON.parse(content[1]?.text ?? '') as Json
        assert.deepEqual({ ...told, ...facts }, told)
        assert.equal('text' in told, false, 'the text is not said twice')
      }
      assert.equal(result?.['resultType'], isModern ? 'complete' : undefined)
      assert.equal(at(result, '_meta', serverInfoKey, 'name'), isModern ? 'genai-gateway' : undefined)
    })

    test(`a failed call in ${revision}`, async (t) => {
      const refusing = await upstreamFor(t, (_, response) =>
        sendJson(response, 401, { error: { message: 'no', type: 'x', code: 'invalid_api_key' } }),
      )
      const gateway = gatewayFor(t, pointedAt(refusing))
      const isModern = revision === '2026-07-28'
      if (!isModern) await handshake(gateway, revision)
      const { result, error } = await gateway.request('tools/call', isModern ? modern(askHello) : askHello)
      assert.equal(error, undefined)
      assert.equal(result?.['isError'], true)
      assert.equal('structuredContent' in (result ?? {}), false)
      assert.equal(at(result, 'content', 0, 'type'), 'text')
      assert.equal(at(result, '_meta', 'genai-gateway/error', 'code'), 'authentication')
      assert.equal(at(result, '_meta', 'genai-gateway/error', 'status'), 401)
      assert.equal(result?.['resultType'], isModern ? 'complete' : undefined)
      assert.equal(at(result, '_meta', serverInfoKey, 'name'), isModern ? 'genai-gateway' : undefined)
    })
  }
})

describe('batches', () => {
  for (const revision of handshakeRevisions) {
    test(`in ${revision}`, async (t) => {
      const gateway = gatewayFor(t)
      await handshake(gateway, revision)
      gateway.send('[{"jsonrpc":"2.0","id":"a","method":"ping"},{"jsonrpc":"2.0","id":"b","method":"no/such"}]\n')
      await gateway.request('ping')
      const between = gateway.messages.slice(1, -1)
      assert.equal(between.length, 1)
      const [answer] = between
      if (revision === '2025-03-26') {
        assert.ok(Array.isArray(answer))
        assert.deepEqual(
          answer.map(({ id, error }) => [id, error?.code]),
          [
            ['a', undefined],
            ['b', -32601],
          ],
        )
      } else {
        assert.ok(!Array.isArray(answer))
        assert.equal(answer?.error?.code, -32600)
        assert.equal('id' in (answer ?? {}), false)
      }
    })
  }

  test('calls in one are answered together', async (t) => {
    const gateway = gatewayFor(t, pointedAt(await upstreamFor(t, hello)))
    await handshake(gateway, '2025-03-26')
    const call = (id: number) => ({ jsonrpc: '2.0', id, method: 'tools/call', params: askHello })
    gateway.send([call(1), { jsonrpc: '2.0', id: 2, method: 'ping' }, call(3)])
    await gateway.find(({ id }) => id === 3)
    const answer = gateway.messages.at(-1)
    assert.ok(Array.isArray(answer))
    assert.deepEqual(answer.map(({ id }) => id).sort(), [1, 2, 3])
  })
})

describe('2026-07-28', () => {
  test('discover: the whole result', async (t) => {
    const { result } = await gatewayFor(t).request('server/discover', modern())
    const { instructions, _meta, ...rest } = result ?? {}
    assert.deepEqual(rest, {
      resultType: 'complete',
      supportedVersions: ['2026-07-28'],
      capabilities: { tools: {} },
      ttlMs: 3_600_000,
      cacheScope: 'public',
    })
    assert.equal(typeof instructions, 'string')
    const info = at(_meta, serverInfoKey) as Json
    assert.deepEqual(Object.keys(_meta as Json), [serverInfoKey])
    assert.deepEqual(Object.keys(info).sort(), ['name', 'title', 'version'])
    assert.equal(info['name'], 'genai-gateway')
    assert.equal(info['title'], 'GenAI Gateway')
  })

  test('tools/list can be cached, calls cannot', async (t) => {
    const gateway = gatewayFor(t, pointedAt(await upstreamFor(t, hello)))
    const list = await gateway.request('tools/list', modern())
    assert.equal(list.result?.['ttlMs'], 3_600_000)
    assert.equal(list.result?.['cacheScope'], 'public')
    const call = await gateway.request('tools/call', modern(askHello))
    assert.equal('ttlMs' in (call.result ?? {}), false)
    assert.equal('cacheScope' in (call.result ?? {}), false)
  })

  test('a client without clientInfo, and with members that nobody knows, is served', async (t) => {
    const gateway = gatewayFor(t)
    for (const meta of [
      {},
      { 'io.modelcontextprotocol/clientInfo': { name: 'x', version: '1' } },
      { 'io.modelcontextprotocol/logLevel': 'debug', traceparent: '00-0-0-00', 'someone/else': 1 },
    ]) {
      assert.equal((await gateway.request('tools/list', modern({}, meta))).result?.['resultType'], 'complete')
    }
  })

  const admissions: { name: string; meta: Json; code: number; data?: unknown }[] = [
    { name: 'no capabilities', meta: { [versionKey]: '2026-07-28' }, code: -32602 },
    { name: 'no version', meta: { [capabilitiesKey]: {} }, code: -32602 },
    {
      name: 'client info alone',
      meta: { 'io.modelcontextprotocol/clientInfo': { name: 'x', version: '1' } },
      code: -32602,
    },
    { name: 'a version that is null', meta: { [versionKey]: null, [capabilitiesKey]: {} }, code: -32602 },
    {
      name: 'capabilities that are an array',
      meta: { [versionKey]: '2026-07-28', [capabilitiesKey]: [] },
      code: -32602,
    },
    ...['2027-01-01', '2025-11-25', 'DRAFT-2026', ''].map((requested) => ({
      name: `version ${JSON.stringify(requested)}`,
      meta: { [versionKey]: requested, [capabilitiesKey]: {} },
      code: -32022,
      data: { supported: ['2026-07-28'], requested },
    })),
  ]
  for (const { name, meta, code, data } of admissions) {
    test(`${name} is ${code}, for every method`, async (t) => {
      const gateway = gatewayFor(t)
      for (const method of ['server/discover', 'tools/list', 'tools/call', 'subscriptions/listen', 'ping', 'no/such']) {
        const { error, result } = await gateway.request(method, { _meta: meta })
        assert.equal(result, undefined)
        assert.equal(error?.code, code, method)
        if (data) assert.deepEqual(error?.data, data)
      }
    })
  }

  test('what this revision has removed, and what is not declared, is not there', async (t) => {
    const gateway = gatewayFor(t)
    const removed = ['initialize', 'ping', 'logging/setLevel', 'resources/subscribe', 'resources/unsubscribe']
    for (const method of [...removed, ...undeclared, 'notifications/initialized', 'tasks/update']) {
      assert.equal(codeOf(await gateway.request(method, modern({ protocolVersion: '2025-11-25' }))), -32601, method)
    }
    // None of it has opened a session.
    assert.equal(codeOf(await gateway.request('tools/list')), -32600)
  })
})

describe('subscriptions/listen', () => {
  const wanted = { notifications: { toolsListChanged: true, resourceSubscriptions: ['file:///a'] } }
  const acknowledgement = (id: string | number) => ({
    jsonrpc: '2.0',
    method: 'notifications/subscriptions/acknowledged',
    params: { _meta: { [subscriptionKey]: id }, notifications: {} },
  })
  const listen = (gateway: Gateway, id: string | number) => {
    gateway.send({ jsonrpc: '2.0', id, method: 'subscriptions/listen', params: modern(wanted) })
    return gateway.find(({ params }) => at(params, '_meta', subscriptionKey) === id)
  }

  test('leaves nothing behind when it is cancelled: the fifty thousandth costs what the first has', async (t) => {
    const gateway = gatewayFor(t)
    for (let number = 0; number < 50_000; number++) {
      const id = `listen:${number}`
      gateway.send({ jsonrpc: '2.0', id, method: 'subscriptions/listen', params: modern(wanted) })
      gateway.send({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: id } })
    }
    assert.equal(codeOf(await gateway.request('server/discover', modern())), undefined)
  })

  for (const id of ['listen:0', 0, '']) {
    test(`is acknowledged first, and ended by the end of input: ${JSON.stringify(id)}`, async (t) => {
      const gateway = gatewayFor(t)
      await listen(gateway, id)
      assert.deepEqual(gateway.messages, [acknowledgement(id)])
      assert.equal((await gateway.request('tools/list', modern())).result?.['resultType'], 'complete')
      const startedMs = performance.now()
      assert.deepEqual(await gateway.end(), { code: 0, signal: null })
      assert.ok(performance.now() - startedMs < 2_000, 'an open subscription does not hold the program')
      const [end, ...more] = repliesTo(gateway, id)
      assert.deepEqual(more, [])
      assert.equal(end?.result?.['resultType'], 'complete')
      assert.equal(at(end, 'result', '_meta', subscriptionKey), id)
      assert.equal(at(end, 'result', '_meta', serverInfoKey, 'name'), 'genai-gateway')
    })
  }

  test('is ended by a cancel, in silence', async (t) => {
    const gateway = gatewayFor(t)
    await listen(gateway, 'a')
    await listen(gateway, 'b')
    gateway.send({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 'a' } })
    await gateway.request('tools/list', modern())
    await gateway.end()
    assert.deepEqual(repliesTo(gateway, 'a'), [])
    assert.equal(repliesTo(gateway, 'b').length, 1)
  })

  test('its id is free after the cancel', async (t) => {
    const gateway = gatewayFor(t)
    await listen(gateway, 'a')
    gateway.send({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 'a' } })
    gateway.send({ jsonrpc: '2.0', id: 'a', method: 'subscriptions/listen', params: modern(wanted) })
    await gateway.request('tools/list', modern())
    assert.deepEqual(gateway.messages.slice(0, 2), [acknowledgement('a'), acknowledgement('a')])
  })

  test('does not exist in the handshake era', async (t) => {
    const gateway = gatewayFor(t)
    await handshake(gateway)
    assert.equal(codeOf(await gateway.request('subscriptions/listen', wanted)), -32601)
  })
})

describe('what is declared works, and what is not declared is not there', () => {
  /** The methods of each capability that a server can declare. */
  const methodsOf: Readonly<Record<string, readonly string[]>> = {
    tools: ['tools/list', 'tools/call'],
    resources: ['resources/list', 'resources/read', 'resources/templates/list'],
    prompts: ['prompts/list', 'prompts/get'],
    completions: ['completion/complete'],
    logging: ['logging/setLevel'],
    tasks: ['tasks/get', 'tasks/list', 'tasks/result', 'tasks/cancel'],
  }

  for (const revision of [...handshakeRevisions, '2026-07-28']) {
    test(revision, async (t) => {
      const gateway = gatewayFor(t)
      const isModern = revision === '2026-07-28'
      const opened = isModern ? await gateway.request('server/discover', modern()) : await handshake(gateway, revision)
      const capabilities = opened.result?.['capabilities'] as Json
      for (const [capability, options] of Object.entries(capabilities)) {
        assert.ok(Object.hasOwn(methodsOf, capability), `${capability} is known`)
        assert.deepEqual(options, {}, 'no list changes, so none is announced')
      }
      for (const [capability, methods] of Object.entries(methodsOf)) {
        for (const method of methods) {
          const params = method === 'tools/call' ? { name: 'listModels' } : {}
          const answer = await gateway.request(method, isModern ? modern(params) : params)
          if (Object.hasOwn(capabilities, capability)) assert.ok(answer.result, `${method} works`)
          else assert.equal(codeOf(answer), -32601, method)
        }
      }
      if (!isModern) {
        for (const method of [...undeclared, 'tasks/update']) {
          assert.equal(codeOf(await gateway.request(method, {})), -32601, method)
        }
      }
    })
  }
})

describe('the era is chosen message by message', () => {
  test('all openings that clients have been seen to use, on one process', async (t) => {
    const gateway = gatewayFor(t, pointedAt(await upstreamFor(t, hello)))
    // Inspector and Claude Code probe on the same process; an SDK's second process begins with a bare list.
    assert.equal((await gateway.request('tools/list', modern())).result?.['resultType'], 'complete')
    assert.equal((await gateway.request('server/discover', modern(), 'server-discover-probe-1')).error, undefined)
    assert.equal(codeOf(await gateway.request('tools/list')), -32600)
    assert.equal((await handshake(gateway, '2025-06-18')).result?.['protocolVersion'], '2025-06-18')
    assert.equal((await gateway.request('server/discover', modern(), 0)).result?.['resultType'], 'complete')
    assert.equal(codeOf(await gateway.request('server/discover')), -32602)

    const [legacyList, modernList] = await Promise.all([
      gateway.request('tools/list', {}),
      gateway.request('tools/list', modern()),
    ])
    assert.equal('resultType' in (legacyList.result ?? {}), false)
    assert.equal('ttlMs' in (legacyList.result ?? {}), false)
    assert.equal(modernList.result?.['resultType'], 'complete')

    const [legacyCall, modernCall] = await Promise.all([
      gateway.request('tools/call', askHello),
      gateway.request('tools/call', modern(askHello)),
    ])
    assert.equal('resultType' in (legacyCall.result ?? {}), false)
    assert.equal(modernCall.result?.['resultType'], 'complete')
    for (const { result } of [legacyCall, modernCall]) assert.equal(at(result, 'content', 0, 'text'), 'Hello')

    assert.deepEqual((await gateway.request('ping')).result, {})
    assert.equal(codeOf(await gateway.request('ping', modern())), -32601)
  })

  test('modern traffic does not change what the session has agreed', async (t) => {
    const gateway = gatewayFor(t, pointedAt(await upstreamFor(t, hello)))
    await handshake(gateway, '2024-11-05')
    await gateway.request('server/discover', modern())
    await gateway.request('tools/call', modern(askHello))
    const { result } = await gateway.request('tools/call', askHello)
    assert.equal('structuredContent' in (result ?? {}), false)
    const list = await gateway.request('tools/list')
    assert.equal(at(list, 'result', 'tools', 0, 'name'), 'listModels')
    assert.equal(at(list, 'result', 'tools', 0, 'annotations'), undefined)
  })

  test('_meta without a word of 2026-07-28 belongs to the session', async (t) => {
    const gateway = gatewayFor(t)
    await handshake(gateway)
    const { result } = await gateway.request('tools/list', { _meta: { progressToken: 1, 'claudecode/toolUseId': 'x' } })
    assert.equal('resultType' in (result ?? {}), false)
  })

  test('a request of either era can be cancelled by the same notification', async (t) => {
    const upstream = await upstreamFor(t, (_, response) => beginStream(response, 'endless'))
    const gateway = gatewayFor(t, pointedAt(upstream))
    await handshake(gateway)
    const params = { ...askHello, _meta: { progressToken: 'a' } }
    gateway.send({ jsonrpc: '2.0', id: 'a', method: 'tools/call', params })
    gateway.send({ jsonrpc: '2.0', id: 'b', method: 'tools/call', params: modern(askHello, { progressToken: 'b' }) })
    for (const token of ['a', 'b']) await gateway.find(({ params }) => params?.['progressToken'] === token)
    gateway.send({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 'a' } })
    gateway.send({
      jsonrpc: '2.0',
      method: 'notifications/cancelled',
      params: { requestId: 'b', reason: 'enough', _meta: modernMeta },
    })
    await Promise.all([upstream.closed(0), upstream.closed(1)])
    await gateway.request('ping')
    assert.deepEqual([...repliesTo(gateway, 'a'), ...repliesTo(gateway, 'b')], [])
  })
})
