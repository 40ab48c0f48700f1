import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { chatScript } from '../harness/chat-script.ts'
import { type Json, modernMeta } from '../harness/gateway.ts'
import { httpGatewayFor, modern, openSession, post } from '../harness/http-gateway.ts'
import { at, pointedAt, until, upstreamFor } from '../harness/scope.ts'
import { chatStream, sendStream } from '../harness/upstream.ts'

/** What MCP says over HTTP, in both eras, of the built program. */

const codeOf = (answer: unknown) => at(answer, 'error', 'code')
const packed = (text: string) => `=?base64?${Buffer.from(text).toString('base64')}?=`
const versionKey = 'io.modelcontextprotocol/protocolVersion'
const capabilitiesKey = 'io.modelcontextprotocol/clientCapabilities'

type Case = {
  name: string
  method?: string
  params?: Json
  meta?: Json
  /** Beside or instead of those that repeat the body; undefined leaves one out. */
  headers?: Record<string, string | undefined>
  status: number
  code?: number
}

const noTool = { name: 'noSuchTool' }
const umlaut = { name: 'nö' }

const stateless: readonly Case[] = [
  { name: 'all is well', status: 200 },
  { name: 'a session is not looked at', headers: { 'mcp-session-id': 'x', 'last-event-id': '1' }, status: 200 },
  { name: 'no version', headers: { 'mcp-protocol-version': undefined }, status: 400, code: -32020 },
  { name: 'an older version', headers: { 'mcp-protocol-version': '2025-11-25' }, status: 400, code: -32020 },
  { name: 'another version', headers: { 'mcp-protocol-version': '2026-07-29' }, status: 400, code: -32020 },
  { name: 'a packed version', headers: { 'mcp-protocol-version': packed('2026-07-28') }, status: 400, code: -32020 },
  { name: 'no method', headers: { 'mcp-method': undefined }, status: 400, code: -32020 },
  { name: 'another method', headers: { 'mcp-method': 'tools/call' }, status: 400, code: -32020 },
  { name: 'the method in other case', headers: { 'mcp-method': 'Tools/List' }, status: 400, code: -32020 },
  { name: 'the method between blanks', headers: { 'mcp-method': '  tools/list\t' }, status: 200 },
  { name: 'a name where none is', headers: { 'mcp-name': 'x' }, status: 200 },
  {
    name: 'no name',
    method: 'tools/call',
    params: noTool,
    headers: { 'mcp-name': undefined },
    status: 400,
    code: -32020,
  },
  {
    name: 'another name',
    method: 'tools/call',
    params: noTool,
    headers: { 'mcp-name': 'x' },
    status: 400,
    code: -32020,
  },
  { name: 'the name', method: 'tools/call', params: noTool, status: 200, code: -32602 },
  {
    name: 'the name, packed',
    method: 'tools/call',
    params: umlaut,
    headers: { 'mcp-name': packed('nö') },
    status: 200,
    code: -32602,
  },
  ...[
    packed('no'),
    '=?base64?bsO2',
    '=?base64?bsO=?=',
    '=?base64?bs*2?=',
    '=?base64?bvY=?=',
    '=?BASE64?bsO2?=',
    'n\u00f6',
  ].map((header) => ({
    name: `a name packed as ${header}`,
    method: 'tools/call',
    params: umlaut,
    headers: { 'mcp-name': header },
    status: 400,
    code: -32020,
  })),
  { name: 'a name that is none', method: 'tools/call', params: { name: 5 }, status: 200, code: -32602 },
  { name: 'the URI of a resource', method: 'resources/read', params: { uri: 'a:b' }, status: 404, code: -32601 },
  {
    name: 'no URI of a resource',
    method: 'resources/read',
    params: { uri: 'a:b' },
    headers: { 'mcp-name': undefined },
    status: 400,
    code: -32020,
  },
  { name: 'an unknown method', method: 'nothing', status: 404, code: -32601 },
  ...['initialize', 'ping', 'logging/setLevel', 'resources/subscribe', 'prompts/list', '__proto__'].map((method) => ({
    name: `${method}, which is not there`,
    method,
    status: 404,
    code: -32601,
  })),
  {
    name: 'a version that nobody speaks',
    meta: { [versionKey]: '2099-01-01' },
    headers: { 'mcp-protocol-version': '2099-01-01' },
    status: 400,
    code: -32022,
  },
  {
    name: 'a version of the other era',
    meta: { [versionKey]: '2025-11-25' },
    headers: { 'mcp-protocol-version': '2025-11-25' },
    status: 400,
    code: -32022,
  },
  { name: 'no version in the body', meta: { [versionKey]: undefined }, status: 400, code: -32602 },
  { name: 'no capabilities', meta: { [capabilitiesKey]: undefined }, status: 400, code: -32602 },
  { name: 'neither', meta: { [versionKey]: undefined, [capabilitiesKey]: undefined }, status: 400, code: -32602 },
  { name: 'a cursor', params: { cursor: 'x' }, status: 200, code: -32602 },
]

describe('2026-07-28', () => {
  test('headers say what the body says, and every fault has its status', async (t) => {
    const gateway = await httpGatewayFor(t)
    for (const { name, method = 'tools/list', params = {}, meta = {}, headers = {}, status, code } of stateless) {
      const { body, headers: usual } = modern(method, params, { id: name, meta })
      const answer = await post(gateway, body, { headers: { ...usual, ...headers } })
      assert.deepEqual([answer.status, codeOf(answer.messages[0])], [status, code], name)
      assert.equal(at(answer.messages[0], 'id'), name)
      assert.equal(answer.headers['mcp-session-id'], undefined, name)
      if (code === -32022) {
        assert.deepEqual(at(answer.messages[0], 'error', 'data', 'supported'), ['2026-07-28'], name)
      }
    }
  })

  test('notifications are accepted, and arrays are not', async (t) => {
    const gateway = await httpGatewayFor(t)
    const headers = { 'mcp-protocol-version': '2026-07-28' }
    const noted = { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 1, _meta: modernMeta } }
    const { status, text } = await post(gateway, noted, { headers })
    assert.deepEqual([status, text], [202, ''])
    assert.equal((await post(gateway, noted)).status, 202)
    const { body } = modern('tools/list')
    const batch = await post(gateway, [body], { headers })
    assert.deepEqual([batch.status, codeOf(batch.messages[0])], [400, -32600])
  })

  test('a listen is acknowledged and stays open until the client goes', async (t) => {
    const gateway = await httpGatewayFor(t)
    const abort = new AbortController()
    const { body, headers } = modern('subscriptions/listen', { notifications: {} }, { id: 'l' })
    let first: unknown
    const onMessage = (message: unknown) => {
      first = message
      abort.abort()
    }
    await assert.rejects(post(gateway, body, { headers, signal: abort.signal, onMessage }))
    assert.equal(at(first, 'method'), 'notifications/subscriptions/acknowledged')
    assert.equal(at(first, 'params', '_meta', 'io.modelcontextprotocol/subscriptionId'), 'l')
  })

  test('a listen ends with its result when the server does', async (t) => {
    const gateway = await httpGatewayFor(t)
    const { body, headers } = modern('subscriptions/listen', { notifications: {} }, { id: 'l' })
    const onMessage = () => void gateway.child.kill('SIGTERM')
    const { messages } = await post(gateway, body, { headers, onMessage })
    assert.equal(at(messages[1], 'result', 'resultType'), 'complete')
    assert.equal(await gateway.ended, 143)
  })
})

describe('the handshake', () => {
  for (const revision of ['2024-11-05', '2025-03-26', '2025-06-18', '2025-11-25']) {
    test(`${revision}: a session from initialize to DELETE`, async (t) => {
      const upstream = await upstreamFor(
        t,
        chatScript({ hi: (response) => sendStream(response, chatStream(['Hel', 'lo'])) }),
      )
      const gateway = await httpGatewayFor(t, pointedAt(upstream))
      const session = await openSession(gateway, revision)
      assert.match(session.id, /^[\x21-\x7e]{30,}$/)
      const noted = await session.notify('notifications/initialized')
      assert.deepEqual([noted.status, noted.text], [202, ''])
      const listed = await session.request('tools/list', {}, { headers: { 'mcp-protocol-version': revision } })
      assert.equal((at(listed.messages, 0, 'result', 'tools') as unknown[]).length, 4)
      const called = await session.request('tools/call', { name: 'createCompletion', arguments: { prompt: 'hi' } })
      assert.equal(at(called.messages, 0, 'result', 'content', 0, 'text'), 'Hello')
      assert.equal(called.headers['mcp-session-id'], undefined)
      const own = { 'mcp-session-id': session.id }
      const options = { method: 'DELETE', headers: { ...own, 'mcp-protocol-version': revision } }
      const unspoken = { method: 'DELETE', headers: { ...own, 'mcp-protocol-version': '1999-01-01' } }
      assert.equal((await post(gateway, undefined, unspoken)).status, 400)
      assert.equal((await post(gateway, undefined, options)).status, 204)
      const gone = await session.request('tools/list')
      assert.deepEqual([gone.status, codeOf(gone.messages[0])], [404, -32600])
    })
  }

  test('faults have their status', async (t) => {
    const gateway = await httpGatewayFor(t)
    const session = await openSession(gateway)
    const own = { 'mcp-session-id': session.id }
    const ping = { jsonrpc: '2.0', id: 'p', method: 'ping' }
    const initialize = { jsonrpc: '2.0', id: 'p', method: 'initialize', params: { protocolVersion: '2025-11-25' } }
    const cases: [name: string, body: object, headers: Record<string, string>, status: number, code?: number][] = [
      ['all is well', ping, own, 200],
      ['the agreed version', ping, { ...own, 'mcp-protocol-version': '2025-11-25' }, 200],
      ['another version that is known', ping, { ...own, 'mcp-protocol-version': '2025-03-26' }, 200],
      ['a version that is not', ping, { ...own, 'mcp-protocol-version': '1999-01-01' }, 400, -32600],
      ['an inherited name as version', ping, { ...own, 'mcp-protocol-version': 'constructor' }, 400, -32600],
      ['no session', ping, {}, 400, -32600],
      ['no session, a notification', { jsonrpc: '2.0', method: 'notifications/initialized' }, {}, 400, -32600],
      ['an unknown session', ping, { 'mcp-session-id': 'x' }, 404, -32600],
      ['an inherited name as session', ping, { 'mcp-session-id': '__proto__' }, 404, -32600],
      ['a second initialize', initialize, own, 400, -32600],
      ['initialize for an unknown session', initialize, { 'mcp-session-id': 'x' }, 404, -32600],
      ['initialize without a version', { ...initialize, params: {} }, {}, 200, -32602],
      ['an unknown method', { ...ping, method: 'nothing' }, own, 200, -32601],
      ['a method of the other era', { ...ping, method: 'subscriptions/listen' }, own, 200, -32601],
      ['an array', [ping], own, 400, -32600],
    ]
    for (const [name, body, headers, status, code] of cases) {
      const answer = await post(gateway, body, { headers })
      assert.deepEqual([answer.status, codeOf(answer.messages[0])], [status, code], name)
      assert.equal(answer.headers['mcp-session-id'], undefined, name)
    }
    const response = { jsonrpc: '2.0', id: 1, result: {} }
    assert.equal((await post(gateway, response, { headers: own })).status, 202)
  })

  test('batches, where the revision has them', async (t) => {
    const gateway = await httpGatewayFor(t)
    const session = await openSession(gateway, '2025-03-26')
    const ping = (id: number) => ({ jsonrpc: '2.0', id, method: 'ping' })
    const headers = { 'mcp-session-id': session.id }
    const answer = await post(gateway, [ping(1), { jsonrpc: '2.0', method: 'notifications/x' }, ping(2)], { headers })
    assert.equal(answer.status, 200)
    assert.deepEqual(answer.messages, [
      [
        { jsonrpc: '2.0', id: 1, result: {} },
        { jsonrpc: '2.0', id: 2, result: {} },
      ],
    ])
    const noted = await post(gateway, [{ jsonrpc: '2.0', method: 'notifications/x' }], { headers })
    assert.deepEqual([noted.status, noted.text], [202, ''])
    assert.equal((await post(gateway, [], { headers })).status, 400)
  })

  test('a session belongs to the token that opened it', async (t) => {
    const mine = 'the-first-token-0123'
    const theirs = 'the-second-token-0123'
    const gateway = await httpGatewayFor(t, { GATEWAY_HTTP_TOKEN: `${mine} ${theirs}` })
    const initialize = { jsonrpc: '2.0', id: 0, method: 'initialize', params: { protocolVersion: '2025-11-25' } }
    const by = (given: string) => ({ authorization: `Bearer ${given}` })
    const opened = await post(gateway, initialize, { headers: by(mine) })
    const own = { 'mcp-session-id': String(opened.headers['mcp-session-id']) }
    const ping = { jsonrpc: '2.0', id: 1, method: 'ping' }
    assert.equal((await post(gateway, ping, { headers: { ...own, ...by(theirs) } })).status, 404)
    assert.equal((await post(gateway, undefined, { method: 'DELETE', headers: { ...own, ...by(theirs) } })).status, 404)
    assert.equal((await post(gateway, ping, { headers: { ...own, ...by(mine) } })).status, 200)
  })

  test('an id that is in flight in the session is refused, and the first is not touched', async (t) => {
    const upstream = await upstreamFor(
      t,
      chatScript({
        async hi(response) {
          await new Promise((resolve) => setTimeout(resolve, 300))
          sendStream(response, chatStream(['Hello']))
        },
      }),
    )
    const gateway = await httpGatewayFor(t, pointedAt(upstream))
    const session = await openSession(gateway)
    const params = { name: 'createCompletion', arguments: { prompt: 'hi' } }
    const first = session.request('tools/call', params, { id: 1 })
    await until(() => upstream.requests.length === 1)
    const second = await session.request('tools/call', params, { id: 1 })
    assert.deepEqual([second.status, codeOf(second.messages[0])], [400, -32600])
    assert.equal(at((await first).messages, 0, 'result', 'content', 0, 'text'), 'Hello')
  })
})
