import type { ChatAsk, Sampling, TextAsk } from '../gateway.ts'
import { faultOfStatus } from '../http/problem.ts'
import type { EncodedRequest, Provider, Target } from '../provider.ts'
import { withCallIds } from './call-ids.ts'
import type { Json } from './json.ts'
import { type Manner, mannerOf } from './openai-families.ts'
import { decodeEmbeddings, decodeModels } from './openai-lists.ts'
import { encodeMessages, encodeToolChoice, encodeTools } from './openai-messages.ts'
import { needsResponses, responses } from './openai-responses.ts'
import { decodeStream, readChatChoice, readTextChoice } from './openai-stream.ts'
import { allThoughtForms, type ThoughtForm } from './openai-thoughts.ts'
import { openaiTools } from './openai-tools.ts'
import { isStrict } from './response-format.ts'

/** What sets a server of this dialect apart from the others. */
export type Peculiarities = {
  /** The forms of thoughts that it hands out to have them back. */
  thoughts?: readonly ThoughtForm[]
  /** How many letters and digits an id of a tool call must be, where the server refuses every other. */
  callIdChars?: number
}

/** The dialect of a server that is like OpenAI's but for its peculiarities. */
export function alikeBut({ thoughts = [], callIdChars }: Peculiarities): Provider {
  return {
    ...openaiAlike,
    chat: {
      encode: (ask, target) => encodeChat(withCallIds(ask, callIdChars), target, thoughts),
      decode: (response, { tools = [], options }) =>
        decodeStream(response, readChatChoice, {
          // A plain text of thoughts is wanted back only where tools are called.
          thoughts: thoughts.filter((form) => form !== 'reasoning_content' || tools.length > 0),
          options,
        }),
    },
  }
}

/**
 * The dialect of OpenAI's /chat/completions, /completions, /embeddings and /models, as the many servers speak it that are
 * like it: what they leave out or add is tolerated, what they break is a Fault.
 */
export const openaiAlike = {
  authorize: (key) => ({ authorization: `Bearer ${key}` }),
  fault: faultOfStatus,
  chat: {
    encode: (ask, target) => encodeChat(ask, target),
    decode: (response, { options }) => decodeStream(response, readChatChoice, { options }),
  },
  text: { encode: encodeText, decode: (response) => decodeStream(response, readTextChoice) },
  embed: {
    encode: ({ input, dimensions, encoding, options }, target) =>
      post(target, '/embeddings', { model: target.model, input, dimensions, encoding_format: encoding, ...options }),
    decode: decodeEmbeddings,
  },
  models: {
    encode: (_, target) => ({ method: 'GET', url: `${target.baseUrl}/models`, headers: {}, warnings: [] }),
    decode: decodeModels,
  },
} satisfies Provider

/**
 * OpenAI itself, or whatever else listens at an address that is given for it: some of its models have no chat endpoint,
 * and it has services that only it has.
 */
export const openai: Provider = {
  ...openaiAlike,
  chat: chatOfOpenAi(),
  tools: openaiTools,
}

function chatOfOpenAi(): NonNullable<Provider['chat']> {
  const anywhere = alikeBut({ thoughts: allThoughtForms }).chat as NonNullable<Provider['chat']>
  return {
    ...anywhere,
    encode: (ask, target) =>
      encodeResponses(ask, target) ?? (isOpenAi(target) ? encodeChat(ask, target) : anywhere.encode(ask, target)),
  }
}

/** The request for a model that is only to be had at /responses, undefined for all others. */
export function encodeResponses(ask: ChatAsk, target: Target): EncodedRequest | undefined {
  return needsResponses(target.model) ? { ...responses.encode(ask, target), decode: responses.decode } : undefined
}

function encodeChat(ask: ChatAsk, target: Target, thoughts: readonly ThoughtForm[] = []): EncodedRequest {
  const manner = mannerOf(target.model, ask.reasoningEffort)
  const { messages, warnings } = encodeMessages(ask.messages, { knowsDeveloper: manner.reasoningFamily, thoughts })
  const sampling = encodeSampling(ask, target, manner)
  const hasTools = ask.tools !== undefined && ask.tools.length > 0
  const body = {
    model: target.model,
    messages,
    ...sampling.fields,
    reasoning_effort: manner.effortless ? undefined : ask.reasoningEffort,
    response_format: ask.responseSchema && {
      type: 'json_schema',
      json_schema: {
        name: 'response',
        schema: ask.responseSchema,
        strict: (isOpenAi(target) && isStrict(ask.responseSchema)) || undefined,
      },
    },
    tools: hasTools ? encodeTools(ask.tools ?? []) : undefined,
    // Without tools there is nothing to choose, and servers refuse the choice.
    tool_choice: hasTools && ask.toolChoice !== undefined ? encodeToolChoice(ask.toolChoice) : undefined,
    stream: true,
    stream_options: { include_usage: true },
    ...ask.options,
  }
  if (!hasTools && ask.toolChoice !== undefined)
    warnings.push('toolChoice was left out: there are no tools to choose from')
  return { ...post(target, '/chat/completions', body, [...warnings, ...sampling.warnings]), slowStart: manner.reasons }
}

function encodeText(ask: TextAsk, target: Target): EncodedRequest {
  const { maxTokens, temperature, topP, stop, seed } = ask
  return post(target, '/completions', {
    model: target.model,
    prompt: ask.prompt,
    suffix: ask.suffix,
    max_tokens: maxTokens,
    temperature,
    top_p: topP,
    stop,
    seed,
    stream: true,
    stream_options: { include_usage: true },
    ...ask.options,
  })
}

/** Drops and renames what the model's family refuses, and says so. */
function encodeSampling(ask: ChatAsk, target: Target, manner: Manner): { fields: Json; warnings: string[] } {
  const { maxTokens, temperature, topP, seed } = ask
  const stop = ask.stop?.length === 0 ? undefined : ask.stop
  const refused: Partial<Record<keyof Sampling, unknown>> = manner.reasons ? { temperature, topP, stop } : {}
  const warnings = Object.entries(refused)
    .filter(([, value]) => value !== undefined)
    .map(([name]) => `${name} was left out: ${target.model} refuses it while it reasons`)
  if (manner.effortless && ask.reasoningEffort !== undefined && ask.reasoningEffort !== 'none') {
    warnings.push(`reasoningEffort was left out: ${target.model} does not reason`)
  }
  const kept = manner.reasons ? {} : { temperature, top_p: topP, stop }
  // Only OpenAI itself and its reasoning models want the newer name; other servers may not know it.
  const limit = manner.reasoningFamily || isOpenAi(target) ? 'max_completion_tokens' : 'max_tokens'
  return { fields: { [limit]: maxTokens, ...kept, seed }, warnings }
}

function isOpenAi({ baseUrl }: Target): boolean {
  return /^https:\/\/(?:[a-z]+\.)?api\.openai\.com\//.test(`${baseUrl}/`)
}

function post(target: Target, path: string, body: Json, warnings: readonly string[] = []): EncodedRequest {
  return {
    method: 'POST',
    url: `${target.baseUrl}${path}`,
    headers: {},
    json: body,
    warnings,
  }
}
