import { readConfig } from '../../src/config.ts'
import { withLimits } from '../../src/extensions/limit.ts'
import type { ChatAsk, Event } from '../../src/gateway.ts'
import type { Handle } from '../../src/handle.ts'
import type { HttpResponse, Send } from '../../src/http/message.ts'
import { type Clock, systemClock } from '../../src/http/retry.ts'
import { withTimeouts } from '../../src/http/timeouts.ts'
import { createDirectory } from '../../src/pipeline/directory.ts'
import { createPipeline } from '../../src/pipeline/pipeline.ts'
import { createRouter } from '../../src/pipeline/router.ts'
import { createTranslator } from '../../src/pipeline/translator.ts'
import { presets } from '../../src/providers/index.ts'
import { createSecrets } from '../../src/secrets.ts'

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

/** The chat tower as chat.ts puts it together, over a Send and a clock of our own; sleeping is a timer's work. */
export function createTower(file: object, send: Send, { now, random }: Omit<Clock, 'sleep'>): Handle {
  const config = readConfig({ PROVIDER_CONFIG: JSON.stringify(file) })
  if (config.problem) throw new Error(config.problem)
  const clock: Clock = { now, random, sleep: systemClock.sleep }
  const secrets = createSecrets(
    [...config.providers.values()].flatMap(({ name, baseUrl, key }) =>
      key ? [{ provider: name, baseUrl, source: key }] : [],
    ),
  )
  const translate = withLimits(createTranslator({ send: withTimeouts(send), secrets, clock }), now)
  const directory = createDirectory(async function* () {}, now)
  return createPipeline({ router: createRouter(config, directory, random), translate, directory, clock })
}
