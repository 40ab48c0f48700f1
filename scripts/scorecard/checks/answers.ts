import { gzipSync } from 'node:zlib'
import type { Check } from '../check.ts'
import type { Answer } from '../driver.ts'
import { expectFault, ok } from '../scenes.ts'
import type { Exchange } from '../upstream.ts'
import { answer, bytesOf, head, json, openaiEvent, piecesOf, whole } from '../wire.ts'

/** Answers that are no answers: bad HTTP, pages, nothing at all, bytes that are no text, and compressed ones. */

const body = bytesOf(piecesOf('openai', ['mine']))
const stream = { 'content-type': 'text/event-stream' }
const good = answer('openai', ['mine']).toString('latin1')
const evil = answer('openai', ['not yours']).toString('latin1')
const withHead = (...lines: string[]) =>
  `HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n${lines.join('\r\n')}\r\n\r\n${body}`

type Form = { bytes: string; end?: boolean; verdict: 'ok' | 'fault' | 'either' }

/** What a broken or hostile server might say instead of HTTP. The next call must not be answered by it. */
const forms: Readonly<Record<string, Form>> = {
  'garbage behind the body': { bytes: `${good}garbage garbage\r\n\r\n`, verdict: 'ok' },
  'a second response': { bytes: good + evil, verdict: 'ok' },
  '100 Continue': { bytes: `HTTP/1.1 100 Continue\r\n\r\n${good}`, verdict: 'either' },
  '101 unasked': {
    bytes: `HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n${good}`,
    verdict: 'fault',
  },
  '103 once': { bytes: `HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n${good}`, verdict: 'ok' },
  'a length and chunks': {
    bytes: withHead(`content-length: ${body.length}`, 'transfer-encoding: chunked'),
    verdict: 'fault',
  },
  'two lengths': {
    bytes: withHead(`content-length: ${body.length}`, `content-length: ${body.length + 5}`),
    verdict: 'fault',
  },
  'a negative length': { bytes: withHead('content-length: -5'), verdict: 'fault' },
  'a length that is too long': { bytes: withHead(`content-length: ${body.length + 50}`), end: true, verdict: 'either' },
  'a chunk without a size': {
    bytes: withHead('transfer-encoding: chunked').replace(body, `zz\r\n${body}\r\n0\r\n\r\n`),
    verdict: 'fault',
  },
  'a chunk size that overflows': {
    bytes: withHead('transfer-encoding: chunked').replace(body, `ffffffffffffffffff\r\n${body}`),
    verdict: 'fault',
  },
  'an ICY banner': { bytes: `ICY 200 OK\r\n\r\n${body}`, verdict: 'fault' },
  'an SSH banner': { bytes: 'SSH-2.0-OpenSSH_9.2\r\n', verdict: 'fault' },
  'NUL in a header': { bytes: withHead('x-nul: a\u0000b', `content-length: ${body.length}`), verdict: 'fault' },
  'a folded header': { bytes: withHead('x-folded: a\r\n  b', `content-length: ${body.length}`), verdict: 'either' },
  'bare line feeds': { bytes: withHead(`content-length: ${body.length}`).replace(/\r\n/g, '\n'), verdict: 'either' },
  'a head of 40 KiB': {
    bytes: withHead(`x-long: ${'h'.repeat(40_000)}`, `content-length: ${body.length}`),
    verdict: 'fault',
  },
  '5 000 headers': {
    bytes: withHead(...Array.from({ length: 5000 }, (_, at) => `x-${at}: 1`), `content-length: ${body.length}`),
    verdict: 'either',
  },
  'status 999': { bytes: `${head(999, { 'content-length': 2 })}{}`, verdict: 'fault' },
  'status 202': { bytes: head(202, { ...stream, 'content-length': body.length }) + body, verdict: 'fault' },
  'status 206': { bytes: head(206, { ...stream, 'content-length': body.length }) + body, verdict: 'fault' },
}

const page = '<!doctype html><title>Sign in</title>'
const bodies: Readonly<Record<string, { bytes: Buffer; code: string; cause?: string }>> = {
  'a page': {
    bytes: whole(200, page, { 'content-type': 'text/html' }),
    code: 'invalid_response',
    cause: 'bad_content_type',
  },
  'a page called JSON': { bytes: whole(200, page), code: 'invalid_response', cause: 'bad_content_type' },
  nothing: { bytes: whole(200, '', stream), code: 'invalid_response', cause: 'empty' },
  'nothing, as JSON': { bytes: whole(200, ''), code: 'invalid_response', cause: 'empty' },
  '204': { bytes: Buffer.from(head(204)), code: 'invalid_response', cause: 'empty' },
  'half of the JSON': {
    bytes: whole(200, '{"choices":[{"message":{"content":"hal'),
    code: 'invalid_response',
    cause: 'bad_json',
  },
  'a list': { bytes: json(200, [1, 2]), code: 'invalid_response' },
  'a string': { bytes: json(200, 'hello'), code: 'invalid_response' },
  null: { bytes: json(200, null), code: 'invalid_response' },
  'another object': { bytes: json(200, { status: 'ok' }), code: 'invalid_response' },
  'choices of another type': { bytes: json(200, { choices: 'none' }), code: 'invalid_response' },
  'a captive portal': {
    bytes: Buffer.from(head(302, { location: 'http://portal.example.com/', 'content-length': 0 })),
    code: 'configuration',
    cause: 'redirect',
  },
}

const invalid = Buffer.from([0xc3, 0x28, 0xff, 0xed, 0xa0, 0x80])

export const answers: readonly Check[] = [
  {
    id: 'U14',
    what: 'bad HTTP of every kind, and then the next call to the same origin',
    async run(stage) {
      for (const [what, { bytes, end, verdict }] of Object.entries(forms)) {
        const upstream = await stage.upstream(async (exchange) => {
          if (exchange.prompt !== what) return ok(exchange, [`own ${exchange.prompt}`])
          await exchange.send(Buffer.from(bytes, 'latin1'))
          if (end) exchange.finish()
        })
        const gateway = await stage.gateway({
          providers: { a: { at: upstream, maxRetries: 0, timeout: 1 } },
          era: '2026-07-28',
        })
        const seen = await gateway.ask({ prompt: what })
        const outcome = seen.isError ? `${seen.code} ${seen.cause}` : 'ok'
        if (verdict === 'ok') stage.equal([outcome, seen.text], ['ok', 'mine'], what)
        if (verdict === 'fault') stage.expect(seen.isError, `${what} was taken for an answer: ${seen.text}`)
        if (!seen.isError) stage.equal(seen.text, 'mine', what)
        else
          stage.expect(
            ['invalid_response', 'truncated', 'network', 'provider_error'].includes(seen.code ?? ''),
            `${what}: ${outcome}`,
          )
        const next = await gateway.ask({ prompt: `after ${what}` })
        stage.equal(next.text, `own after ${what}`, `the call behind "${what}"`)
        await gateway.end()
        stage.mayEnd(gateway)
      }
      return `${Object.keys(forms).length} forms`
    },
  },
  {
    id: 'U15',
    what: 'a 200 that holds a page, nothing, half of the JSON, another type; a captive portal',
    async run(stage) {
      const upstream = await stage.upstream((exchange) => exchange.send(bodies[exchange.prompt]?.bytes ?? ''))
      const gateway = await stage.gateway({ providers: { a: { at: upstream, maxRetries: 0 } } })
      for (const [what, { code, cause }] of Object.entries(bodies)) {
        expectFault(stage, what, await gateway.ask({ prompt: what }), code, cause)
      }
      return undefined
    },
  },
  {
    id: 'U16',
    what: 'bytes that are no UTF-8, in JSON and in a stream; lone surrogates',
    async run(stage) {
      const split = Buffer.from(openaiEvent({ content: 'brXken' }))
      const brokenEvent = Buffer.concat([
        split.subarray(0, split.indexOf('X')),
        invalid,
        split.subarray(split.indexOf('X') + 1),
      ])
      const brokenJson = Buffer.concat([
        Buffer.from('{"choices":[{"message":{"content":"'),
        invalid,
        Buffer.from('"}}]}'),
      ])
      const surrogate = `data: {"choices":[{"index":0,"delta":{"content":"lone \\ud800 one"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n`
      const scripts: Record<string, (exchange: Exchange) => Promise<void>> = {
        json: (exchange) => exchange.send(whole(200, brokenJson)),
        stream(exchange) {
          exchange.owe('sound ')
          return exchange.send(
            whole(200, Buffer.concat([Buffer.from(openaiEvent({ content: 'sound ' })), brokenEvent]), stream),
          )
        },
        surrogate: (exchange) => exchange.send(whole(200, surrogate, stream)),
      }
      const upstream = await stage.upstream((exchange) => scripts[exchange.prompt]?.(exchange))
      const gateway = await stage.gateway({ providers: { a: { at: upstream, maxRetries: 0 } } })
      expectFault(stage, 'JSON', await gateway.ask({ prompt: 'json' }), 'invalid_response', 'bad_encoding')
      const streamed = await gateway.ask({ prompt: 'stream' })
      expectFault(stage, 'a stream', streamed, 'invalid_response', 'bad_encoding')
      stage.equal(streamed.text, 'sound ', 'the text before')
      const lone = await gateway.ask({ prompt: 'surrogate' })
      stage.expect(
        lone.isError || lone.text === 'lone \ud800 one',
        `a lone surrogate became ${JSON.stringify(lone.text)}`,
      )
      stage.equal(Buffer.concat(gateway.stdoutBytes()).includes('\ufffd'), false, 'U+FFFD in what was delivered')
      return undefined
    },
  },
  {
    id: 'U17',
    what: 'compressed answers that nobody asked for: whole, corrupt, cut, not compressed, six times, a bomb of 200 MB',
    alone: true,
    async run(stage) {
      const packed = gzipSync(body)
      const corrupt = Buffer.from(packed)
      corrupt.fill(0xff, 20, 40)
      const bomb = gzipSync(Buffer.alloc(200 * 1024 * 1024, 0x20))
      const gzip = { ...stream, 'content-encoding': 'gzip' }
      const kinds: Readonly<Record<string, { bytes: Buffer; may?: boolean }>> = {
        whole: { bytes: whole(200, packed, gzip), may: true },
        corrupt: { bytes: whole(200, corrupt, gzip) },
        cut: { bytes: whole(200, packed.subarray(0, -12), gzip) },
        'not compressed': { bytes: whole(200, body, gzip), may: true },
        'six times': { bytes: whole(200, packed, { ...stream, 'content-encoding': Array(6).fill('gzip').join(', ') }) },
        bomb: { bytes: whole(200, bomb, { 'content-encoding': 'gzip' }) },
      }
      const upstream = await stage.upstream((exchange) =>
        exchange.prompt === 'warm' ? ok(exchange) : exchange.send(kinds[exchange.prompt]?.bytes ?? ''),
      )
      const gateway = await stage.gateway({ providers: { a: { at: upstream, maxRetries: 0 } } })
      await gateway.ask({ prompt: 'warm' })
      const before = gateway.rssMb()
      const seen: Record<string, Answer> = {}
      for (const [what, { may = false }] of Object.entries(kinds)) {
        const one = await gateway.ask({ prompt: what })
        seen[what] = one
        if (!one.isError) stage.equal([may, one.text], [true, 'mine'], what)
        else
          stage.expect(
            ['invalid_response', 'truncated', 'too_large'].includes(one.code ?? ''),
            `${what}: ${one.code} ${one.cause}`,
          )
        stage.expect(one.tookMs < 1000, `${what}: ${Math.round(one.tookMs)} ms`)
      }
      const grown = gateway.peakRssMb() - before
      stage.expect(grown < 32, `memory grew by ${Math.round(grown)} MB`)
      const asked = upstream.exchanges.map(({ headers }) => headers['accept-encoding'])
      stage.equal([...new Set(asked)], ['identity'], 'accept-encoding')
      return `memory +${Math.round(grown)} MB, ${Object.entries(seen)
        .map(([what, one]) => `${what} ${one.cause ?? 'ok'}`)
        .join(', ')}`
    },
  },
]
