/** The vocabulary of the chat tower: what can be asked of a model, and the events that answer it. */
import type { FaultCode, Met } from './errors.ts'

export type Role = 'system' | 'developer' | 'user' | 'assistant' | 'tool'

/** A piece of a message. Binary data is base64, as it came and as it goes. */
export type Part =
  | { type: 'text'; text: string }
  | { type: 'image' | 'audio' | 'file'; data: string; mimeType: string; name?: string | undefined }
  | { type: 'image-url'; url: string }
  /** What a model thought in an earlier turn, sealed by its provider: handed back as it came, or not at all. */
  | { type: 'reasoning'; block: Record<string, unknown> }
  | { type: 'tool-use'; id: string; name: string; arguments: Record<string, unknown> }
  | { type: 'tool-result'; id: string; content: Part[]; isError: boolean }

/** The words of a message alone, without what stands between them. */
export function textOf(parts: readonly Part[]): string {
  return parts.map((part) => (part.type === 'text' ? part.text : '')).join('')
}

export type ChatMessage = { role: Role; content: Part[] }

export type ToolSpec = {
  name: string
  description?: string | undefined
  inputSchema: Record<string, unknown>
}

/** How a model's answer is drawn; every field absent means the provider's own default. */
export type Sampling = {
  maxTokens?: number | undefined
  temperature?: number | undefined
  topP?: number | undefined
  stop?: readonly string[] | undefined
  seed?: number | undefined
}

/** What every ask has: which model, how long it may take, and fields that go to the provider untouched. */
type AnyAsk = {
  model?: string | undefined
  options?: Readonly<Record<string, unknown>> | undefined
  /** The most that the call may take in all, whatever happens meanwhile. */
  timeoutMs?: number | undefined
}

export type ChatAsk = AnyAsk &
  Sampling & {
    kind: 'chat'
    messages: readonly ChatMessage[]
    reasoningEffort?: string | undefined
    responseSchema?: Record<string, unknown> | undefined
    tools?: readonly ToolSpec[] | undefined
    /** `auto`, `none`, `required`, or the name of a tool. */
    toolChoice?: string | undefined
  }

export type TextAsk = AnyAsk & Sampling & { kind: 'text'; prompt: string; suffix?: string | undefined }

export type EmbedAsk = AnyAsk & {
  kind: 'embed'
  input: readonly string[]
  dimensions?: number | undefined
  encoding: 'float' | 'base64'
}

/** `after` is where the page before has ended, in the provider's own words. */
export type ModelsAsk = AnyAsk & { kind: 'models'; provider: string; after?: string | undefined }

/** A tool of the provider's own, with its arguments. */
export type ToolAsk = AnyAsk & {
  kind: 'tool'
  provider: string
  name: string
  arguments: Readonly<Record<string, unknown>>
}

export type Ask = ChatAsk | TextAsk | EmbedAsk | ModelsAsk | ToolAsk
export type AskKind = Ask['kind']

export const finishReasons = ['stop', 'length', 'toolCalls', 'contentFilter', 'refusal', 'other'] as const
export type FinishReason = (typeof finishReasons)[number]

export type Usage = {
  promptTokens: number
  completionTokens: number
  totalTokens: number
  cachedPromptTokens?: number
  reasoningTokens?: number
}

/** A target of a route that did not answer, `provider/model`, and why: its fault, or `unavailable` where it stood back. */
export type Substituted = { model: string; code: FaultCode }

/** How likely a token was, as a natural logarithm, and which others the model considered in its place. */
export type TokenLogprob = { token: string; logprob: number; topLogprobs?: { token: string; logprob: number }[] }

export type ModelInfo = {
  name: string
  created?: number
  ownedBy?: string
  contextWindow?: number
  capabilities?: string[]
}

/**
 * What a provider's answer is made of, in the order of arrival. `served` tells which route answers and comes first;
 * every other event may come any number of times unless it says otherwise.
 */
export type Event =
  | {
      type: 'served'
      provider: string
      model: string
      attempts: number
      met?: readonly Met[]
      substituted?: readonly Substituted[]
    }
  /** Not begun yet: so many calls are in front, this one counted. */
  | { type: 'queued'; place: number }
  | { type: 'response'; requestId?: string | undefined; model?: string | undefined }
  | { type: 'text-delta'; text: string }
  | { type: 'reasoning-delta'; text: string }
  | { type: 'reasoning-block'; block: Record<string, unknown> }
  | { type: 'tool-call'; id: string; name: string; argumentsText: string }
  /** Of the next tokens of the text, where the caller's options asked for it. */
  | { type: 'logprobs'; tokens: TokenLogprob[] }
  /** The answer as a value that fits the schema that was asked for. */
  | { type: 'object'; value: Record<string, unknown> }
  /** A source of the answer: a page by its address, or a document by its title and the words that are cited. */
  | { type: 'citation'; url?: string | undefined; title?: string | undefined; text?: string | undefined }
  /** Something else than text that a model or a tool brought forth. */
  | { type: 'content'; part: Extract<Part, { type: 'image' | 'audio' | 'file' }> }
  /** What a tool returns, as a value. */
  | { type: 'result'; value: Record<string, unknown> }
  /** News that work goes on, without words. */
  | { type: 'step' }
  | { type: 'embedding'; index: number; embedding: number[] | string }
  | { type: 'model'; model: ModelInfo }
  /** The list goes on; the last event of a page. */
  | { type: 'next-page'; after: string }
  | { type: 'usage'; usage: Usage }
  | { type: 'warning'; message: string }
  | { type: 'finish'; reason: FinishReason; raw?: string | undefined }

/** Events that have come together and go on together: a step of a stream costs more than what it brings. */
export type Events = readonly Event[]

/**
 * Gathers what comes together, neighbouring pieces of text as one. `take` hands out what has been told since it was last
 * asked.
 */
export function createGathering(): { tell(event: Event): void; take(): Events } {
  let events: Event[] = []
  return {
    tell(event) {
      const last = events.at(-1)
      const isText = event.type === 'text-delta' || event.type === 'reasoning-delta'
      if (isText && last?.type === event.type) events[events.length - 1] = { ...last, text: last.text + event.text }
      else events.push(event)
    },
    take() {
      const taken = events
      events = []
      return taken
    },
  }
}

/** Events that are read one by one, gathered. What came before a fault is passed on before the fault. */
export function* gathered(events: Iterable<Event>): Generator<Events> {
  const { tell, take } = createGathering()
  try {
    for (const event of events) tell(event)
  } catch (error) {
    yield* batchOf(take())
    throw error
  }
  yield* batchOf(take())
}

/** A stream does not wake its reader for nothing. */
export function batchOf(events: Events): Events[] {
  return events.length > 0 ? [events] : []
}
