import type { ChatAsk, Event } from '../../src/gateway.ts'
import type { HttpResponse } from '../../src/http/message.ts'
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
export function chatOf(type: string, parts: readonly Uint8Array[]): AsyncIterable<Event> {
  const chat = presets[type]?.dialect.chat
  if (!chat) throw new Error(`${type} has no chat`)
  const response: HttpResponse = {
    status: 200,
    headers: { 'content-type': 'text/event-stream' },
    body: streamed(parts),
  }
  return chat.decode(response, anyAsk)
}
