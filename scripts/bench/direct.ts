import type { Agent } from 'undici'
import { type DialectName, dialects } from './dialects.mjs'
import { type Bench, key } from './plan.ts'

/** A request without any server between. */
export type DirectRequest = {
  origin: string
  path: string
  method: 'POST'
  headers: Record<string, string>
  body: string | Uint8Array
}

/** What the gateway sends to the provider for these arguments: where it goes, its head, its bytes. */
export function directRequest(
  { upstream }: Bench,
  { model, prompt }: { model: string; prompt: string },
  dialect: DialectName = 'openai',
): DirectRequest {
  const { base, path, headers, body } = dialects[dialect]
  return {
    origin: upstream.origin,
    path: `${base}${path}`,
    method: 'POST',
    headers: headers(key),
    body: JSON.stringify(body(model, prompt)),
  }
}

/** Sends a request and reads the answer to its end; resolves to the milliseconds that both took. */
export async function askDirectly(agent: Agent, request: DirectRequest): Promise<number> {
  const startMs = performance.now()
  const { statusCode, body } = await agent.request(request)
  await body.arrayBuffer()
  const spentMs = performance.now() - startMs
  if (statusCode !== 200) throw new Error(`undici itself was answered with ${statusCode}`)
  return spentMs
}
