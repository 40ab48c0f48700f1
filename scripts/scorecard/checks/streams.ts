import type { Check } from '../check.ts'
import type { Answer } from '../driver.ts'
import { createFramings } from '../framings.ts'
import { expectFault } from '../scenes.ts'
import { delay, type Stage, sideBySide } from '../stage.ts'
import type { Exchange } from '../upstream.ts'
import {
  bytesOf,
  chunk,
  type Dialect,
  dialects,
  head,
  lastChunk,
  openaiEvent,
  type Piece,
  piecesOf,
  typeOf,
} from '../wire.ts'

/** Faults within the answer: cut, without its end, with errors inside, cut in odd places, or full of nonsense. */

const streamHead = (dialect: Dialect, more: Record<string, string> = { connection: 'close' }) =>
  head(200, { 'content-type': typeOf(dialect), ...more })

/** The text of the pieces that are complete within so many bytes; the last line of NDJSON needs no newline. */
export function textWithin(dialect: Dialect, pieces: readonly Piece[], length: number): string {
  const needless = dialect === 'ollama' ? 1 : 0
  let end = 0
  const whole = pieces.filter(({ bytes }) => {
    end += Buffer.byteLength(bytes)
    return end - needless <= length
  })
  return whole.map(({ text }) => text).join('')
}

/** A call's outcome where its stream was cut: whole only if it could be known to be, and else exactly what had come. */
function expectCut(
  stage: Stage,
  what: string,
  seen: Answer,
  text: string,
  { lossy, ended }: { lossy: boolean; ended: boolean },
): void {
  if (!seen.isError && seen.message?.result) {
    stage.expect(ended, `${what}: a cut answer was called complete`)
    return stage.equal(seen.text, text, what)
  }
  stage.expect(['truncated', 'network', 'invalid_response'].includes(seen.code ?? ''), `${what}: code ${seen.code}`)
  // A reset makes the system throw away bytes that had arrived: what is delivered is a beginning of what was sent.
  if (lossy) stage.expect(text.startsWith(seen.text), `${what}: ${JSON.stringify(seen.text)} is no beginning`)
  else stage.equal(seen.text, text, `${what}: the partial answer`)
}

const failing: Readonly<Record<Exclude<Dialect, 'azure'>, string>> = {
  openai: 'data: {"error":{"message":"the server had an error","type":"server_error"}}\n\n',
  anthropic: 'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n',
  ollama: '{"error":"an error was encountered while running the model"}\n',
}

/** The event that ends a dialect's answer, and the one that gives its reason. */
const endings: Readonly<Record<Dialect, number>> = { openai: 2, azure: 2, anthropic: 3, ollama: 1 }

export const streams: readonly Check[] = [
  {
    id: 'U09',
    what: 'the connection ends or breaks after each byte of a stream, in four dialects',
    heavy: true,
    async run(stage) {
      let calls = 0
      await sideBySide(dialects, 2, async (dialect) => {
        const pieces = piecesOf(dialect, ['Grüße', ', ', '世界 ', 'and more.'])
        const body = Buffer.from(bytesOf(pieces))
        const reasonAt = Buffer.byteLength(bytesOf(pieces.slice(0, 1 - endings[dialect] || undefined)))
        const cuts = Array.from({ length: 2 * body.length }, (_, at) => ({
          at: at >> 1,
          fault: at % 2 ? ('reset' as const) : ('finish' as const),
        }))
        const upstream = await stage.upstream(async (exchange) => {
          const [, at = 0, fault] = /^cut (\d+) (\w+)/.exec(exchange.prompt) ?? []
          const part = body.subarray(0, Number(at))
          const chunked = Number(at) % 3 === 1
          await exchange.send(
            streamHead(dialect, chunked ? { 'transfer-encoding': 'chunked' } : { connection: 'close' }),
          )
          if (part.length > 0) await exchange.send(chunked ? chunk(part) : part)
          if (fault === 'reset') await delay(2)
          exchange[fault as 'finish' | 'reset']()
        })
        const gateway = await stage.gateway({ providers: { a: { at: upstream, type: dialect, maxRetries: 0 } } })
        await sideBySide(cuts, 16, async ({ at, fault }) => {
          const seen = await gateway.ask({ prompt: `cut ${at} ${fault} ${dialect}` })
          calls += 1
          expectCut(
            stage,
            `${dialect}, ${fault} after ${at} of ${body.length} bytes`,
            seen,
            textWithin(dialect, pieces, at),
            {
              lossy: fault === 'reset',
              ended: at >= reasonAt - 1,
            },
          )
        })
      })
      return `${calls} cuts`
    },
  },
  {
    id: 'U10',
    what: 'no end marker; garbage behind it; no end of the body behind it',
    timed: true,
    async run(stage) {
      await sideBySide(dialects, 4, async (dialect) => {
        const pieces = piecesOf(dialect, ['one ', 'two'])
        let endedMs = 0
        const endless = async (exchange: Exchange) => {
          await exchange.send(streamHead(dialect, {}) + bytesOf(pieces))
          endedMs = performance.now()
        }
        const scripts: Record<string, (exchange: Exchange) => Promise<void>> = {
          open: async (exchange) => {
            await exchange.send(streamHead(dialect) + bytesOf(pieces.slice(0, -endings[dialect])))
            exchange.finish()
          },
          garbage: async (exchange) => {
            await exchange.send(
              `${streamHead(dialect) + bytesOf(pieces)}\u0000 data: {"choices" garbage \n\nevent: x\n\n`,
            )
            exchange.finish()
          },
          endless,
        }
        const upstream = await stage.upstream((exchange) => {
          exchange.owe('one two')
          return scripts[exchange.prompt.split(' ')[0] as string]?.(exchange)
        })
        const gateway = await stage.gateway({
          providers: { a: { at: upstream, type: dialect, maxRetries: 0, timeout: 5 } },
        })
        expectFault(
          stage,
          `${dialect} without its end marker`,
          await gateway.ask({ prompt: `open ${dialect}` }),
          'truncated',
        )
        stage.equal(
          (await gateway.ask({ prompt: `garbage ${dialect}` })).isError,
          false,
          `${dialect} with garbage behind it: isError`,
        )
        const seen = await gateway.ask({ prompt: `endless ${dialect}` })
        const lateMs = performance.now() - endedMs
        stage.expect(
          !seen.isError && lateMs < 100,
          `${dialect} without an end of the body: ${Math.round(lateMs)} ms after the marker, ${seen.code ?? 'ok'}`,
        )
      })
      return undefined
    },
  },
  {
    id: 'U11',
    what: 'an error inside a 200, as the first event and as the fifty-first, for who watches the answer come and who does not',
    async run(stage) {
      const tokens = Array.from({ length: 50 }, (_, at) => `t${at} `)
      await sideBySide(['openai', 'anthropic', 'ollama'] as const, 3, async (dialect) => {
        const upstream = await stage.upstream(async (exchange) => {
          const [when, times] = exchange.prompt.split(' ')
          if (times === 'once' && exchange.attempt > 0) {
            exchange.owe('well')
            await exchange.send(streamHead(dialect) + bytesOf(piecesOf(dialect, ['well'])))
          } else {
            const texts = when === 'late' ? tokens : []
            const before = when === 'late' ? piecesOf(dialect, texts).slice(0, -endings[dialect]) : []
            exchange.owe(texts.join(''))
            await exchange.send(streamHead(dialect) + bytesOf(before) + failing[dialect])
          }
          exchange.finish()
        })
        const gateway = await stage.gateway({ providers: { a: { at: upstream, type: dialect } } })
        const code = dialect === 'anthropic' ? 'overloaded' : 'provider_error'
        const play = async (prompt: string, requests: number, text: string, token?: string) => {
          const what = `${prompt}${token ? ', watched' : ''}`
          const seen = await gateway.ask({ prompt: what }, token ? { token } : {})
          if (prompt.includes('once') && requests === 2)
            stage.equal([seen.isError, seen.structured['attempts']], [false, 2], what)
          else expectFault(stage, what, seen, code, 'stream_error', requests)
          stage.equal(seen.text, text, `${what}: the answer`)
          stage.equal(upstream.calls().filter((one) => one.prompt === what).length, requests, `${what}: requests`)
        }
        // Nothing has been delivered: repeated once, whoever watches.
        await play(`early once ${dialect}`, 2, 'well')
        await play(`early once ${dialect}`, 2, 'well', 'early')
        await play(`early always ${dialect}`, 2, '')
        // What has been watched cannot be taken back; what nobody has seen can.
        await play(`late once ${dialect}`, 1, tokens.join(''), 'late')
        await play(`late once ${dialect}`, 2, 'well')
        await play(`late always ${dialect}`, 2, tokens.join(''))
      })
      return undefined
    },
  },
  {
    id: 'U12',
    what: 'server-sent events cut in every way: line ends, comments, BOM, characters of several bytes',
    heavy: true,
    async run(stage) {
      const framings = createFramings()
      const decoded = await framings.decodeMany(stage.random, 20_000)
      for (const fault of decoded) stage.expect(false, fault)
      const upstream = await stage.upstream(async (exchange) => {
        const { bytes, text } = framings.streams[exchange.number % framings.streams.length] ?? {
          bytes: Buffer.alloc(0),
          text: '',
        }
        exchange.owe(text)
        await exchange.send(streamHead('openai', { 'transfer-encoding': 'chunked' }))
        for (const part of framings.cut(bytes, stage.random)) {
          await exchange.send(chunk(part))
          if (stage.random.below(4) === 0) await delay(0)
        }
        await exchange.send(lastChunk)
      })
      const gateway = await stage.gateway({ providers: { a: { at: upstream, maxRetries: 0 } } })
      await sideBySide(Array(240).fill(0), 8, async () => {
        const seen = await gateway.ask()
        stage.expect(!seen.isError, `a stream cut at random: ${seen.code} ${seen.cause}`)
      })
      return `20000 cuttings decoded in this process, 240 through the built gateway, ${framings.streams.length} streams`
    },
  },
  {
    id: 'U13',
    what: 'nonsense in an event: malformed JSON, wild indices, duplicates, 5 MiB',
    alone: true,
    async run(stage) {
      const call = (index: unknown) =>
        openaiEvent({ tool_calls: [{ index, id: 'c1', type: 'function', function: { name: 'f', arguments: '{}' } }] })
      const close = `${openaiEvent({}, 'tool_calls')}data: [DONE]\n\n`
      const twice = openaiEvent({ content: 'again ' })
      const nonsense: Readonly<Record<string, { body: string; code?: string; text?: string }>> = {
        'malformed JSON': { body: 'data: {"choices":[{"delta":\n\n', code: 'invalid_response' },
        'index -1': { body: call(-1) + close },
        'index 1.5': { body: call(1.5) + close },
        'index 1e9': { body: call(1e9) + close },
        'index __proto__': { body: call('__proto__') + close },
        'index null': { body: call(null) + close },
        'choice 1e9': {
          body: `data: ${JSON.stringify({ choices: [{ index: 1e9, delta: { content: 'x' } }] })}\n\n${openaiEvent({}, 'stop')}data: [DONE]\n\n`,
        },
        'a duplicate event': {
          body: `${twice}${twice}${openaiEvent({}, 'stop')}data: [DONE]\n\n`,
          text: 'again again ',
        },
        'prototype keys': {
          body: `data: {"__proto__":{"polluted":1},"choices":[{"index":0,"delta":{"content":"x","__proto__":{"polluted":1}},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n`,
          text: 'x',
        },
        'an event of 5 MiB': { body: openaiEvent({ content: 'y'.repeat(5 * 1024 * 1024) }), code: 'too_large' },
      }
      const upstream = await stage.upstream(async (exchange) => {
        await exchange.send(streamHead('openai') + (nonsense[exchange.prompt]?.body ?? ''))
        exchange.finish()
      })
      const gateway = await stage.gateway({ providers: { a: { at: upstream, maxRetries: 0 } } })
      await gateway.ask({ prompt: 'a duplicate event' })
      const before = gateway.rssMb()
      for (const [what, { code, text }] of Object.entries(nonsense)) {
        const seen = await gateway.ask({ prompt: what })
        if (code !== undefined) expectFault(stage, what, seen, code)
        if (text !== undefined) stage.equal([seen.isError, seen.text], [false, text], what)
        stage.expect(seen.message?.result !== undefined, `${what}: no result`)
      }
      const grown = gateway.peakRssMb() - before
      stage.expect(grown < 100, `memory grew by ${Math.round(grown)} MB`)
      return `memory +${Math.round(grown)} MB at the most`
    },
  },
]
