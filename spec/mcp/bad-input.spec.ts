import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { beginStream, chatScript, promptOf, streamEnd } from '../harness/chat-script.ts'
import { type Gateway, handshake, type Json, type Message, modernMeta } from '../harness/gateway.ts'
import { at, gate, gatewayFor, heard, pointedAt, upstreamFor } from '../harness/scope.ts'

// What a client may get wrong, and what it hears. `7: -32600` is an error for id 7, `7: ok` a result, `7: code` a
// result with isError and that code, `no id: …` an error without an id. An empty list is silence.

type Row = { name: string; input: string | Uint8Array; expected: readonly string[]; says?: RegExp }

const mib = 1024 * 1024
const version = 'io.modelcontextprotocol/protocolVersion'
const capabilities = 'io.modelcontextprotocol/clientCapabilities'

const line = (message: object) => `${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`
const modern = (id: string | number, method: string, params: Json = {}, meta: Json = modernMeta) =>
  line({ id, method, params: { ...params, _meta: meta } })
const call = (id: string | number, name: unknown, args?: unknown) => modern(id, 'tools/call', { name, arguments: args })
const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)
const withId = (id: string) => `{"jsonrpc":"2.0","id":${id},"method":"ping"}\n`
const padded = (megabytes: number) =>
  `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":"${'x'.repeat(megabytes * mib)}"}}\n`

function said(message: Message | Message[]): string {
  if (Array.isArray(message)) return `[${message.map(said).join(', ')}]`
  const id = message.id === undefined ? 'no id' : JSON.stringify(message.id).slice(0, 40)
  if (message.error) return `${id}: ${message.error.code}`
  const code = at(message, 'result', '_meta', 'genai-gateway/error', 'code')
  return `${id}: ${at(message, 'result', 'isError') ? code : 'ok'}`
}

/** Sends a row's input and holds what is heard against it; the ping behind it proves that the program goes on. */
async function check(gateway: Gateway, { input, expected, says }: Row): Promise<void> {
  const messages = await heard(gateway, input, expected.length)
  assert.deepEqual(messages.map(said).sort(), [...expected].sort())
  if (says) assert.match(JSON.stringify(messages), says)
  assert.deepEqual(gateway.garbage, [])
  for (const message of messages.flat()) {
    assert.equal(message.jsonrpc, '2.0')
    if (message.error) assert.notEqual(message.error.message, '')
  }
}

/** The same in every state of the process. */
const anyState: readonly Row[] = [
  { name: 'garbage', input: 'hello\n', expected: ['no id: -32700'] },
  { name: 'HTTP', input: 'GET / HTTP/1.1\r\n', expected: ['no id: -32700'] },
  { name: 'truncated JSON', input: '{"jsonrpc":"2.0","id":7,"method":"pi\n', expected: ['no id: -32700'] },
  { name: 'two messages on a line', input: `${withId('1').trim()}${withId('2')}`, expected: ['no id: -32700'] },
  { name: 'empty object', input: '{}\n', expected: ['no id: -32600'] },
  { name: 'null', input: 'null\n', expected: ['no id: -32600'] },
  { name: 'number', input: '42\n', expected: ['no id: -32600'] },
  { name: 'string', input: '"x"\n', expected: ['no id: -32600'] },
  { name: 'blank line', input: '\n', expected: [] },
  { name: 'line of white space', input: ' \t \r\n', expected: [] },
  { name: 'CRLF', input: `${withId('1').trim()}\r\n`, expected: ['1: ok'] },
  { name: 'a lone CR is no newline', input: `${withId('1').trim()}\r${withId('2')}`, expected: ['no id: -32700'] },
  { name: 'a lone CR between the members is white space', input: withId('1').replace(',', ',\r'), expected: ['1: ok'] },
  { name: 'BOM that is not the first thing', input: `\ufeff${withId('1')}`, expected: ['no id: -32700'] },
  { name: 'NUL before a message', input: `\0${withId('1')}`, expected: ['no id: -32700'] },
  {
    name: 'invalid UTF-8 in an argument',
    input: Buffer.from(call(1, 'createCompletion', { prompt: '\u00ff' }).replace('\u00ff', '\xff'), 'latin1'),
    expected: ['no id: -32700'],
  },
  {
    name: 'half of a surrogate pair in an argument',
    input: call(1, 'createCompletion', { prompt: 'a\ud800b' }),
    expected: ['1: invalid_request'],
    says: /prompt/,
  },
  {
    name: 'a message of a hundred thousand levels',
    input: `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":${nested(100_000)}}}\n`,
    expected: ['1: -32600'],
  },
  { name: 'a hundred thousand levels and no id', input: `${nested(100_000)}\n`, expected: ['no id: -32600'] },
  {
    name: 'arguments of a hundred levels',
    input: call(1, 'createCompletion', { prompt: 'x', options: JSON.parse(`{"a":${nested(100)}}`) }),
    expected: ['1: -32602'],
  },
  { name: 'id null', input: withId('null'), expected: ['no id: -32600'] },
  { name: 'id a fraction', input: withId('1.5'), expected: ['no id: -32600'] },
  { name: 'id true', input: withId('true'), expected: ['no id: -32600'] },
  { name: 'id an object', input: withId('{"a":1}'), expected: ['no id: -32600'] },
  { name: 'id an array', input: withId('[1]'), expected: ['no id: -32600'] },
  { name: 'id 1e999', input: withId('1e999'), expected: ['no id: -32600'] },
  { name: 'id 2^53+1', input: withId('9007199254740993'), expected: ['no id: -32600'] },
  { name: 'id 0', input: withId('0'), expected: ['0: ok'] },
  { name: 'id negative', input: withId('-1'), expected: ['-1: ok'] },
  { name: 'id an empty string', input: withId('""'), expected: ['"": ok'] },
  { name: 'id of a megabyte', input: withId(`"${'x'.repeat(mib)}"`), expected: ['no id: -32600'] },
  { name: 'id again after its answer', input: withId('5').repeat(3), expected: ['5: ok', '5: ok', '5: ok'] },
  { name: 'no jsonrpc', input: '{"id":3,"method":"ping"}\n', expected: ['3: -32600'] },
  { name: 'jsonrpc 1.0', input: '{"jsonrpc":"1.0","id":3,"method":"ping"}\n', expected: ['3: -32600'] },
  { name: 'jsonrpc a number', input: '{"jsonrpc":2.0,"id":3,"method":"ping"}\n', expected: ['3: -32600'] },
  { name: 'no method', input: line({ id: 3 }), expected: ['3: -32600'] },
  { name: 'method a number', input: line({ id: 0, method: 5 }), expected: ['0: -32600'] },
  { name: 'method null', input: line({ id: '', method: null }), expected: ['"": -32600'] },
  { name: 'params a string', input: line({ id: 3, method: 'ping', params: 'x' }), expected: ['3: -32600'] },
  { name: 'params an array', input: line({ id: 3, method: 'ping', params: [] }), expected: ['3: -32600'] },
  { name: 'params null', input: line({ id: 3, method: 'ping', params: null }), expected: ['3: -32600'] },
  { name: 'a member that nobody knows', input: line({ id: 3, method: 'ping', trace: {} }), expected: ['3: ok'] },
  { name: 'members in another order', input: '{"method":"ping","id":3,"jsonrpc":"2.0"}\n', expected: ['3: ok'] },
  {
    name: 'duplicate keys: the last wins',
    input: '{"jsonrpc":"2.0","id":3,"method":"no/such","method":"ping","id":4}\n',
    expected: ['4: ok'],
  },
  { name: 'Method', input: '{"jsonrpc":"2.0","id":3,"Method":"ping"}\n', expected: ['3: -32600'] },
  { name: 'ID makes no request', input: '{"jsonrpc":"2.0","ID":3,"method":"ping"}\n', expected: [] },
  { name: 'Jsonrpc', input: '{"Jsonrpc":"2.0","id":3,"method":"ping"}\n', expected: ['3: -32600'] },
  { name: 'PING', input: modern(3, 'TOOLS/LIST'), expected: ['3: -32601'] },
  { name: 'unknown method', input: modern(3, 'no/such'), expected: ['3: -32601'] },
  { name: 'method of an inherited name', input: modern(3, 'constructor'), expected: ['3: -32601'] },
  { name: 'method __proto__', input: modern(3, '__proto__'), expected: ['3: -32601'] },
  { name: 'unknown notification', input: line({ method: 'notifications/no-such' }), expected: [] },
  { name: 'a request’s method as notification', input: line({ method: 'tools/call', params: {} }), expected: [] },
  { name: 'notification with jsonrpc 1.0', input: '{"jsonrpc":"1.0","method":"notifications/x"}\n', expected: [] },
  { name: 'notification with params an array', input: line({ method: 'notifications/x', params: [1] }), expected: [] },
  { name: 'initialized', input: line({ method: 'notifications/initialized' }), expected: [] },
  { name: 'roots changed', input: line({ method: 'notifications/roots/list_changed' }), expected: [] },
  { name: 'stray result', input: line({ id: 3, result: {} }), expected: [] },
  { name: 'stray error', input: line({ id: 3, error: { code: 1, message: 'x' } }), expected: [] },
  { name: 'stray error with id null', input: line({ id: null, error: { code: 1, message: 'x' } }), expected: [] },
  {
    name: 'progress from the client',
    input: line({ method: 'notifications/progress', params: { progressToken: 1, progress: 1 } }),
    expected: [],
  },
  { name: 'cancel of an unknown id', input: cancel({ requestId: 99 }), expected: [] },
  { name: 'cancel of a finished id', input: withId('6') + cancel({ requestId: 6 }), expected: ['6: ok'] },
  { name: 'cancel without an id', input: cancel({}), expected: [] },
  { name: 'cancel without params', input: line({ method: 'notifications/cancelled' }), expected: [] },
  { name: 'cancel of an object', input: cancel({ requestId: { a: 1 } }), expected: [] },
  { name: 'cancel of null', input: cancel({ requestId: null }), expected: [] },
  {
    name: 'cancel as a request',
    input: modern(3, 'notifications/cancelled', { requestId: 1 }),
    expected: ['3: -32601'],
  },
  {
    name: 'version without capabilities',
    input: modern(3, 'tools/list', {}, { [version]: '2026-07-28' }),
    expected: ['3: -32602'],
    says: /clientCapabilities/,
  },
  {
    name: 'capabilities without version',
    input: modern(3, 'tools/list', {}, { [capabilities]: {} }),
    expected: ['3: -32602'],
    says: /protocolVersion/,
  },
  {
    name: 'capabilities that are no object',
    input: modern(3, 'tools/list', {}, { [version]: '2026-07-28', [capabilities]: true }),
    expected: ['3: -32602'],
  },
  {
    name: 'a version that is no string',
    input: modern(3, 'tools/list', {}, { [version]: 20260728, [capabilities]: {} }),
    expected: ['3: -32602'],
  },
  {
    name: 'a version that nobody knows',
    input: modern(3, 'tools/list', {}, { [version]: '2099-01-01', [capabilities]: {} }),
    expected: ['3: -32022'],
    says: /"supported":\["2026-07-28"\],"requested":"2099-01-01"/,
  },
  {
    name: 'a handshake version in _meta',
    input: modern(3, 'server/discover', {}, { [version]: '2025-11-25', [capabilities]: {} }),
    expected: ['3: -32022'],
  },
  { name: 'discover without params', input: line({ id: 3, method: 'server/discover' }), expected: ['3: -32602'] },
  {
    name: 'discover without _meta',
    input: line({ id: 3, method: 'server/discover', params: {} }),
    expected: ['3: -32602'],
  },
  {
    name: 'discover with _meta a string',
    input: line({ id: 3, method: 'server/discover', params: { _meta: 'x' } }),
    expected: ['3: -32602'],
  },
  { name: 'unknown tool', input: call(3, 'noSuchTool', {}), expected: ['3: -32602'], says: /createCompletion/ },
  { name: 'tool of an inherited name', input: call(3, 'toString', {}), expected: ['3: -32602'] },
  { name: 'no tool', input: call(3, undefined, {}), expected: ['3: -32602'] },
  { name: 'tool a number', input: call(3, 5, {}), expected: ['3: -32602'] },
  { name: 'Name', input: modern(3, 'tools/call', { Name: 'listModels' }), expected: ['3: -32602'] },
  { name: 'arguments a string', input: call(3, 'listModels', 'x'), expected: ['3: -32602'] },
  { name: 'arguments an array', input: call(3, 'listModels', []), expected: ['3: -32602'] },
  { name: 'arguments null', input: call(3, 'listModels', null), expected: ['3: -32602'] },
  { name: 'a cursor that we never gave', input: modern(3, 'tools/list', { cursor: 'x' }), expected: ['3: -32602'] },
  {
    name: 'argument of the wrong type',
    input: call(3, 'createCompletion', { prompt: 5 }),
    expected: ['3: invalid_request'],
    says: /prompt/,
  },
  {
    name: 'argument out of bounds',
    input: call(3, 'createCompletion', { prompt: 'x', temperature: 9 }),
    expected: ['3: invalid_request'],
    says: /temperature/,
  },
  {
    name: 'unknown argument',
    input: call(3, 'createCompletion', { prompt: 'x', temprature: 1 }),
    expected: ['3: invalid_request'],
    says: /temprature.*nearest.*temperature/,
  },
  {
    name: 'argument __proto__',
    input: call(3, 'createCompletion', JSON.parse('{"prompt":"x","__proto__":{"a":1}}')),
    expected: ['3: invalid_request'],
    says: /__proto__/,
  },
  {
    name: 'a base URL as argument',
    input: call(3, 'createCompletion', { prompt: 'x', base_url: 'http://127.0.0.1:1/' }),
    expected: ['3: invalid_request'],
    says: /base_url/,
  },
  {
    name: 'missing argument',
    input: call(3, 'createEmbedding', {}),
    expected: ['3: invalid_request'],
    says: /input/,
  },
  {
    name: 'neither prompt nor messages',
    input: call(3, 'createCompletion', {}),
    expected: ['3: invalid_request'],
    says: /prompt.*messages/,
  },
]

function cancel(params: object): string {
  return line({ method: 'notifications/cancelled', params })
}

const noBatch: readonly Row[] = [
  { name: 'batch', input: `[${withId('1').trim()}]\n`, expected: ['no id: -32600'] },
  { name: 'batch of a notification', input: `[${line({ method: 'x' }).trim()}]\n`, expected: ['no id: -32600'] },
  { name: 'empty batch', input: '[]\n', expected: ['no id: -32600'] },
]

const initialize = (id: number, params: object) => line({ id, method: 'initialize', params })
const opening = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'x', version: '1' } }

const beforeInitialize: readonly Row[] = [
  {
    name: 'a message of three hundred levels, its id behind them',
    input: `{"method":"ping","params":{"a":${nested(300)}},"jsonrpc":"2.0","id":1}\n`,
    expected: ['1: -32600'],
  },
  { name: 'ping', input: withId('1'), expected: ['1: ok'] },
  { name: 'discover', input: modern(1, 'server/discover'), expected: ['1: ok'] },
  { name: 'a request of 2026-07-28', input: modern(1, 'tools/list'), expected: ['1: ok'] },
  { name: 'tools/list', input: line({ id: 1, method: 'tools/list' }), expected: ['1: -32600'], says: /initialize/ },
  {
    name: 'tools/call',
    input: line({ id: 1, method: 'tools/call', params: { name: 'listModels' } }),
    expected: ['1: -32600'],
  },
  { name: 'an unknown method', input: line({ id: 1, method: 'no/such' }), expected: ['1: -32600'] },
  { name: 'initialize without params', input: line({ id: 1, method: 'initialize' }), expected: ['1: -32602'] },
  { name: 'initialize without version', input: initialize(1, { capabilities: {} }), expected: ['1: -32602'] },
  {
    name: 'initialize with a version that is no string',
    input: initialize(1, { protocolVersion: 1 }),
    expected: ['1: -32602'],
  },
  {
    name: 'initialize as 2026-07-28',
    input: modern(1, 'initialize', opening),
    expected: ['1: -32601'],
  },
]

const inSession: readonly Row[] = [
  { name: 'a second initialize', input: initialize(1, opening), expected: ['1: -32600'] },
  {
    name: 'and with another version',
    input: initialize(1, { ...opening, protocolVersion: '2024-11-05' }),
    expected: ['1: -32600'],
  },
  { name: 'unknown method', input: line({ id: 1, method: 'no/such' }), expected: ['1: -32601'] },
  { name: 'resources/list', input: line({ id: 1, method: 'resources/list' }), expected: ['1: -32601'] },
  {
    name: 'unknown tool',
    input: line({ id: 1, method: 'tools/call', params: { name: 'x' } }),
    expected: ['1: -32602'],
  },
  { name: 'tools/call without params', input: line({ id: 1, method: 'tools/call' }), expected: ['1: -32602'] },
  {
    name: 'bad arguments',
    input: line({ id: 1, method: 'tools/call', params: { name: 'createCompletion', arguments: { prompt: [] } } }),
    expected: ['1: invalid_request'],
    says: /prompt/,
  },
  { name: 'cancel of initialize', input: cancel({ requestId: 1000 }), expected: [] },
]

const states: { name: string; revision?: string; rows: readonly Row[] }[] = [
  { name: 'before any opening', rows: [...anyState, ...noBatch, ...beforeInitialize] },
  { name: 'in a session of 2025-11-25', revision: '2025-11-25', rows: [...anyState, ...noBatch, ...inSession] },
  { name: 'in a session of 2025-03-26', revision: '2025-03-26', rows: [...anyState, ...inSession] },
]
for (const { name, revision, rows } of states) {
  test(name, async (t) => {
    const upstream = await upstreamFor(t, () => {})
    const gateway = gatewayFor(t, pointedAt(upstream))
    if (revision) await handshake(gateway, revision)
    for (const row of rows) await t.test(row.name, () => check(gateway, row))
    assert.equal(upstream.requests.length, 0, 'nothing of this may reach a provider')
    assert.deepEqual(await gateway.end(), { code: 0, signal: null })
  })
}

test('batches where they exist (2025-03-26)', async (t) => {
  const gateway = gatewayFor(t)
  await handshake(gateway, '2025-03-26')
  const ping = (id: number) => withId(String(id)).trim()
  const note = line({ method: 'notifications/initialized' }).trim()
  const rows: Row[] = [
    { name: 'one', input: `[${ping(1)}]\n`, expected: ['[1: ok]'] },
    { name: 'several', input: `[${ping(1)},${note},${ping(2)}]\n`, expected: ['[1: ok, 2: ok]'] },
    { name: 'notifications alone', input: `[${note},${note}]\n`, expected: [] },
    { name: 'empty', input: '[]\n', expected: ['no id: -32600'] },
    { name: 'what is no message', input: `[1,${ping(2)}]\n`, expected: ['[no id: -32600, 2: ok]'] },
    { name: 'one in another', input: `[[${ping(1)}]]\n`, expected: ['[no id: -32600]'] },
    { name: 'initialize', input: `[${initialize(1, opening).trim()}]\n`, expected: ['[1: -32600]'] },
    { name: 'too many', input: `[${Array(200).fill(note).join(',')}]\n`, expected: ['no id: -32600'] },
  ]
  for (const row of rows) await t.test(row.name, () => check(gateway, row))
})

test('long lines', { timeout: 60_000 }, async (t) => {
  const gateway = gatewayFor(t)
  const open = '{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":"'
  const rows: Row[] = [
    { name: '1 MB', input: padded(1), expected: ['1: ok'] },
    { name: '9 MB', input: padded(9), expected: ['1: ok'] },
    { name: '11 MB', input: padded(11), expected: ['1: ok'] },
    { name: '31 MB', input: padded(31), expected: ['1: ok'] },
    { name: '33 MB', input: padded(33), expected: ['1: -32600'] },
    { name: '33 MB of garbage', input: `${'['.repeat(33 * mib)}\n`, expected: ['no id: -32600'] },
    {
      name: '100 MB',
      input: Buffer.concat([Buffer.from(open), Buffer.alloc(100 * mib, 'x'), Buffer.from('"}}\n')]),
      expected: ['1: -32600'],
    },
  ]
  for (const row of rows) await t.test(row.name, () => check(gateway, row))
})

const ends: Row[] = [
  { name: 'a last line without newline', input: withId('1').trim(), expected: ['1: ok'] },
  { name: 'a last line that is cut off', input: withId('1').slice(0, 20), expected: ['no id: -32700'] },
  { name: 'a BOM before everything', input: `\ufeff${withId('1')}`, expected: ['1: ok'] },
  { name: 'nothing but a BOM', input: '\ufeff', expected: [] },
  { name: 'nothing', input: '', expected: [] },
]
for (const { name, input, expected } of ends) {
  test(`the whole input is ${name}`, async (t) => {
    const gateway = gatewayFor(t)
    gateway.send(input)
    assert.deepEqual(await gateway.end(), { code: 0, signal: null })
    assert.deepEqual(gateway.messages.map(said), expected)
    assert.deepEqual(gateway.garbage, [])
  })
}

test('what stands twice in flight', async (t) => {
  const release = gate()
  const upstream = await upstreamFor(
    t,
    chatScript({
      async first(response) {
        beginStream(response, 'one')
        await release.opened
        response.end(streamEnd)
      },
    }),
  )
  const gateway = gatewayFor(t, pointedAt(upstream))
  const completion = (id: string | number, progressToken: string | number, prompt = 'second') =>
    modern(id, 'tools/call', { name: 'createCompletion', arguments: { prompt } }, { ...modernMeta, progressToken })
  gateway.send(completion('call', 'token', 'first'))
  await gateway.find(({ method }) => method === 'notifications/progress')

  const rows: Row[] = [
    { name: 'an id, with the same request', input: completion('call', 'other'), expected: ['"call": -32600'] },
    { name: 'an id, with another request', input: modern('call', 'tools/list'), expected: ['"call": -32600'] },
    { name: 'a progress token', input: completion('another', 'token'), expected: ['"another": -32602'] },
  ]
  for (const row of rows) await t.test(row.name, () => check(gateway, row))

  await t.test('the first is unaffected', async () => {
    release.open()
    const answer = await gateway.find(({ id, result }) => id === 'call' && result !== undefined)
    assert.equal(at(answer, 'result', 'content', 0, 'text'), 'one')
    assert.equal(upstream.requests.length, 1)
  })
  await t.test('id and token are free again', async () => {
    const messages = await heard(gateway, completion('call', 'token'), 1)
    assert.deepEqual(messages.map(said), ['"call": invalid_request'])
    assert.equal(upstream.requests.length, 2)
  })
})

test('only what was understood goes on to the provider', async (t) => {
  const upstream = await upstreamFor(t, (_, response) => {
    beginStream(response, 'fine')
    response.end(streamEnd)
  })
  const gateway = gatewayFor(t, pointedAt(upstream))
  const meta = JSON.stringify(modernMeta)
  const rows: { name: string; params: string; prompt: string }[] = [
    {
      name: 'duplicate keys: the last wins, everywhere',
      params: `"name":"listModels","name":"createCompletion","arguments":{"prompt":"evil","prompt":"good"}`,
      prompt: 'good',
    },
    {
      name: 'another case is another name',
      params: `"name":"createCompletion","Name":"listModels","arguments":{"prompt":"good"},"Arguments":{"prompt":"evil"}`,
      prompt: 'good',
    },
    {
      name: 'every character arrives as it is',
      params: `"name":"createCompletion","arguments":{"prompt":"é 漢 😀 \\u0000 \\u2028 \\ud83d\\ude00 \\\\ \\""}`,
      prompt: 'é 漢 😀 \0 \u2028 😀 \\ "',
    },
  ]
  for (const [index, { name, params, prompt }] of rows.entries()) {
    await t.test(name, async () => {
      const messages = await heard(
        gateway,
        `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"_meta":${meta},${params}}}\n`,
        1,
      )
      assert.deepEqual(messages.map(said), ['1: ok'])
      const received = upstream.requests[index] ?? assert.fail('nothing arrived')
      assert.equal(promptOf(received), prompt)
      assert.doesNotMatch(received.body, /evil|listModels/)
    })
  }
})

test('three thousand mutants of good messages', { timeout: 30_000 }, async (t) => {
  const gateway = gatewayFor(t)
  const good = [
    withId('1'),
    initialize(2, opening),
    modern('three', 'tools/list'),
    modern(4, 'server/discover'),
    call(5, 'createCompletion', { prompt: 'hi', temperature: 1, stop: ['a'] }),
    call(6, 'listModels', {}),
    cancel({ requestId: 5 }),
    `[${withId('7').trim()}]\n`,
  ].map((text) => Buffer.from(text))
  const flips = fc.array(fc.tuple(fc.nat(), fc.nat(7)), { minLength: 1, maxLength: 4 })
  const mutants = fc.tuple(fc.constantFrom(...good), flips).map(([original, places]) => {
    const mutant = Buffer.from(original)
    for (const [place, bit] of places) {
      const index = place % (mutant.length - 1)
      mutant[index] = (mutant[index] ?? 0) ^ (1 << bit)
    }
    return mutant
  })
  const seed = Date.now() % 2 ** 31
  t.diagnostic(`seed ${seed}`)
  const lines = fc.sample(mutants, { numRuns: 3_000, seed })
  const messages = await heard(gateway, Buffer.concat(lines), 0)
  assert.deepEqual(gateway.garbage, [])
  const newlines = lines.reduce((total, mutant) => total + mutant.toString('latin1').split('\n').length - 1, 0)
  assert.ok(messages.length <= newlines, 'no line has two answers')
  assert.deepEqual(await gateway.end(), { code: 0, signal: null })
})
