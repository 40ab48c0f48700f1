import { Fault, type FaultCode, type Met } from '../errors.ts'
import type { EmbedAsk, Event, Events, FinishReason, Substituted, TokenLogprob, Usage } from '../gateway.ts'
import { quote, visible } from '../http/problem.ts'
import { isObject, losesDigits, nestsDeeperThan } from '../json.ts'
import type { LongText } from '../text.ts'
import type { ContentBlock, Progress, ToolResult } from '../tool.ts'
import { createTextGathering, type TextGathering } from './text-gathering.ts'

/** Events to progress and to the result that the caller sees. */

export type Completion = {
  model: string
  provider: string
  text: string | LongText
  reasoning?: string | LongText
  reasoningBlocks?: Record<string, unknown>[]
  object?: Record<string, unknown>
  logprobs?: TokenLogprob[]
  citations?: Citation[]
  toolCalls?: { id: string; name: string; arguments: Record<string, unknown>; argumentsText?: string }[]
  finishReason: FinishReason
  rawFinishReason?: string
  usage?: Usage
  warnings?: string[]
  timing: { totalMs: number; firstTokenMs?: number }
  attempts: number
  substituted?: readonly Substituted[]
  requestId?: string
}

/** What the answer rests on: a page by its address, or a document by its title and the words that are cited. */
type Citation = { url?: string; title?: string; text?: string }

type Answering = { events: AsyncIterable<Events>; now: () => number; streaming: boolean }

/** An answer as it comes; with `streaming`, each piece of its text is a step of progress. */
export async function* formatCompletion({ events, now, streaming }: Answering): AsyncGenerator<Progress, ToolResult> {
  const startedMs = now()
  const words = createTextGathering()
  let thoughts: TextGathering | undefined
  const sealed: Record<string, unknown>[] = []
  const warnings: string[] = []
  const toolCalls: NonNullable<Completion['toolCalls']> = []
  const logprobs: TokenLogprob[] = []
  const media: ContentBlock[] = []
  const citations: Citation[] = []
  let served: Served = { type: 'served', provider: '', model: '', attempts: 0 }
  let answeredAs: string | undefined
  let requestId: string | undefined
  let usage: Usage | undefined
  let finish: { reason: FinishReason; raw?: string | undefined } = { reason: 'other' }
  let firstTokenMs: number | undefined
  let object: Record<string, unknown> | undefined

  try {
    for await (const together of events) {
      for (const event of together) {
        switch (event.type) {
          case 'text-delta':
            firstTokenMs ??= elapsed(startedMs, now)
            words.append(event.text)
            if (streaming) yield { message: event.text }
            break
          case 'reasoning-delta':
            firstTokenMs ??= elapsed(startedMs, now)
            thoughts ??= createTextGathering()
            thoughts.append(event.text)
            if (streaming) yield {}
            break
          case 'reasoning-block':
            if (nestsDeeperThan(event.block, maxDepth))
              warnings.push('a reasoning block was left out: it nests too deep')
            else sealed.push(event.block)
            break
          case 'tool-call':
            toolCalls.push(readToolCall(event, warnings))
            break
          case 'served':
            served = event
            break
          case 'queued':
            if (streaming) yield { place: event.place }
            break
          case 'response':
            answeredAs = wordOf(event.model) ?? answeredAs
            requestId = event.requestId ?? requestId
            break
          case 'usage':
            usage = event.usage
            break
          case 'warning':
            warnings.push(event.message)
            break
          case 'object':
            object = event.value
            break
          case 'logprobs':
            for (const token of event.tokens) logprobs.push(token)
            break
          case 'citation':
            citations.push(readCitation(event))
            break
          case 'content':
            media.push(blockOf(event.part))
            break
          case 'step':
            firstTokenMs ??= elapsed(startedMs, now)
            if (streaming) yield {}
            break
          case 'finish':
            finish = event
            break
        }
      }
    }
    const text = words.text()
    const completion: Completion = {
      model: answeredAs ?? served.model,
      provider: served.provider,
      text,
      ...(thoughts ? { reasoning: thoughts.text() } : {}),
      ...(sealed.length > 0 ? { reasoningBlocks: sealed } : {}),
      ...(object === undefined ? {} : { object }),
      ...(logprobs.length > 0 ? { logprobs } : {}),
      ...(citations.length > 0 ? { citations } : {}),
      ...(toolCalls.length > 0 ? { toolCalls } : {}),
      finishReason: finish.reason,
      ...(finish.raw === undefined ? {} : { rawFinishReason: wordOf(finish.raw) ?? '' }),
      ...(usage ? { usage } : {}),
      ...(warnings.length > 0 ? { warnings } : {}),
      timing: { totalMs: elapsed(startedMs, now), ...(firstTokenMs === undefined ? {} : { firstTokenMs }) },
      attempts: served.attempts,
      ...(served.substituted ? { substituted: served.substituted } : {}),
      ...(requestId === undefined ? {} : { requestId }),
    }
    const content: ContentBlock[] = [{ type: 'text', text }]
    // A client that reads content alone would otherwise not see that tools are wanted.
    if (toolCalls.length > 0) content.push({ type: 'text', text: JSON.stringify({ toolCalls }) })
    return {
      content: content.concat(media, linksOf(citations)),
      structuredContent: completion,
      ...historyOf(served.met),
    }
  } catch (error) {
    return formatFault(error, elapsed(startedMs, now), words.text())
  }
}

/** What an answer holds besides text. */
export function blockOf(part: Extract<Event, { type: 'content' }>['part']): ContentBlock {
  const { type, data, mimeType, name } = part
  return type === 'file'
    ? { type: 'resource', resource: { uri: `file:///${encodeURIComponent(name ?? 'file')}`, mimeType, blob: data } }
    : { type, data, mimeType }
}

export function readCitation({ url, title, text }: Extract<Event, { type: 'citation' }>): Citation {
  return {
    ...(url === undefined ? {} : { url }),
    ...(title === undefined ? {} : { title }),
    ...(text === undefined ? {} : { text }),
  }
}

/** Sources that have an address, as a client shows links. */
export function linksOf(citations: readonly Citation[]): ContentBlock[] {
  return citations.flatMap(({ url, title = url }) =>
    url === undefined || title === undefined ? [] : [{ type: 'resource_link', uri: url, name: title }],
  )
}

type Served = Extract<Event, { type: 'served' }>

/** What the requests of a call have met before the one that succeeded. */
export function historyOf(met: readonly Met[] | undefined): Pick<ToolResult, '_meta'> {
  return met ? { _meta: { 'genai-gateway/attempts': met } } : {}
}

const maxWordChars = 256

/** A name that the provider gives to something: one visible line of bounded length, because it is the provider's. */
function wordOf(name: string | undefined): string | undefined {
  return name === undefined ? undefined : visible(name.slice(0, maxWordChars)) || undefined
}

/** What a provider makes up must not nest deeper than a client can be expected to read. */
export const maxDepth = 128

function readToolCall(event: Extract<Event, { type: 'tool-call' }>, warnings: string[]) {
  const { id, name, argumentsText } = event
  try {
    const value: unknown = argumentsText.trim() === '' ? {} : JSON.parse(argumentsText)
    if (isObject(value) && !nestsDeeperThan(value, maxDepth)) {
      const call = { id, name, arguments: value as Record<string, unknown> }
      if (!losesDigits(argumentsText)) return call
      warnings.push(
        `the arguments of the call to ${quote(name)} hold an integer beyond 2^53; it stands with all its digits in argumentsText`,
      )
      return { ...call, argumentsText }
    }
  } catch {
    // Told below: what the model wrote is handed on as it is.
  }
  warnings.push(
    `the arguments of the call to ${quote(name)} are no JSON object; they stand in argumentsText as the model wrote them`,
  )
  return { id, name, arguments: {}, argumentsText }
}

/** The numbers stand in the structured content alone; the text says how many there are and how long. */
export async function formatEmbedding(ask: EmbedAsk, { events, now }: Answering): Promise<ToolResult> {
  const startedMs = now()
  const embeddings: (number[] | string)[] = []
  const warnings: string[] = []
  let served: Served = { type: 'served', provider: '', model: '', attempts: 0 }
  let answeredAs: string | undefined
  let usage: Usage | undefined
  try {
    for await (const together of events) {
      for (const event of together) {
        if (event.type === 'embedding') embeddings[event.index] = event.embedding
        else if (event.type === 'served') served = event
        else if (event.type === 'response') answeredAs = wordOf(event.model)
        else if (event.type === 'usage') usage = event.usage
        else if (event.type === 'warning') warnings.push(event.message)
      }
    }
    const complete = ask.input.every((_, at) => embeddings[at] !== undefined)
    if (!complete)
      throw new Fault('invalid_response', 'an embedding is missing from the answer', { ...served, cause: 'bad_json' })
    const [first = []] = embeddings
    const dimensions = typeof first === 'string' ? Math.floor(Buffer.byteLength(first, 'base64') / 4) : first.length
    const model = answeredAs ?? served.model
    const plural = embeddings.length === 1 ? 'embedding' : 'embeddings'
    return {
      content: [{ type: 'text', text: `${embeddings.length} ${plural} of ${dimensions} dimensions by ${model}` }],
      structuredContent: {
        model,
        provider: served.provider,
        dimensions,
        embeddings,
        ...(usage ? { usage } : {}),
        ...(warnings.length > 0 ? { warnings } : {}),
        attempts: served.attempts,
        ...(served.substituted ? { substituted: served.substituted } : {}),
      },
      ...historyOf(served.met),
    }
  } catch (error) {
    return formatFault(error, elapsed(startedMs, now))
  }
}

const remedies: Readonly<Partial<Record<FaultCode, string>>> = {
  authentication: 'Check the key; trying again with the same one will not help.',
  configuration: 'Trying again will not help until that is set right.',
  permission: 'This is not allowed; trying again will not help.',
  model_not_found: 'listModels shows which models there are.',
  context_length: 'Shorten the input or take a model with a larger context.',
  content_filter: 'Rephrase the request; trying again unchanged will not help.',
  quota: 'The account has no credit or quota left; trying again will not help until it is topped up.',
  invalid_request: 'Change the call; trying again unchanged will not help.',
}

/** A failed call: one sentence to act on, the text that had come, and the facts for a program. */
export function formatFault(error: unknown, elapsedMs: number, shownText: string | LongText = ''): ToolResult {
  // Whatever is no Fault is a bug, and its text is for nobody outside: it may hold anything.
  const fault = error instanceof Fault ? error : new Fault('internal', 'the gateway met a fault of its own')
  const {
    cause,
    status,
    providerCode,
    requestId,
    provider,
    model,
    attempts = 0,
    retryable = false,
    retryAfterMs,
    met,
    partialText,
  } = fault.detail
  const whom =
    provider === undefined ? 'The call failed' : `The call to ${provider}${model ? ` (${model})` : ''} failed`
  // Names of the caller's and words of a provider stand in it.
  const message = visible(fault.message)
  const said = `${whom}: ${message}${/[.!?…]$/.test(message) ? '' : '.'}`
  const content: ContentBlock[] = [{ type: 'text', text: `${said} ${advice(fault, retryable, retryAfterMs)}` }]
  const partial = shownText || partialText
  if (partial) content.push({ type: 'text', text: partial })
  const facts = {
    code: fault.code,
    cause,
    provider,
    model,
    status,
    providerCode,
    requestId,
    attempts,
    retryable,
    retryAfterMs,
    elapsedMs,
  }
  return {
    isError: true,
    content,
    _meta: {
      'genai-gateway/error': Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== undefined)),
      // Of a single request, the fault has said all.
      ...(met && met.length > 1 ? historyOf(met)._meta : {}),
    },
  }
}

function advice({ code, detail }: Fault, retryable: boolean, retryAfterMs: number | undefined): string {
  if (detail.cause === 'path' || detail.cause === 'redirect')
    return 'Check the base URL; until it is right, trying again will not help.'
  if (retryable && retryAfterMs) return `Try again in ${Math.ceil(retryAfterMs / 1000)} s.`
  return remedies[code] ?? (retryable ? 'Trying again may help.' : 'Trying again unchanged will not help.')
}

/** Whole milliseconds. */
export function elapsed(startedMs: number, now: () => number): number {
  return Math.round(now() - startedMs)
}
