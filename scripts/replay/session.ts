import { handshake, type Json, type Message, modernMeta, startGateway } from '../../spec/harness/gateway.ts'
import type { Call } from './cases.ts'

/** One run of the built gateway, spoken to in both eras of the protocol. */

export const eras = ['2026-07-28', '2025-11-25'] as const
export type Era = (typeof eras)[number]

/** What came of one call, with all the progress that came before it. */
export type Answer = { era: Era; result: Json; progress: Json[] }

export type ToolDeclaration = { name: string; outputSchema: Json }

export type Session = {
  tools(): Promise<ToolDeclaration[]>
  /** Calls a tool, with a progress token or without; rejects when no result comes. */
  callTool(era: Era, call: Call, withProgress: boolean): Promise<Answer>
  /** What was wrong with the output since this was last asked. */
  complaints(): string[]
  /** Ends the gateway; the last complaints, about its end too. */
  close(): Promise<string[]>
}

/** A gateway that has not ended by then hangs. Its own patience with open calls is shorter. */
const endLimitMs = 8_000

/** The key is the one in the environment, which must not come out. */
export function openSession(env: Record<string, string>, key: string): Session {
  const gateway = startGateway(env)
  const closed = new Promise((resolve) => gateway.child.once('close', resolve))
  const ended = gateway.exited.then(({ code, signal }) => {
    throw new Error(`the gateway ended (${signal ?? `exit code ${code}`}): ${gateway.stderr().slice(-300)}`)
  })
  ended.catch(() => {})
  const answered = new Set<unknown>()
  let introduced: Promise<Message> | undefined
  let requests = 0

  const request = async (era: Era, method: string, params: Json, token?: string): Promise<Json> => {
    const modern = era === '2026-07-28'
    if (!modern) await Promise.race([(introduced ??= handshake(gateway, era)), ended])
    const _meta = { ...(modern ? modernMeta : {}), ...(token === undefined ? {} : { progressToken: token }) }
    const id = token ?? `request ${++requests}`
    const { result, error } = await Promise.race([gateway.request(method, { ...params, _meta }, id), ended])
    if (!result) throw new Error(`${method} was answered with ${JSON.stringify(error)}`)
    return result
  }
  const complaints = () => {
    const messages = gateway.messages.splice(0).flat()
    return [
      ...gateway.garbage.splice(0).map((line) => `stdout holds what is no JSON: ${line.slice(0, 70)}`),
      ...(JSON.stringify(messages).includes(key) || gateway.stderr().includes(key) ? ['the key came out'] : []),
      ...messages.flatMap((message) => lateness(message, answered)),
    ]
  }

  return {
    tools: async () => (await request('2026-07-28', 'tools/list', {}))['tools'] as ToolDeclaration[],
    async callTool(era, { tool, arguments: args, title }, withProgress) {
      const token = withProgress ? `${++requests}: ${title}` : undefined
      const result = await request(era, 'tools/call', { name: tool, arguments: args }, token)
      const progress = gateway.messages.flat().flatMap(({ method, params = {} }) => {
        return method === 'notifications/progress' ? [params] : []
      })
      return { era, result, progress: progress.filter((params) => params['progressToken'] === token) }
    },
    complaints,
    async close() {
      const lateEnd = setTimeout(() => gateway.child.kill('SIGKILL'), endLimitMs)
      const { code } = await gateway.end()
      await closed
      clearTimeout(lateEnd)
      return [...complaints(), ...(code === 0 ? [] : [`the gateway ended with exit code ${code}`])]
    },
  }
}

/** The token of a call is its id as well: progress for an id that has been answered is too late. */
function lateness({ id, method, params }: Message, answered: Set<unknown>): string[] {
  if (method === undefined) answered.add(id)
  const token = params?.['progressToken']
  if (method !== 'notifications/progress' || !answered.has(token)) return []
  return [`progress came after the result of call ${String(token)}`]
}
