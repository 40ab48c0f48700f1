import { composeHandle, secretsOf } from '../../src/chat.ts'
import type { Clock } from '../../src/clock.ts'
import { readConfig } from '../../src/config.ts'
import type { ChatAsk, Event } from '../../src/gateway.ts'
import type { Handle } from '../../src/handle.ts'
import type { HttpResponse, Send } from '../../src/http/message.ts'
import { createLogger } from '../../src/log.ts'
import { presets } from '../../src/providers/index.ts'

/** The gateway's own modules in this process, for what needs thousands of runs a second. */

export const anyAsk: ChatAsk = {
  kind: 'chat',
  model: 'tiny',
  messages: [{ role: 'user', content: [{ type: 'text', text: 'hi' }] }],
}

async function* streamed(parts: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* parts
}

/** Events of a streamed chat answer. */
export async function* chatOf(type: string, parts: readonly Uint8Array[]): AsyncGenerator<Event> {
  const chat = presets[type]?.dialect.chat
  if (!chat) throw new Error(`${type} has no chat`)
  const response: HttpResponse = {
    status: 200,
    headers: { 'content-type': 'text/event-stream' },
    body: streamed(parts),
  }
  for await (const events of chat.decode(response, anyAsk)) yield* events
}

/** The chat tower over a Send and a clock of our own. */
export function createTower(file: object, send: Send, clock: Clock): Handle {
  const config = readConfig({ PROVIDER_CONFIG: JSON.stringify(file) })
  if (config.problem) throw new Error(config.problem)
  const secrets = secretsOf(config)
  const log = createLogger('silent', secrets.redact)
  return composeHandle({ config, send, clock, secrets, log }).handle
}
