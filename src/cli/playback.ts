import type { HttpRequest, Send } from '../http/message.ts'
import { type Exchange, recordedRequest } from '../http/tape.ts'
import { declarations } from '../tools/declarations.ts'
import { type Case, environmentFor, settled } from './cases.ts'
import { differences } from './differences.ts'
import { quiet, toolsOf } from './tools.ts'

/** A port at which nothing is asked: the exchanges come from the case. */
export const port = 65_535

export type Played = {
  result: unknown
  /** What is not as it was recorded, a line each. */
  faults: string[]
}

/** Makes the call of a case again, with the recorded answers instead of a network. */
export async function play(
  { call, exchanges, result: expected }: Case,
  version: string,
  signal: AbortSignal,
): Promise<Played> {
  const { createChat, createPlayer, readConfig } = await import('../chat.ts')
  if (!declarations.some(({ name }) => name === call.tool))
    return { result: undefined, faults: [`there is no tool ${call.tool}`] }
  // A case may come from anybody: it writes nothing here, and brings no code along.
  const { recordDir: _, ...read } = readConfig(environmentFor(call, `http://127.0.0.1:${port}`))
  const config = { ...read, plugins: new Map() }
  const requests: Exchange['request'][] = []
  const player = createPlayer(exchanges)
  const send: Send = (request, abort) => {
    requests.push(received(request, exchanges[requests.length]?.request.body))
    return player(request, abort)
  }
  const runTool = toolsOf(await createChat({ version, config: quiet(config), send }))
  const answer = await runTool(call.tool, call.arguments, { signal, streaming: call.progress ?? true })
  const result = settled(answer, port)
  return {
    result,
    faults: [
      ...requestFaults(exchanges, requests),
      ...(expected === undefined ? [] : differences(expected, result, 'result')),
    ],
  }
}

/** As it is recorded; a form whose text is known is compared as text. */
function received(request: HttpRequest, expected: unknown): Exchange['request'] {
  const { body } = request
  const isText = typeof expected === 'string' && body instanceof Uint8Array
  return { ...recordedRequest(request), ...(isText ? { body: Buffer.from(body).toString('utf8') } : {}) }
}

function requestFaults(exchanges: readonly Exchange[], requests: readonly Exchange['request'][]): string[] {
  const compared = exchanges.slice(0, requests.length).flatMap(({ request }, at) => {
    return differences(request, requests[at], exchanges.length === 1 ? 'request' : `request ${at + 1}`)
  })
  if (exchanges.length === requests.length) return compared
  return [`the gateway made ${requests.length} requests, and ${exchanges.length} were recorded`, ...compared]
}
