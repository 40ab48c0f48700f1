import type { TestContext } from 'node:test'
import { type Gateway, type Json, type Message, startGateway } from './gateway.ts'
import { type Answer, startUpstream, type Upstream } from './upstream.ts'

/** Programs and servers that are gone when their test is over, however it ends. */

export function gatewayFor(t: TestContext, env: Record<string, string> = {}, command?: readonly string[]): Gateway {
  const gateway = startGateway(env, command)
  t.after(() => gateway.child.kill('SIGKILL'))
  return gateway
}

export async function upstreamFor(t: TestContext, answer: Answer): Promise<Upstream> {
  const upstream = await startUpstream(answer)
  t.after(() => upstream.close())
  return upstream
}

/** The environment of a gateway whose one provider is the upstream, with one model and no second attempts. */
export function pointedAt(upstream: Upstream, more: Record<string, string> = {}): Record<string, string> {
  return { OPENAI_BASE_URL: upstream.url, DEFAULT_MODEL: 'tiny', MAX_RETRIES: '0', ...more }
}

/**
 * Writes the input and resolves with everything that is said from then on: at least as many messages as are expected,
 * and whatever else comes out before the answer to a ping that is sent behind them.
 */
export async function heard(gateway: Gateway, input: object | string | Uint8Array, expected: number) {
  const from = gateway.messages.length
  gateway.send(input)
  while (gateway.messages.length - from < expected) await nextMessage(gateway)
  const ping = await gateway.request('ping')
  const to = gateway.messages.indexOf(ping)
  return gateway.messages.slice(from, to === -1 ? undefined : to)
}

function nextMessage(gateway: Gateway): Promise<Message> {
  const known = new Set(gateway.messages.flat())
  return gateway.find((message) => !known.has(message), 5_000)
}

/** The value at a path into parsed JSON, undefined where the path leads nowhere. */
export function at(value: unknown, ...path: (string | number)[]): unknown {
  return path.reduce<unknown>(
    (inner, step) => (typeof inner === 'object' && inner !== null ? (inner as Json)[step] : undefined),
    value,
  )
}

/** Progress notifications for a token, in order. */
export function progressOf(gateway: Gateway, token: unknown): { progress: number; message?: string }[] {
  return gateway.messages
    .flat()
    .filter(({ method, params }) => method === 'notifications/progress' && params?.['progressToken'] === token)
    .map(({ params }) => params as { progress: number; message?: string })
}

/** All responses that carry the id. */
export function repliesTo(gateway: Gateway, id: string | number): Message[] {
  return gateway.messages.flat().filter((message) => message.id === id && message.method === undefined)
}

/** A promise and the function that resolves it. */
export function gate(): { opened: Promise<void>; open(): void } {
  let open = () => {}
  const opened = new Promise<void>((resolve) => (open = resolve))
  return { opened, open }
}

/** Waits for what no event tells: a text on stderr, say. */
export async function until(condition: () => boolean, timeoutMs = 10_000): Promise<void> {
  const deadline = performance.now() + timeoutMs
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not so within ${timeoutMs} ms: ${condition}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
