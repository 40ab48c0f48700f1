import type { Check } from '../check.ts'
import type { Driver } from '../driver.ts'
import { messagesOf } from '../history.ts'
import { inShort, repliesTo } from '../replies.ts'
import { nobody, ok } from '../scenes.ts'

/** Lines and values of sizes that nobody needs. */

const mebibyte = 1024 * 1024
const before = '{"jsonrpc":"2.0","id":7,"method":"ping","params":{"x":'
const line = (value: string) => `${before}${value}}}\n`

const shapes: Readonly<Record<string, () => { text: string; replies: readonly string[] }>> = {
  ...Object.fromEntries(
    [100, 1000, 10_000, 100_000, 1_000_000].map((depth) => [
      `depth ${depth}`,
      () => ({ text: '['.repeat(depth) + ']'.repeat(depth), replies: depth > 250 ? ['-32600 7'] : ['ok 7'] }),
    ]),
  ),
  'a million keys': () => ({
    text: `{${Array.from({ length: 1_000_000 }, (_, at) => `"k${at}":0`).join(',')}}`,
    replies: ['ok 7', '-32600 7'],
  }),
  '200 000 keys that are numbers': () => ({
    text: `{${Array.from({ length: 200_000 }, (_, at) => `"${at * 65_536}":0`).join(',')}}`,
    replies: ['ok 7', '-32600 7'],
  }),
  'the number 1e400': () => ({ text: '1e400', replies: ['ok 7', '-32600 7'] }),
  'a number of a million digits': () => ({ text: '9'.repeat(1_000_000), replies: ['ok 7', '-32600 7'] }),
  'keys of a megabyte': () => ({
    text: `{"${'a'.repeat(mebibyte)}":0,"${'b'.repeat(mebibyte)}":0}`,
    replies: ['ok 7', '-32600 7'],
  }),
}

/** A line of so many MiB, written a MiB at a time; resolves when all of it has been handed over. */
async function writeLong(driver: Driver, mebibytes: number, end: boolean): Promise<void> {
  const filler = Buffer.alloc(mebibyte, 0x61)
  await driver.write(`${before}"`)
  for (let at = 0; at < mebibytes; at++) await driver.write(filler)
  if (end) await driver.write('"}}\n')
}

export const sizes: readonly Check[] = [
  {
    id: 'C06',
    what: 'depth to a million, a million keys, keys that collide, numbers without end',
    alone: true,
    heavy: true,
    async run(stage) {
      const gateway = await stage.gateway({ providers: { a: { at: nobody } }, rssMb: 1200 })
      let worst = { what: '', ms: 0 }
      for (const [what, make] of Object.entries(shapes)) {
        const { text, replies } = make()
        const from = gateway.history.lines.length
        await gateway.write(line(text))
        const { message, tookMs } = await gateway.request('ping', {}, { patienceMs: 20_000 })
        stage.expect(message !== undefined, `${what}: nothing more was answered`)
        const said = inShort(gateway.history.lines.slice(from).flatMap(messagesOf).slice(0, -1))
        stage.expect(replies.includes(said), `${what}: ${said}`)
        stage.expect(tookMs < 200, `${what}: what stood behind it waited ${Math.round(tookMs)} ms, 200 are allowed`)
        if (tookMs > worst.ms) worst = { what, ms: tookMs }
      }
      return `the longest wait ${Math.round(worst.ms)} ms, behind ${worst.what}`
    },
  },
  {
    id: 'C07',
    what: 'lines of 1, 31, 33, 100 and 600 MiB, and 100 MiB that do not end',
    alone: true,
    heavy: true,
    async run(stage) {
      const upstream = await stage.upstream((exchange) => ok(exchange))
      const gateway = await stage.gateway({ providers: { a: { at: upstream } } })
      await gateway.ask()
      const base = gateway.peakRssMb()
      for (const mebibytes of [33, 100, 600]) {
        const from = gateway.history.lines.length
        await writeLong(gateway, mebibytes, true)
        const { message } = await gateway.request('ping', {}, { patienceMs: 30_000 })
        stage.expect(message !== undefined, `${mebibytes} MiB: nothing more was answered`)
        stage.equal(
          inShort(gateway.history.lines.slice(from).flatMap(messagesOf).slice(0, -1)),
          '-32600 7',
          `${mebibytes} MiB`,
        )
      }
      await writeLong(gateway, 100, false)
      const [unended] = await repliesTo(gateway, ['\n'])
      stage.equal(inShort(unended ?? []), '-32600 7', '100 MiB and then a newline')
      const grown = gateway.peakRssMb() - base
      stage.expect(grown < 64, `lines that are too long took ${Math.round(grown)} MB of memory, 64 are allowed`)
      const paces: string[] = []
      for (const mebibytes of [1, 31]) {
        const startMs = performance.now()
        const from = gateway.history.lines.length
        await writeLong(gateway, mebibytes, true)
        await gateway.request('ping', {}, { patienceMs: 30_000 })
        const pace = (performance.now() - startMs) / mebibytes
        stage.equal(
          inShort(gateway.history.lines.slice(from).flatMap(messagesOf).slice(0, -1)),
          'ok 7',
          `${mebibytes} MiB`,
        )
        stage.expect(pace < 15, `${mebibytes} MiB: ${pace.toFixed(1)} ms a MiB, 15 are allowed`)
        paces.push(`${pace.toFixed(1)} ms a MiB`)
      }
      return `+${Math.round(grown)} MB; ${paces.join(', ')}`
    },
  },
  {
    id: 'C08',
    what: '10 000 messages with bits flipped, bytes lost, doubled and put in',
    heavy: true,
    async run(stage) {
      const upstream = await stage.upstream((exchange) => ok(exchange))
      const gateway = await stage.gateway({ providers: { a: { at: upstream, maxRetries: 0 } }, era: '2025-11-25' })
      const sound = [
        { id: 'm1', method: 'ping' },
        { id: 'm2', method: 'tools/list', params: {} },
        {
          id: 'm3',
          method: 'tools/call',
          params: {
            name: 'createCompletion',
            arguments: { prompt: 'hi', temperature: 0.5 },
            _meta: { progressToken: 'm3' },
          },
        },
        { id: 'm4', method: 'tools/call', params: { name: 'listModels', arguments: { search: 'x' } } },
        { method: 'notifications/cancelled', params: { requestId: 'm3' } },
        {
          id: 'm5',
          method: 'server/discover',
          params: {
            _meta: {
              'io.modelcontextprotocol/protocolVersion': '2026-07-28',
              'io.modelcontextprotocol/clientCapabilities': {},
            },
          },
        },
      ].map((message) => Buffer.from(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`))
      const mutants = Array.from({ length: 10_000 }, () => {
        const bytes = Buffer.from(stage.random.pick(sound))
        for (let times = 1 + stage.random.below(3); times > 0; times--) {
          const at = stage.random.below(bytes.length - 1)
          bytes[at] = (bytes[at] as number) ^ (1 << stage.random.below(8))
        }
        const at = stage.random.below(bytes.length - 1)
        const kind = stage.random.below(4)
        if (kind === 0) return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)])
        if (kind === 1) return Buffer.concat([bytes.subarray(0, at), stage.random.bytes(3), bytes.subarray(at)])
        if (kind === 2) return Buffer.concat([bytes.subarray(0, at), bytes.subarray(Math.max(0, at - 8))])
        return bytes
      })
      for (let from = 0; from < mutants.length; from += 100) {
        await gateway.write(Buffer.concat(mutants.slice(from, from + 100)))
        const { message } = await gateway.request('ping', {}, { patienceMs: 20_000 })
        if (!message) throw new Error(`no answer behind the mutants from ${from} on: ${gateway.stderr().slice(-200)}`)
      }
      return `${mutants.length} mutants, ${gateway.history.lines.length} lines in answer`
    },
  },
]
