import type Anthropic from '@anthropic-ai/sdk'
import type { ChatResponse, GenerateResponse } from 'ollama'
import type OpenAI from 'openai'
import type { FinishReason, Usage } from '../../src/gateway.ts'
import type { Json } from '../harness/gateway.ts'

/** What an answer says, in the gateway's words, as it is read from what a vendor's SDK has made of the bytes. */
export type Reading = {
  text: string
  toolCalls: { id: string; name: string; arguments: unknown }[]
  finishReason: FinishReason
  usage?: Usage
}

export type Vectors = { embeddings: number[][]; promptTokens?: number }
export type Models = { models: string[] }

/** A failed call, with the status of the answer if it was that what failed. */
export type Failure = { failed: true; status?: number }

export type Outcome = Reading | Vectors | Models | Failure

/** `finish_reason` by OpenAI's reference, where `stop` behind a refusal or a call of a tool is told by what came before. */
const chatReasons: Readonly<Record<string, FinishReason>> = {
  length: 'length',
  tool_calls: 'toolCalls',
  function_call: 'toolCalls',
  content_filter: 'contentFilter',
}

export function readChat({ choices, usage }: OpenAI.Chat.ChatCompletion): Reading {
  const first = choices.find(({ index }) => index === 0) ?? choices[0]
  if (!first) throw new Error('the SDK found no choice')
  const { message, finish_reason: reason } = first
  const calls = (message.tool_calls ?? []).filter((call) => call.type === 'function')
  const stop = message.refusal ? 'refusal' : calls.length > 0 ? 'toolCalls' : 'stop'
  return {
    // The words of an answer that is spoken stand beside its sound.
    text: `${message.content || (message.audio?.transcript ?? '')}${message.refusal ?? ''}`,
    toolCalls: calls.map(({ id, function: { name, arguments: text } }) => ({ id, name, arguments: argumentsOf(text) })),
    finishReason: reason === 'stop' ? stop : (chatReasons[reason] ?? 'other'),
    ...usageOfChat(usage),
  }
}

/** The pieces of a streamed /completions, for which the SDK has no helper that joins them. */
export function readCompletions(chunks: readonly OpenAI.Completion[]): Reading {
  const choices = chunks.flatMap((chunk) => chunk.choices).filter(({ index }) => index === 0)
  const reason = choices.map(({ finish_reason }) => finish_reason).findLast((one) => one !== null)
  // As the helper for chat has it.
  if (reason === undefined) throw new Error('there is no finish reason')
  return {
    text: choices.map(({ text }) => text).join(''),
    toolCalls: [],
    finishReason: reason === 'stop' ? 'stop' : (chatReasons[reason] ?? 'other'),
    ...usageOfChat(chunks.findLast(({ usage }) => usage)?.usage),
  }
}

function usageOfChat(usage: OpenAI.CompletionUsage | null | undefined): { usage?: Usage } {
  if (!usage) return {}
  const { prompt_tokens: promptTokens, completion_tokens: written, total_tokens: totalTokens } = usage
  const thoughts = usage.completion_tokens_details?.reasoning_tokens ?? 0
  return {
    usage: {
      promptTokens,
      // By xAI's reference, thoughts are counted beside the completion, and the total is the sum of all three.
      completionTokens: promptTokens + written + thoughts === totalTokens ? written + thoughts : written,
      totalTokens,
      ...counted('cachedPromptTokens', usage.prompt_tokens_details?.cached_tokens),
      ...counted('reasoningTokens', usage.completion_tokens_details?.reasoning_tokens),
    },
  }
}

export function readResponse({ output, usage, status, incomplete_details }: OpenAI.Responses.Response): Reading {
  // The SDK gives what there is when a stream breaks off, and leaves it to the caller to look at the status.
  if (status !== 'completed' && status !== 'incomplete') throw new Error(`the response is ${status}`)
  const parts = output.flatMap((item) => (item.type === 'message' ? item.content : []))
  const calls = output.filter((item) => item.type === 'function_call')
  const refused = parts.some(({ type }) => type === 'refusal')
  const reasons: Readonly<Record<string, FinishReason>> = {
    max_output_tokens: 'length',
    content_filter: 'contentFilter',
  }
  return {
    text: parts.map((part) => (part.type === 'refusal' ? part.refusal : part.text)).join(''),
    toolCalls: calls.map(({ call_id, name, arguments: text }) => ({ id: call_id, name, arguments: argumentsOf(text) })),
    finishReason:
      status === 'completed'
        ? refused
          ? 'refusal'
          : calls.length > 0
            ? 'toolCalls'
            : 'stop'
        : (reasons[incomplete_details?.reason ?? ''] ?? 'other'),
    ...(usage && {
      usage: {
        promptTokens: usage.input_tokens,
        completionTokens: usage.output_tokens,
        totalTokens: usage.total_tokens,
        ...counted('cachedPromptTokens', usage.input_tokens_details?.cached_tokens),
        ...counted('reasoningTokens', usage.output_tokens_details?.reasoning_tokens),
      },
    }),
  }
}

/** `stop_reason` by Anthropic's reference. A paused turn is neither a stop nor a call of the caller's tools. */
const messageReasons: Readonly<Record<string, FinishReason>> = {
  end_turn: 'stop',
  stop_sequence: 'stop',
  max_tokens: 'length',
  model_context_window_exceeded: 'length',
  tool_use: 'toolCalls',
  refusal: 'refusal',
}

export function readMessage({ content, stop_reason, usage }: Anthropic.Message): Reading {
  const calls = content.filter((block) => block.type === 'tool_use')
  const named = messageReasons[stop_reason ?? ''] ?? 'other'
  // The parts of the prompt that the cache holds are counted beside `input_tokens`.
  const promptTokens =
    usage.input_tokens + (usage.cache_read_input_tokens ?? 0) + (usage.cache_creation_input_tokens ?? 0)
  return {
    text: content.map((block) => (block.type === 'text' ? block.text : '')).join(''),
    toolCalls: calls.map(({ id, name, input }) => ({ id, name, arguments: input ?? {} })),
    finishReason: named === 'stop' && calls.length > 0 ? 'toolCalls' : named,
    usage: {
      promptTokens,
      completionTokens: usage.output_tokens,
      totalTokens: promptTokens + usage.output_tokens,
      ...counted('cachedPromptTokens', usage.cache_read_input_tokens),
      ...counted('reasoningTokens', usage.output_tokens_details?.thinking_tokens),
    },
  }
}

/** The lines of /api/chat or /api/generate, which the SDK hands on one by one. */
export function readLines(lines: readonly (ChatResponse | GenerateResponse)[]): Reading {
  const messages = lines.map((line) => ('message' in line ? line.message : { content: line.response }))
  const calls = messages.flatMap((message) => ('tool_calls' in message ? (message.tool_calls ?? []) : []))
  const last = lines.at(-1)
  const reason = last?.done_reason ?? 'stop'
  const promptTokens = last?.prompt_eval_count ?? 0
  const completionTokens = last?.eval_count ?? 0
  return {
    text: messages.map(({ content }) => content ?? '').join(''),
    toolCalls: calls.map((call, at) => ({
      // The type of the SDK has no id yet, though newer servers send one.
      id: (call as { id?: string }).id || `call_${at}`,
      name: call.function.name,
      arguments: call.function.arguments,
    })),
    finishReason:
      reason === 'stop' ? (calls.length > 0 ? 'toolCalls' : 'stop') : reason === 'length' ? 'length' : 'other',
    usage: { promptTokens, completionTokens, totalTokens: promptTokens + completionTokens },
  }
}

/**
 * The result of a tool of the gateway. Where the SDK keeps the digits of integers, so must the gateway; where it rounds
 * them, what is compared are the gateway's rounded `arguments`.
 */
export function readResult({ isError, structuredContent, _meta }: Json, keepsDigits: boolean): Outcome {
  if (isError) {
    const { status } = (_meta as { 'genai-gateway/error': { status?: number } })['genai-gateway/error']
    return { failed: true, ...(status === undefined ? {} : { status }) }
  }
  const value = structuredContent as {
    text: string
    toolCalls?: { id: string; name: string; arguments: Json; argumentsText?: string }[]
    finishReason: FinishReason
    usage?: Usage
    embeddings?: (number[] | string)[]
    models?: { name: string }[]
  }
  if (value.models) return { models: value.models.map(({ name }) => name) }
  if (value.embeddings) {
    return { embeddings: value.embeddings.map(floatsOf), ...counted('promptTokens', value.usage?.promptTokens) }
  }
  const { text, toolCalls = [], finishReason, usage } = value
  return {
    text,
    toolCalls: toolCalls.map(({ id, name, arguments: rounded, argumentsText }) => {
      const exact = argumentsOf(argumentsText ?? JSON.stringify(rounded))
      return { id, name, arguments: keepsDigits || typeof exact === 'string' ? exact : rounded }
    }),
    finishReason,
    ...(usage ? { usage } : {}),
  }
}

/** Vectors as 32-bit floats, also where they come as the base64 of such, little-endian. */
export function floatsOf(vector: number[] | string): number[] {
  if (typeof vector !== 'string') return vector.map(Math.fround)
  const bytes = Buffer.from(vector, 'base64')
  return Array.from({ length: Math.floor(bytes.length / 4) }, (_, at) => bytes.readFloatLE(at * 4))
}

/** How JSON.parse hands on the text of a number, which no library of types knows yet. */
type Reviver = (key: string, value: unknown, context: { source?: string }) => unknown
const { parse: parseWith } = JSON as unknown as { parse(text: string, reviver: Reviver): unknown }

/** The value of a call's arguments, with big integers as they are written; or their text where that is no JSON object. */
function argumentsOf(text: string): unknown {
  try {
    const value = parseWith(text.trim() || '{}', (_key, inner, { source = '' }) => {
      return /^-?\d+$/.test(source) && !Number.isSafeInteger(inner) ? BigInt(source) : inner
    })
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : text
  } catch {
    return text
  }
}

/** A count that may be missing, under its name. */
export function counted<Name extends string>(name: Name, count: number | null | undefined): { [N in Name]?: number } {
  return (count === null || count === undefined ? {} : { [name]: count }) as { [N in Name]?: number }
}
