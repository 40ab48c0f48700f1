import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { Fault } from '../errors.ts'
import type { Exchange } from '../http/tape.ts'
import { isObject, type Json } from '../json.ts'

/** A call with the exchanges it made and the result it had, each in a file of a folder: fixtures/README.md says what they hold. */
export type Case = { call: RecordedCall; exchanges: readonly Exchange[]; result: unknown }

export type RecordedCall = {
  title: string
  source: string
  tool: string
  arguments: Json
  /** Further variables for the gateway; `{upstream}` stands for the origin at which the exchanges are served. */
  env?: Record<string, string>
  /** Whether the caller listens to progress, where that makes a difference. */
  progress?: boolean
}

/** The key that a gateway is given for a case. It must not come out of it anywhere but in its requests. */
export const replayKey = 'replay-not-a-real-key'

const errorKey = 'genai-gateway/error'
const attemptsKey = 'genai-gateway/attempts'

/** The folders below this one, and this one itself, that hold a case; in the order of their names. */
export function findCases(dir: string): string[] {
  const entries = readdirSync(dir, { withFileTypes: true })
  const here = entries.some((entry) => entry.isFile() && entry.name === 'call.json') ? [dir] : []
  const folders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(dir, name))
  return [...here, ...folders.sort().flatMap(findCases)]
}

/** Throws a Fault with a sentence when a file is missing or is not what it should be. `result` may be missing where it is only to be made. */
export function loadCase(dir: string, needsResult = true): Case {
  const call = readJson(join(dir, 'call.json')) as RecordedCall
  const complete =
    isObject(call) && [call.title, call.source, call.tool].every((text) => typeof text === 'string' && text !== '')
  if (!complete || !isObject(call.arguments)) throw bad('call.json needs title, source, tool and arguments')
  const numbers = readdirSync(dir).flatMap((file) => /^(\d+)\.exchange\.json$/.exec(file)?.[1] ?? [])
  // The list of the providers' own tools is the one answer that needs no provider.
  const silent = call.tool === 'callTool' && call.arguments['tool'] === undefined
  if (numbers.length === 0 && !silent) throw bad('1.exchange.json is missing')
  const exchanges = numbers.map((_, at) => readExchange(exchangePath(dir, at)))
  const resultPath = join(dir, 'result.json')
  return { call, exchanges, result: !needsResult && !existsSync(resultPath) ? undefined : readJson(resultPath) }
}

export function writeCase(dir: string, { call, exchanges, result }: Case): void {
  mkdirSync(dir, { recursive: true })
  for (const [at, exchange] of exchanges.entries()) writeJson(exchangePath(dir, at), exchange)
  writeJson(join(dir, 'call.json'), call)
  writeJson(join(dir, 'result.json'), result)
}

/** The variables of the gateway for a case: pointed at the origin, unless the case does that itself. */
export function environmentFor({ env = {} }: RecordedCall, origin: string): Record<string, string> {
  const given = Object.entries(env).map(([name, text]) => [name, text.replaceAll('{upstream}', origin)])
  const elsewhere = !('GATEWAY_URL' in env) && Object.values(env).some((text) => text.includes('{upstream}'))
  const usual = elsewhere ? {} : { GATEWAY_URL: `${origin}/v1`, GATEWAY_API_KEY: replayKey }
  return { LOG_LEVEL: 'silent', ...usual, ...Object.fromEntries(given) }
}

/** The result without what differs from run to run: times, and the port. result.json holds it in this form. */
export function settled(result: object, port: number): Json {
  const text = JSON.stringify(result).replaceAll(`127.0.0.1:${port}`, '127.0.0.1:PORT')
  const { _meta, structuredContent, ...rest } = JSON.parse(text) as Json
  const { timing: _, ...structured } = asJson(structuredContent)
  const meta = asJson(_meta)
  const { elapsedMs: __, ...facts } = asJson(meta[errorKey])
  const attempts = meta[attemptsKey]
  const told = {
    ...meta,
    ...(meta[errorKey] === undefined ? {} : { [errorKey]: facts }),
    ...(Array.isArray(attempts) ? { [attemptsKey]: attempts.map(({ elapsedMs: ___, ...met }: Json) => met) } : {}),
  }
  return {
    ...rest,
    ...(structuredContent === undefined ? {} : { structuredContent: structured }),
    ...(Object.keys(told).length > 0 ? { _meta: told } : {}),
  }
}

export function exchangePath(dir: string, at: number): string {
  return join(dir, `${at + 1}.exchange.json`)
}

export function readExchange(path: string): Exchange {
  const exchange = readJson(path)
  const { request, response } = asJson(exchange)
  if (!isObject(request) || !isObject(response) || !Array.isArray(response['chunks']))
    throw bad(`${basename(path)} holds no exchange`)
  return exchange as Exchange
}

function readJson(path: string): unknown {
  const file = basename(path)
  if (!existsSync(path)) throw bad(`${file} is missing`)
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch {
    throw bad(`${file} is not valid JSON`)
  }
}

export function writeJson(path: string, value: unknown): void {
  // Prompts and answers are their owner's.
  writeFileSync(path, `${JSON.stringify(value, undefined, 1)}\n`, { mode: 0o600 })
}

function asJson(value: unknown): Json {
  return isObject(value) ? value : {}
}

function bad(sentence: string): Fault {
  return new Fault('configuration', sentence)
}
