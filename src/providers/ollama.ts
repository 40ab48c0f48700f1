import type { ChatAsk, EmbedAsk, Sampling, TextAsk } from '../gateway.ts'
import type { EncodedRequest, Provider, Target } from '../provider.ts'
import { isObject, type Json } from './json.ts'
import { faultOfAnswer } from './ollama-faults.ts'
import { decodeEmbeddings, decodeModels } from './ollama-lists.ts'
import { encodeMessages, encodeTools } from './ollama-messages.ts'
import { decodeAnswer } from './ollama-stream.ts'
import { ollamaTools } from './ollama-tools.ts'

/**
 * Ollama's own /api/chat, /api/generate, /api/embed and /api/tags (its docs/openapi.yaml). Unlike its /v1, it lets a
 * call set the size of the context, the time that a model stays loaded, and whether a prompt may be cut.
 */
export const ollama: Provider = {
  authorize: (key) => ({ authorization: `Bearer ${key}` }),
  fault: faultOfAnswer,
  chat: { encode: encodeChat, decode: decodeAnswer },
  text: { encode: encodeText, decode: decodeAnswer },
  embed: { encode: encodeEmbed, decode: decodeEmbeddings },
  tools: ollamaTools,
  models: {
    encode: (_, target) => ({ method: 'GET', url: `${target.baseUrl}/api/tags`, headers: {}, warnings: [] }),
    decode: decodeModels,
  },
}

function encodeChat(ask: ChatAsk, target: Target): EncodedRequest {
  const { toolChoice, responseSchema } = ask
  const { messages, warnings } = encodeMessages(ask.messages)
  const thinking = encodeThinking(ask.reasoningEffort)
  const tools = toolChoice === 'none' ? [] : (ask.tools ?? [])
  if (tools.length > 0 && toolChoice !== undefined && toolChoice !== 'auto') {
    warnings.push('toolChoice was left out: this provider cannot force a tool, the model decides')
  }
  const fields = {
    messages,
    tools: tools.length > 0 ? encodeTools(tools) : undefined,
    format: responseSchema,
    think: thinking.field,
    stream: true,
  }
  return post(target, '/api/chat', fields, ask, [...warnings, ...thinking.warnings])
}

function encodeText(ask: TextAsk, target: Target): EncodedRequest {
  const { prompt, suffix } = ask
  return post(target, '/api/generate', { prompt, suffix, stream: true }, ask)
}

function encodeEmbed(ask: EmbedAsk, target: Target): EncodedRequest {
  const { input, dimensions } = ask
  return post(target, '/api/embed', { input, dimensions }, ask)
}

/** Efforts by the values that `think` has for them; any but false means that the model thinks. */
const efforts: Readonly<Record<string, string | false>> = {
  none: false,
  minimal: 'low',
  low: 'low',
  medium: 'medium',
  high: 'high',
  xhigh: 'high',
  max: 'max',
}

function encodeThinking(effort: string | undefined): { field?: unknown; warnings: string[] } {
  if (effort === undefined) return { warnings: [] }
  const field = Object.hasOwn(efforts, effort) ? efforts[effort] : effort
  const renamed = field !== false && field !== effort
  return { field, warnings: renamed ? [`reasoningEffort ${effort} was sent as ${field}, the nearest here`] : [] }
}

function encodeSampling({ maxTokens, temperature, topP, stop, seed }: Sampling): Json {
  return {
    num_predict: maxTokens,
    temperature,
    top_p: topP,
    // An empty list would switch off the texts at which the model's own settings stop it.
    stop: stop && stop.length > 0 ? stop : undefined,
    seed,
  }
}

/** Fields of a request's top level. Every other option belongs to the model's runner, below the request's `options`. */
const topLevelOptions = new Set([
  'context',
  'format',
  'images',
  'keep_alive',
  'logprobs',
  'raw',
  'shift',
  'system',
  'template',
  'think',
  'top_logprobs',
  'truncate',
])

/** The caller's options, each where the API has its place: `{ num_ctx: 8192, keep_alive: "10m" }` is sent as two. */
function sortOptions(options: Readonly<Json> = {}): { request: Json; runner: Json } {
  const { options: nested, ...flat } = options
  const sorted = Object.groupBy(Object.entries(flat), ([name]) => (topLevelOptions.has(name) ? 'request' : 'runner'))
  return {
    request: Object.fromEntries(sorted.request ?? []),
    runner: { ...(isObject(nested) ? nested : {}), ...Object.fromEntries(sorted.runner ?? []) },
  }
}

function post(
  target: Target,
  path: string,
  fields: Json,
  { options, ...sampling }: Sampling & { options?: Readonly<Json> | undefined },
  warnings: readonly string[] = [],
): EncodedRequest {
  const { request, runner } = sortOptions(options)
  const settings = { ...encodeSampling(sampling), ...runner }
  return {
    method: 'POST',
    url: `${target.baseUrl}${path}`,
    headers: {},
    json: {
      model: target.model,
      ...fields,
      // By default the server drops what does not fit its context and says nothing (llm/llama_server.go,
      // completionPromptForRequest; server/prompt.go, chatPrompt). `shift` is let alone: a change of it loads the model
      // anew (server/sched.go, needsReload).
      truncate: false,
      options: Object.values(settings).some((value) => value !== undefined) ? settings : undefined,
      ...request,
    },
    warnings,
  }
}
