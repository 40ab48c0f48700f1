import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import {
  exchangePath,
  loadCase as load,
  type Case as Recorded,
  type RecordedCall,
  writeJson,
} from '../../src/cli/cases.ts'
import type { Json } from '../../src/json.ts'
import type { Received } from './upstream.ts'

/** A case as it lies in its folder: fixtures/README.md says what the files hold. */

export type { Json }
export type Call = RecordedCall
export type Case = Recorded & { name: string; dir: string }

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
  return { name, dir, ...load(dir, !updating) }
}

/** Writes what happened over what was expected; the recorded responses stay as they are. */
export function updateCase({ dir, exchanges }: Case, requests: readonly Received[], result: unknown): void {
  for (const [at, exchange] of exchanges.entries()) {
    const request = requests[at]
    if (request) writeJson(exchangePath(dir, at), { ...exchange, request })
  }
  writeJson(join(dir, 'result.json'), result)
}
