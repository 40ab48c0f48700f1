import { Fault } from '../errors.ts'
import type { ChatAsk, Events, ModelInfo } from '../gateway.ts'
import { readJson } from '../http/body.ts'
import type { HttpResponse } from '../http/message.ts'
import { faultOfProblem, faultOfStatus, readProblem } from '../http/problem.ts'
import type { EncodedRequest, Provider, Target } from '../provider.ts'
import { type Manner, mannerOf } from './anthropic-families.ts'
import { encodeConversation, encodeToolChoice, encodeTools } from './anthropic-messages.ts'
import { decodeMessage } from './anthropic-stream.ts'
import { anthropicTools, versionHeader } from './anthropic-tools.ts'
import { countOf, isObject, type Json } from './json.ts'
import { closedSchema } from './response-format.ts'

/** Anthropic's /v1/messages and /v1/models, in the version of its API that is still the only one. */
export const anthropic: Provider = {
  authorize: (key) => ({ 'x-api-key': key }),
  fault: faultOfStatus,
  chat: { encode: encodeChat, decode: decodeMessage },
  tools: anthropicTools,
  models: {
    encode: ({ after }, target) => ({
      method: 'GET',
      url: `${target.baseUrl}/v1/models?limit=1000${after === undefined ? '' : `&after_id=${encodeURIComponent(after)}`}`,
      headers: versionHeader,
      warnings: [],
    }),
    decode: decodeModels,
  },
}

/** The API wants a limit with every request; enough for a long answer, and within what every model allows. */
const defaultMaxTokens = 4096
const minBudget = 1024

/** Tokens to think with, where a model takes a budget instead of an effort. */
const budgets: Readonly<Record<string, number>> = {
  minimal: minBudget,
  low: 2048,
  medium: 8192,
  high: 16_384,
  xhigh: 24_576,
  max: 32_000,
}

/** Efforts by the names that the API has for them. */
const efforts: Readonly<Record<string, string>> = {
  minimal: 'low',
  low: 'low',
  medium: 'medium',
  high: 'high',
  xhigh: 'xhigh',
  max: 'max',
}

function encodeChat(ask: ChatAsk, target: Target): EncodedRequest {
  const manner = mannerOf(target.model)
  const { system, messages, warnings } = encodeConversation(ask.messages)
  const thinking = encodeThinking(ask, manner, target.model)
  const sampling = encodeSampling(ask, manner, thinking.on, target.model)
  const choice = encodeChoice(ask, manner, thinking.on)
  if (ask.maxTokens === undefined) {
    warnings.push(`maxTokens was set to ${thinking.maxTokens}: this provider requires a limit`)
  }
  const format = ask.responseSchema && manner.structured ? closedSchema(ask.responseSchema) : undefined
  if (ask.responseSchema && !format) {
    messages.push(schemaAsWords(ask.responseSchema))
    warnings.push(`responseSchema was sent as words: ${target.model} cannot be held to it`)
  }
  if (messages.length === 0)
    throw new Fault('invalid_request', 'there is nothing to send: the messages hold no text, image or result')
  const outputConfig = {
    ...(thinking.effort === undefined ? {} : { effort: thinking.effort }),
    ...(format ? { format: { type: 'json_schema', schema: format.schema } } : {}),
  }
  const body: Json = {
    model: target.model,
    max_tokens: thinking.maxTokens,
    messages,
    system,
    ...sampling.fields,
    thinking: thinking.field,
    output_config: Object.keys(outputConfig).length > 0 ? outputConfig : undefined,
    tools: ask.tools && ask.tools.length > 0 ? encodeTools(ask.tools) : undefined,
    tool_choice: choice.field,
    stream: true,
    ...ask.options,
  }
  return {
    method: 'POST',
    url: `${target.baseUrl}/v1/messages`,
    headers: versionHeader,
    json: body,
    warnings: [
      ...warnings,
      ...thinking.warnings,
      ...sampling.warnings,
      ...choice.warnings,
      ...(format?.warnings ?? []),
    ],
    slowStart: thinking.on,
  }
}

/** An instruction behind the conversation; the answer is checked against the schema all the same. */
function schemaAsWords(schema: Json): Json {
  const text = `Answer with JSON alone that fits this JSON Schema: ${JSON.stringify(schema)}`
  return { role: 'user', content: [{ type: 'text', text }] }
}

type Thinking = { on: boolean; field?: Json; effort?: string; maxTokens: number; warnings: string[] }

function encodeThinking(
  { reasoningEffort, maxTokens = defaultMaxTokens }: ChatAsk,
  manner: Manner,
  model: string,
): Thinking {
  if (reasoningEffort === undefined) return { on: false, maxTokens, warnings: [] }
  if (manner.thinking === 'none') {
    const warnings = reasoningEffort === 'none' ? [] : [`reasoningEffort was left out: ${model} does not reason`]
    return { on: false, maxTokens, warnings }
  }
  if (reasoningEffort === 'none') return { on: false, field: { type: 'disabled' }, maxTokens, warnings: [] }
  if (manner.thinking === 'adaptive') {
    const effort = reasoningEffort === 'xhigh' && !manner.knowsXhigh ? 'high' : (efforts[reasoningEffort] ?? 'high')
    const renamed = effort !== reasoningEffort
    return {
      on: true,
      field: { type: 'adaptive', display: 'summarized' },
      effort,
      maxTokens,
      warnings: renamed ? [`reasoningEffort ${reasoningEffort} was sent as ${effort}, the nearest here`] : [],
    }
  }
  return { on: true, ...encodeBudget(maxTokens, budgets[reasoningEffort] ?? minBudget, manner.maxOutput, model) }
}

/** A model thinks within the limit of its answer: that is raised as far as the model allows, then the thoughts give way. */
function encodeBudget(maxTokens: number, wanted: number, maxOutput: number, model: string): Omit<Thinking, 'on'> {
  const budget = Math.max(minBudget, Math.min(wanted, maxOutput - maxTokens))
  const limit = Math.min(maxTokens + budget, maxOutput)
  return {
    field: { type: 'enabled', budget_tokens: budget },
    maxTokens: limit,
    warnings: [
      limit === maxTokens + wanted
        ? `${model} thinks within its limit, so that maxTokens was raised by the ${budget} tokens of its thinking`
        : `${model} writes and thinks within ${maxOutput} tokens: maxTokens became ${limit}, of which its thinking may take ${budget}`,
    ],
  }
}

function encodeSampling(
  ask: ChatAsk,
  manner: Manner,
  thinks: boolean,
  model: string,
): { fields: Json; warnings: string[] } {
  const { temperature, topP, stop, seed } = ask
  const warnings: string[] = []
  const drop = (name: string, why: string) => warnings.push(`${name} was left out: ${why}`)
  const stops = stop?.filter((text) => text.trim() !== '')
  if (stops && stops.length < (stop?.length ?? 0)) drop('a stop text of white space', 'this provider refuses it')
  if (seed !== undefined) drop('seed', 'this provider has none')
  const fields: Json = { stop_sequences: stops && stops.length > 0 ? stops : undefined }
  if (!manner.samples || thinks) {
    const why = manner.samples ? `${model} refuses it while it thinks` : `${model} refuses it`
    if (temperature !== undefined) drop('temperature', why)
    if (topP !== undefined) drop('topP', why)
    return { fields, warnings }
  }
  if (temperature !== undefined && temperature > 1) warnings.push('temperature was lowered to 1, the most here')
  fields['temperature'] = temperature === undefined ? undefined : Math.min(temperature, 1)
  if (topP !== undefined && temperature !== undefined && !manner.samplesTwice) {
    drop('topP', `${model} takes it or temperature, not both`)
  } else fields['top_p'] = topP
  return { fields, warnings }
}

/** A budget of thinking and a forced tool exclude each other. */
function encodeChoice(
  { tools, toolChoice }: ChatAsk,
  manner: Manner,
  thinks: boolean,
): { field?: Json; warnings: string[] } {
  if (toolChoice === undefined) return { warnings: [] }
  if (!tools?.length) return { warnings: ['toolChoice was left out: there are no tools to choose from'] }
  const forced = toolChoice !== 'auto' && toolChoice !== 'none'
  if (forced && (!manner.canBeForced || (thinks && manner.thinking === 'budget'))) {
    const why = manner.canBeForced ? 'a tool cannot be forced while the model thinks' : 'this model cannot be forced'
    return { field: { type: 'auto' }, warnings: [`toolChoice became auto: ${why}`] }
  }
  return { field: encodeToolChoice(toolChoice), warnings: [] }
}

async function* decodeModels(response: HttpResponse): AsyncGenerator<Events> {
  const body = await readJson(response)
  const { data, error, has_more, last_id } = isObject(body) ? body : ({} as Json)
  if (error) throw faultOfProblem(readProblem(body), response.headers)
  if (!Array.isArray(data))
    throw new Fault('invalid_response', 'the answer is not a list of models', { cause: 'bad_json' })
  const isMore = has_more === true && typeof last_id === 'string'
  yield [
    ...data.flatMap((item) => {
      const model = isObject(item) ? readModel(item) : undefined
      return model ? [{ type: 'model' as const, model }] : []
    }),
    ...(isMore ? [{ type: 'next-page' as const, after: last_id }] : []),
  ]
}

function readModel(item: Json): ModelInfo | undefined {
  const { id, created_at, max_input_tokens } = item
  if (typeof id !== 'string') return undefined
  const created = Date.parse(String(created_at))
  const contextWindow = countOf(max_input_tokens)
  const capabilities = capabilitiesOf(item['capabilities'])
  return {
    name: id,
    ownedBy: 'anthropic',
    ...(Number.isFinite(created) ? { created: created / 1000 } : {}),
    ...(contextWindow === undefined ? {} : { contextWindow }),
    ...(capabilities ? { capabilities } : {}),
  }
}

/** What the model can do, by the words that other dialects use where there are such; undefined if it is not told. */
function capabilitiesOf(told: unknown): string[] | undefined {
  if (!isObject(told)) return undefined
  const supported = Object.entries(told).filter(([, value]) => isObject(value) && value['supported'] === true)
  const common: Readonly<Record<string, string>> = { image_input: 'vision' }
  return [
    'completion',
    'tools',
    ...supported.map(([name]) => (Object.hasOwn(common, name) ? (common[name] as string) : name)),
  ]
}
