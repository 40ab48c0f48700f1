/** What a plugin is written with, published as `genai-gateway-mcp/plugin`; spec/components.md shows a whole one. */
import type { Event } from './gateway.ts'
import type {
  Operation as AnyOperation,
  Provider as AnyProvider,
  EncodedRequest as AnyRequest,
  ProviderTool as AnyTool,
  Operations,
} from './provider.ts'

export { Fault, type FaultCode, type FaultDetail } from './errors.ts'
export {
  type ChatAsk,
  type ChatMessage,
  type EmbedAsk,
  type Event,
  type FinishReason,
  type ModelInfo,
  type ModelsAsk,
  type Part,
  type TextAsk,
  type ToolAsk,
  textOf,
  type Usage,
} from './gateway.ts'
export { readJson } from './http/body.ts'
export type { HttpResponse } from './http/message.ts'
export { readLines } from './http/ndjson.ts'
export { faultOfStatus } from './http/problem.ts'
export { readEvents, type ServerSentEvent } from './http/sse.ts'
export type { Target } from './provider.ts'

/** An answer is read by its operation alone: no function leaves a plugin's thread. */
export type EncodedRequest = Omit<AnyRequest, 'decode'> & { decode?: never }

/** Events come one by one. */
export type Operation<A> = AnyOperation<A, EncodedRequest, Event>

export type ProviderTool = AnyTool<EncodedRequest, Event>

export type Provider = Pick<AnyProvider, 'authorize' | 'fault'> & Operations<EncodedRequest, Event>

/** Gives a provider its types, and is the place where a mistake in one shows. A plugin exports it as `provider`. */
export function definePlugin<P extends Provider>(provider: P): P {
  return provider
}
