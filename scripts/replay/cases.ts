import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { Exchange } from '../../src/http/tape.ts'
import type { Received } from './upstream.ts'

/** A case as it lies in its folder: fixtures/README.md says what the files hold. */

export type Json = Record<string, unknown>

export type Call = {
  title: string
  source: string
  tool: string
  arguments: Json
  /** Further variables for the gateway; `{upstream}` stands for the origin at which the exchanges are served. */
  env?: Record<string, string>
  /** Whether the caller listens to progress, where that makes a difference; played both ways without it. */
  progress?: boolean
}

export type Case = { name: string; dir: string; call: Call; exchanges: readonly Exchange[]; result: unknown }

/** The key that the gateways are given. It must not come out of them anywhere but in their requests. */
export const replayKey = 'replay-not-a-real-key'

/** The gateway is pointed at the upstream, whose origin is given, unless the case does that itself. */
export function environmentOf({ env = {} }: Call, origin: string): Record<string, string> {
  const given = Object.entries(env).map(([name, text]) => [name, text.replaceAll('{upstream}', origin)])
  const elsewhere = !('GATEWAY_URL' in env) && Object.values(env).some((text) => text.includes('{upstream}'))
  const usual = elsewhere ? {} : { GATEWAY_URL: `${origin}/v1`, GATEWAY_API_KEY: replayKey }
  return { LOG_LEVEL: 'silent', ...usual, ...Object.fromEntries(given) }
}

/** The folders of the cases, as `server/case`, whose names hold one of the given texts; all of them without any. */
export function findCases(root: string, wanted: readonly string[]): string[] {
  const names = foldersIn(root).flatMap((server) => foldersIn(join(root, server)).map((name) => `${server}/${name}`))
  return names.filter((name) => wanted.length === 0 || wanted.some((text) => name.includes(text)))
}

function foldersIn(dir: string): string[] {
  if (!existsSync(dir)) return []
  const entries = readdirSync(dir, { withFileTypes: true }).filter((entry) => entry.isDirectory())
  return entries.map(({ name }) => name).sort()
}

/** Throws with a sentence when a file is missing or is not what it should be; while updating, the result may be missing. */
export function loadCase(root: string, name: string, updating: boolean): Case {
  const dir = join(root, name)
  const call = readJson(join(dir, 'call.json')) as Call
  const complete = [call.title, call.source, call.tool].every((text) => typeof text === 'string' && text !== '')
  if (!complete) throw new Error('call.json needs title, source and tool')
  const numbers = readdirSync(dir).flatMap((file) => /^(\d+)\.exchange\.json$/.exec(file)?.[1] ?? [])
  // The list of the providers' own tools is the one answer that needs no provider.
  const silent = call.tool === 'callTool' && call.arguments['tool'] === undefined
  if (numbers.length === 0 && !silent) throw new Error('1.exchange.json is missing')
  const exchanges = numbers.map((_, at) => readJson(exchangePath(dir, at)) as Exchange)
  const resultPath = join(dir, 'result.json')
  const result = updating && !existsSync(resultPath) ? undefined : readJson(resultPath)
  return { name, dir, call, exchanges, result }
}

/** Writes what happened over what was expected; the recorded responses stay as they are. */
export function updateCase({ dir, exchanges }: Case, requests: readonly Received[], result: unknown): void {
  for (const [at, exchange] of exchanges.entries()) {
    const request = requests[at]
    if (request) writeJson(exchangePath(dir, at), { ...exchange, request })
  }
  writeJson(join(dir, 'result.json'), result)
}

function exchangePath(dir: string, at: number): string {
  return join(dir, `${at + 1}.exchange.json`)
}

function readJson(path: string): unknown {
  const file = basename(path)
  if (!existsSync(path)) throw new Error(`${file} is missing`)
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch {
    throw new Error(`${file} is not valid JSON`)
  }
}

function writeJson(path: string, value: unknown): void {
  writeFileSync(path, `${JSON.stringify(value, undefined, 1)}\n`)
}
