import { modernMeta } from '../../../spec/harness/gateway.ts'
import type { Check } from '../check.ts'
import { createCorpus } from '../json-corpus.ts'
import { inShort, repliesTo } from '../replies.ts'
import { nobody, ok } from '../scenes.ts'
import type { Stage } from '../stage.ts'

/** Lines on stdin that are no JSON, no messages, or not what a client may say. */

const line = (value: unknown) => `${JSON.stringify(value)}\n`
const request = (more: object) => line({ jsonrpc: '2.0', id: 7, method: 'ping', ...more })

/** Inputs of one line and what must be said to each. */
type Table = Readonly<Record<string, [input: string | Buffer, reply: string]>>

async function expectReplies(
  stage: Stage,
  table: Table,
  era: '2025-11-25' | '2026-07-28' = '2025-11-25',
): Promise<undefined> {
  const gateway = await stage.gateway({ providers: { a: { at: nobody } }, era })
  const replies = await repliesTo(
    gateway,
    Object.values(table).map(([input]) => input),
  )
  for (const [at, [what, [, reply]]] of Object.entries(table).entries())
    stage.equal(inShort(replies[at] ?? []), reply, what)
  return undefined
}

const malformed: Table = {
  garbage: ['garbage\n', '-32700'],
  'half a message': ['{"jsonrpc":"2.0","id":7,"method":\n', '-32700'],
  'an empty object': ['{}\n', '-32600'],
  null: ['null\n', '-32600'],
  'a number': ['42\n', '-32600'],
  'a string': ['"x"\n', '-32600'],
  'a boolean': ['true\n', '-32600'],
  'no version': [line({ id: 7, method: 'ping' }), '-32600 7'],
  'version 1.0': [request({ jsonrpc: '1.0' }), '-32600 7'],
  'version as a number': [request({ jsonrpc: 2 }), '-32600 7'],
  'no method': [line({ jsonrpc: '2.0', id: 7 }), '-32600 7'],
  'a method that is a number': [request({ method: 5 }), '-32600 7'],
  'a method that is null': [request({ method: null }), '-32600 7'],
  'a method that is an object': [request({ method: {} }), '-32600 7'],
  'params that are a string': [request({ params: 'x' }), '-32600 7'],
  'params that are a number': [request({ params: 1 }), '-32600 7'],
  'params that are a list': [request({ params: [1] }), '-32600 7'],
  'params that are null': [request({ params: null }), '-32600 7'],
  'an unknown member': [request({ extra: { a: 1 } }), 'ok 7'],
  'a method in other case': [line({ jsonrpc: '2.0', id: 7, Method: 'ping' }), '-32600 7'],
  'an id in other case': [line({ jsonrpc: '2.0', ID: 7, method: 'ping' }), ''],
  'an unknown method': [request({ method: 'no/such' }), '-32601 7'],
  'a method of Object': [request({ method: 'constructor' }), '-32601 7'],
  'an empty method': [request({ method: '' }), '-32601 7'],
  'a call without a name': [request({ method: 'tools/call', params: {} }), '-32602 7'],
  'an unknown tool': [request({ method: 'tools/call', params: { name: 'none', arguments: {} } }), '-32602 7'],
  'arguments that are a list': [
    request({ method: 'tools/call', params: { name: 'listModels', arguments: [] } }),
    '-32602 7',
  ],
}

const longest = 'i'.repeat(1024)
const ids: Table = {
  null: [request({ id: null }), '-32600'],
  'a fraction': [request({ id: 1.5 }), '-32600'],
  true: [request({ id: true }), '-32600'],
  'an object': [request({ id: {} }), '-32600'],
  'a list': [request({ id: [1] }), '-32600'],
  '1e999': ['{"jsonrpc":"2.0","id":1e999,"method":"ping"}\n', '-32600'],
  '2^53 + 1': ['{"jsonrpc":"2.0","id":9007199254740993,"method":"ping"}\n', '-32600'],
  'the largest': [request({ id: 9007199254740991 }), 'ok 9007199254740991'],
  negative: [request({ id: -3 }), 'ok -3'],
  zero: [request({ id: 0 }), 'ok 0'],
  'an empty text': [request({ id: '' }), 'ok ""'],
  'a text of digits': [request({ id: '7' }), 'ok "7"'],
  'a KiB': [request({ id: longest }), `ok "${longest}"`],
  'more than a KiB': [request({ id: `${longest}i` }), '-32600'],
  'a megabyte': [request({ id: 'i'.repeat(1024 * 1024) }), '-32600'],
}

const bom = Buffer.from([0xef, 0xbb, 0xbf])
const ping = request({})
const framing: Table = {
  'carriage return and line feed': [ping.replace('\n', '\r\n'), 'ok 7'],
  'NUL before': [`\u0000${ping}`, '-32700'],
  'NUL behind': [ping.replace('\n', '\u0000\n'), '-32700'],
  'a blank line': ['\n', ''],
  blanks: ['  \t \n', ''],
  'blank with carriage return': ['\r\n', ''],
  'a bare carriage return': [ping.replace('\n', '\r') + ping, '-32700'],
  'BOM on a later line': [Buffer.concat([bom, Buffer.from(ping)]), '-32700'],
  'blanks around': [`  ${ping.trimEnd()}  \n`, 'ok 7'],
  'two messages on a line': [ping.trimEnd() + ping, '-32700'],
}

const response = line({ jsonrpc: '2.0', id: 99, result: {} })
const protocol: Table = {
  'a batch': [line([{ jsonrpc: '2.0', id: 7, method: 'ping' }]), '-32600'],
  'an empty batch': ['[]\n', '-32600'],
  'a stray response': [response, ''],
  'a stray error': [line({ jsonrpc: '2.0', id: 99, error: { code: 1, message: 'x' } }), ''],
  'a stray error without an id': [line({ jsonrpc: '2.0', error: { code: 1, message: 'x' } }), ''],
  'an unknown notification': [line({ jsonrpc: '2.0', method: 'notifications/none' }), ''],
  'a notification with odd params': [line({ jsonrpc: '2.0', method: 'notifications/cancelled', params: [1] }), ''],
}

const modern = (meta: object) => request({ method: 'tools/list', params: { _meta: meta } })
const eras: Table = {
  'a request before initialize': [request({ method: 'tools/list' }), '-32600 7'],
  ping: [request({}), 'ok 7'],
  'no capabilities': [modern({ 'io.modelcontextprotocol/protocolVersion': '2026-07-28' }), '-32602 7'],
  'an unknown version': [
    modern({ ...modernMeta, 'io.modelcontextprotocol/protocolVersion': '2031-01-01' }),
    '-32022 7',
  ],
  'a version that is a number': [modern({ ...modernMeta, 'io.modelcontextprotocol/protocolVersion': 5 }), '-32602 7'],
  'all that is needed': [modern(modernMeta), 'ok 7'],
}

export const lines: readonly Check[] = [
  {
    id: 'C01',
    what: 'JSON and what looks like it, of which it is known by construction which is which',
    async run(stage) {
      const corpus = createCorpus(stage.random)
      const gateway = await stage.gateway({ providers: { a: { at: nobody } } })
      const bare = await repliesTo(
        gateway,
        corpus.map(({ text }) => Buffer.concat([text, Buffer.from('\n')])),
      )
      const inside = await repliesTo(
        gateway,
        corpus.map(({ text }) =>
          Buffer.concat([
            Buffer.from('{"jsonrpc":"2.0","id":7,"method":"ping","params":{"x":'),
            text,
            Buffer.from('}}\n'),
          ]),
        ),
      )
      for (const [at, { text, valid }] of corpus.entries()) {
        const shown = JSON.stringify(text.toString('latin1'))
        // Valid JSON that is no request is told so; the member `params` of a ping is nobody's business.
        stage.equal(inShort(bare[at] ?? []), valid ? '-32600' : '-32700', `the line ${shown}`)
        stage.equal(inShort(inside[at] ?? []), valid ? 'ok 7' : '-32700', `inside a request, ${shown}`)
      }
      return `${corpus.filter(({ valid }) => valid).length} valid and ${corpus.filter(({ valid }) => !valid).length} invalid texts, bare and inside a request`
    },
  },
  {
    id: 'C02',
    what: `${Object.keys(malformed).length} malformed messages: one error each, with the id where there is one`,
    run: (stage) => expectReplies(stage, malformed),
  },
  { id: 'C03', what: 'ids of every type and size', run: (stage) => expectReplies(stage, ids) },
  {
    id: 'C04',
    what: 'byte order marks, line ends, NUL, blank lines, a last line without an end',
    async run(stage) {
      await expectReplies(stage, framing)
      for (const [last, reply] of [
        [ping.trimEnd(), 'ok 7'],
        ['{"jsonrpc":', '-32700'],
      ] as const) {
        const gateway = await stage.gateway({ providers: { a: { at: nobody } } })
        const before = gateway.history.lines.length
        await gateway.write(last)
        await gateway.end()
        stage.mayEnd(gateway)
        stage.equal(
          inShort(gateway.history.lines.slice(before).map(({ bytes }) => JSON.parse(bytes.toString()))),
          reply,
          `${last} and the end of input`,
        )
      }
      return undefined
    },
  },
  {
    id: 'C05',
    what: 'bytes that are no UTF-8 in the arguments of a call',
    async run(stage) {
      const upstream = await stage.upstream((exchange) => ok(exchange))
      const gateway = await stage.gateway({ providers: { a: { at: upstream } }, era: '2025-11-25' })
      const call = (bytes: readonly number[]) => {
        const [before = '', after = ''] = request({
          method: 'tools/call',
          params: { name: 'createCompletion', arguments: { prompt: 'XX' } },
        }).split('XX')
        return Buffer.concat([Buffer.from(before), Buffer.from(bytes), Buffer.from(after)])
      }
      const spellings = [[0xff], [0xc3, 0x28], [0xed, 0xa0, 0x80], [0xf0, 0x9f], [0xc0, 0x80], [0xf5, 0x80, 0x80, 0x80]]
      for (const reply of await repliesTo(gateway, spellings.map(call))) stage.equal(inShort(reply), '-32700', 'reply')
      stage.equal(upstream.exchanges.length, 0, 'requests that the upstream saw')
      return undefined
    },
  },
  {
    id: 'C09',
    what: 'batches, stray responses, notifications, requests before their time, versions',
    async run(stage) {
      await expectReplies(stage, protocol)
      await expectReplies(stage, eras, '2026-07-28')
      const gateway = await stage.gateway({ providers: { a: { at: nobody } }, era: '2025-11-25' })
      const again = await gateway.request('initialize', {
        protocolVersion: '2025-11-25',
        capabilities: {},
        clientInfo: { name: 'x', version: '1' },
      })
      stage.equal(again.message?.error?.code, -32600, 'a second initialize')
      const unknown = await gateway.request('tools/list', {
        _meta: { ...modernMeta, 'io.modelcontextprotocol/protocolVersion': '2031-01-01' },
      })
      const { supported } = (unknown.message?.error?.data ?? {}) as { supported?: unknown[] }
      stage.equal(supported?.includes('2026-07-28'), true, 'supported versions in -32022')
      return undefined
    },
  },
]
