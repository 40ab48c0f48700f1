import type { Answer } from './driver.ts'
import { delay, type Stage } from './stage.ts'
import type { Exchange } from './upstream.ts'
import { answer, head, openaiEvent } from './wire.ts'

/** What upstreams do in many checks, and what is expected of calls in many. */

/** Where nobody listens. */
export const nobody = { origin: 'http://127.0.0.1:9' }

/** A sound answer. */
export function ok(exchange: Exchange, texts: readonly string[] = ['fine', ' thanks']): Promise<void> {
  exchange.owe(texts.join(''))
  return exchange.send(answer('openai', texts))
}

/** Tokens until the connection is gone. */
export async function endless(exchange: Exchange, everyMs = 5): Promise<void> {
  await exchange.send(head(200, { 'content-type': 'text/event-stream' }))
  while (!exchange.socket.destroyed) {
    await exchange.send(openaiEvent({ content: 'on and on ' }))
    await delay(everyMs)
  }
}

/** What a failed call must say of itself. */
export function expectFault(
  stage: Stage,
  what: string,
  seen: Answer,
  code: string,
  cause?: string,
  attempts?: number,
): void {
  stage.equal(seen.code ?? (seen.message ? 'a success' : 'no answer'), code, `${what}: code`)
  if (cause !== undefined) stage.equal(seen.cause, cause, `${what}: cause`)
  if (attempts !== undefined) stage.equal(seen.fault['attempts'], attempts, `${what}: attempts`)
}

export function expectWithin(stage: Stage, what: string, tookMs: number, least: number, most: number): void {
  stage.expect(tookMs >= least && tookMs <= most, `${what}: ${Math.round(tookMs)} ms, not between ${least} and ${most}`)
}
