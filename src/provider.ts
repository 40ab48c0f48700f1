import type { Fault } from './errors.ts'
import type { ChatAsk, EmbedAsk, Events, ModelsAsk, TextAsk, ToolAsk } from './gateway.ts'
import type { HttpRequest, HttpResponse } from './http/message.ts'

/** Where an operation is aimed: an endpoint of a provider, and a model there. */
export type Target = {
  /** The configured name of the provider, as in `provider/model`. */
  provider: string
  model: string
  /** Without a slash at its end. */
  baseUrl: string
  /** Headers that the configuration adds. */
  headers: Readonly<Record<string, string>>
  /** Azure's dated surface, `2024-10-21` say; without it, the one that needs no version. */
  apiVersion?: string
  /** Azure's deployments, by the model that each serves. */
  deployments?: Readonly<Record<string, string>>
}

/** The part of a request that a dialect decides; the translator adds what the configuration decides. */
export type EncodedRequest = Pick<HttpRequest, 'method' | 'url' | 'headers'> & {
  /** The body, where it is JSON. Members that are undefined are not sent. */
  json?: Readonly<Record<string, unknown>>
  /** The body, where it is not; its content-type stands in the headers. */
  bytes?: Uint8Array
  /** What was renamed or left out, and why: told to the caller. */
  warnings: readonly string[]
  /** How this request's answer is read, where it is not the operation's usual way. */
  decode?: (response: HttpResponse, ask: ChatAsk) => AsyncIterable<Events>
  /** Whether the model may think for long before its first byte. */
  slowStart?: boolean
}

/** One thing a provider can do. Both halves are pure: no clock, no network, no state between calls. */
export type Operation<A, Encoded = EncodedRequest, Answered = Events> = {
  encode(ask: A, target: Target): Encoded
  /** Turns a 200 into events. Throws a Fault when the answer is cut short, malformed or an error after all. */
  decode(response: HttpResponse, ask: A): AsyncIterable<Answered>
}

/** A tool of the provider's own, as callTool shows and runs it. */
export type ProviderTool<Encoded = EncodedRequest, Answered = Events> = Operation<ToolAsk, Encoded, Answered> & {
  description: string
  /** JSON Schema of its arguments. */
  inputSchema: { type: 'object'; properties: Record<string, unknown>; required?: readonly string[] }
  /** Whether a call costs money or changes something: then it is never sent a second time. */
  sendOnce: boolean
}

/** What can be asked of a provider. An operation that is absent is not offered. */
export type Operations<Encoded, Answered = Events> = {
  chat?: Operation<ChatAsk, Encoded, Answered>
  text?: Operation<TextAsk, Encoded, Answered>
  embed?: Operation<EmbedAsk, Encoded, Answered>
  models?: Operation<ModelsAsk, Encoded, Answered>
  tools?: Readonly<Record<string, ProviderTool<Encoded, Answered>>>
}

/** A dialect: pure functions alone. */
export type Provider = Operations<EncodedRequest> & {
  /** How a key travels. */
  authorize(key: string): Record<string, string>
  /** What a status other than 200 means. `body` is the text of the answer, cut at 64 KiB. */
  fault(status: number, headers: Readonly<Record<string, string>>, body: string): Fault
}

type Awaitable<T> = T | Promise<T>

/** A dialect as the pipeline speaks it: one that runs in a thread of its own takes a moment for each word. */
export type Dialect = Operations<Awaitable<EncodedRequest>> & {
  authorize(key: string): Awaitable<Record<string, string>>
  fault(...answer: Parameters<Provider['fault']>): Awaitable<Fault>
}
