import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { systemClock } from '../clock.ts'
import { Fault } from '../errors.ts'
import { ending } from '../iteration.ts'
import type { HttpRequest, HttpResponse, Send } from './message.ts'
import { brokenOff } from './problem.ts'

/**
 * One exchange with a provider, as it is kept in a file. The boundaries of the body's chunks are the ones that came;
 * a chunk is text, or base64 where it is no whole UTF-8. `fault` stands where the body broke off.
 */
export type Exchange = {
  request: { method: string; path: string; headers: Record<string, string>; body?: unknown }
  response: {
    status: number
    firstByteMs: number
    headers: Record<string, string>
    chunks: Chunk[]
    fault?: string
  }
}

export type Chunk = { afterMs: number; text: string } | { afterMs: number; base64: string }

/** Every other header may carry a secret, or says something of this machine. */
const keptHeaders = new Set([
  'content-type',
  'retry-after',
  'retry-after-ms',
  'date',
  'x-request-id',
  'request-id',
  'apim-request-id',
  'x-should-retry',
])
const keptFamilies = /^(?:x-ratelimit|anthropic-ratelimit|openai-processing)/

/** What takes keys out of what is kept: of a text, and of one in pieces. */
export type Redaction = {
  redact(text: string): string
  redactStream(): { push(text: string): string; end(): string; found(): boolean }
}

/**
 * Keeps every exchange as a file of its own in a folder, named so that they stand in the order of their requests. What is
 * written goes through the redaction; a folder that cannot be written to is complained about once and costs no call.
 */
export function createRecorder(
  send: Send,
  dir: string,
  redaction: Redaction,
  complain: (sentence: string) => void,
): Send {
  let number = 0
  let broken = false
  const nameFor = ({ method, path }: Exchange['request']) => {
    number += 1
    const slug = `${method} ${path}`.toLowerCase().replace(/[^a-z0-9]+/g, '-')
    return `${new Date().toISOString().replace(/[:.]/g, '-')}-${String(number).padStart(4, '0')}-${slug.slice(0, 80)}.json`
  }
  const keep = (name: string, exchange: Exchange) => {
    try {
      mkdirSync(dir, { recursive: true })
      writeFileSync(
        join(dir, name),
        `${redaction.redact(JSON.stringify(cleaned(exchange, redaction), undefined, 1))}\n`,
        { flag: 'wx', mode: 0o600 },
      )
    } catch {
      if (!broken) complain('GATEWAY_RECORD: the folder cannot be written to, so nothing is recorded')
      broken = true
    }
  }

  return async (request, signal) => {
    const startedMs = systemClock.now()
    const kept = recordedRequest(request)
    const name = nameFor(kept)
    const response = await send(request, signal)
    const exchange: Exchange = {
      request: kept,
      response: {
        status: response.status,
        firstByteMs: Math.round(systemClock.now() - startedMs),
        headers: recordedHeaders(response.headers),
        chunks: [],
      },
    }
    return { ...response, body: recorded(response.body, exchange, (whole) => keep(name, whole)) }
  }
}

/** No generator: whoever leaves while it waits would end the body only with the next chunk. */
function recorded(
  body: AsyncIterable<Uint8Array>,
  { request, response }: Exchange,
  keep: (exchange: Exchange) => void,
): AsyncIterable<Uint8Array> {
  const chunks = body[Symbol.asyncIterator]()
  let lastMs = systemClock.now()
  let kept = false
  const onEnd = () => {
    if (!kept) keep({ request, response })
    kept = true
  }
  const came = (next: IteratorResult<Uint8Array>) => {
    if (next.done) return next
    const nowMs = systemClock.now()
    response.chunks.push(chunkOf(next.value, Math.round(nowMs - lastMs)))
    lastMs = nowMs
    return next
  }
  const failed = (error: unknown) => {
    response.fault = error instanceof Fault ? (error.detail.cause ?? error.code) : 'unknown'
    throw error
  }
  const noted: AsyncIterator<Uint8Array> = {
    next: () => chunks.next().then(came, failed),
    return: (value) => chunks.return?.(value) ?? Promise.resolve({ done: true, value }),
  }
  return ending(noted, onEnd)
}

/** A key may be spread over two chunks. Keys are ASCII, so that bytes can be looked through as Latin-1. */
function cleaned({ request, response }: Exchange, { redactStream }: Redaction): Exchange {
  const stream = redactStream()
  const last = response.chunks.length - 1
  const chunks = response.chunks.map((chunk, at) => {
    const text = stream.push(Buffer.from(bytesOf(chunk)).toString('latin1')) + (at === last ? stream.end() : '')
    return chunkOf(Buffer.from(text, 'latin1'), chunk.afterMs)
  })
  // The boundaries are kept as they came unless a key had to be taken out.
  return stream.found() ? { request, response: { ...response, chunks } } : { request, response }
}

function chunkOf(bytes: Uint8Array, afterMs: number): Chunk {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const text = buffer.toString('utf8')
  return Buffer.from(text, 'utf8').equals(buffer) ? { afterMs, text } : { afterMs, base64: buffer.toString('base64') }
}

/** A request as it is kept: what of it is no secret. */
export function recordedRequest({ method, url, headers, body }: HttpRequest): Exchange['request'] {
  const { pathname, search } = new URL(url)
  return {
    method,
    path: pathname + search,
    headers: recordedHeaders(headers),
    ...(body === undefined ? {} : { body: recordedBody(body) }),
  }
}

/** JSON stays readable; bytes of another kind are told by their number alone. */
function recordedBody(body: string | Uint8Array): unknown {
  return typeof body === 'string' ? JSON.parse(body) : { bytes: body.length }
}

function recordedHeaders(headers: Readonly<Record<string, string>>): Record<string, string> {
  const kept = Object.entries(headers).filter(([name]) => keptHeaders.has(name) || keptFamilies.test(name))
  return Object.fromEntries(kept)
}

/**
 * Answers each request with the next exchange that had such a request, or, if there is none, with the next one; without
 * waiting. Throws when none is left.
 */
export function createPlayer(exchanges: readonly Exchange[]): Send {
  const left = [...exchanges]
  return async (request) => {
    const { method, path } = recordedRequest(request)
    const same = left.findIndex((exchange) => exchange.request.method === method && exchange.request.path === path)
    const [exchange] = left.splice(Math.max(same, 0), 1)
    if (!exchange) throw new Error('the tape has ended')
    const { status, headers, chunks, fault } = exchange.response
    return { status, headers, body: played(chunks, fault, new URL(request.url).host) } satisfies HttpResponse
  }
}

async function* played(chunks: readonly Chunk[], fault: string | undefined, host: string): AsyncGenerator<Uint8Array> {
  for (const chunk of chunks) yield bytesOf(chunk)
  if (fault !== undefined) throw brokenOff(host, fault)
}

export function bytesOf(chunk: Chunk): Uint8Array {
  return 'text' in chunk ? Buffer.from(chunk.text, 'utf8') : Buffer.from(chunk.base64, 'base64')
}
