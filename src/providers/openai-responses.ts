import type { ChatAsk } from '../gateway.ts'
import type { EncodedRequest, Operation, Target } from '../provider.ts'
import type { Json } from './json.ts'
import { mannerOf } from './openai-families.ts'
import { encodeFlatToolChoice, encodeFlatTools, encodeInput } from './openai-responses-items.ts'
import { decodeResponse } from './openai-responses-stream.ts'

/**
 * The chat of models that have no /chat/completions: OpenAI's /responses, used without its memory (`store: false`), so
 * that each request carries the whole conversation as it does everywhere else.
 */
export const responses: Operation<ChatAsk> = { encode, decode: (response) => decodeResponse(response) }

/**
 * The models of OpenAI that have no chat endpoint (ResponsesOnlyModel of its OpenAPI document 2.3.0, and the table of
 * Azure's page on reasoning models), by the families that their names show. Names behind another vendor's prefix are
 * left alone: who resells these models offers them at its own chat endpoint.
 */
const responsesOnly =
  /^(?:gpt-\d+(?:\.\d+)?-(?:pro|codex|cyber)|gpt-daybreak|o\d+-pro|codex-mini|(?:gpt-|o\d)[\w.-]*-deep-research|computer-use-preview)(?![a-z0-9])/i

export function needsResponses(model: string): boolean {
  return responsesOnly.test(model)
}

/** The least that the endpoint accepts as `max_output_tokens`. */
const minOutputTokens = 16

function encode(ask: ChatAsk, target: Target): EncodedRequest {
  const reasons = needsResponses(target.model) || mannerOf(target.model, ask.reasoningEffort).reasons
  const { instructions, input, warnings } = encodeInput(ask.messages)
  const sampling = encodeSampling(ask, target.model, reasons)
  const tools = ask.tools && ask.tools.length > 0 ? encodeFlatTools(ask.tools) : undefined
  if (!tools && ask.toolChoice !== undefined)
    warnings.push('toolChoice was left out: there are no tools to choose from')
  const body: Json = {
    model: target.model,
    instructions,
    input,
    ...sampling.fields,
    reasoning: encodeReasoning(ask.reasoningEffort),
    // A thought that led to a call of a tool has to be handed back with the result, and only its sealed form can be.
    include: reasons && tools ? ['reasoning.encrypted_content'] : undefined,
    text: ask.responseSchema && {
      format: { type: 'json_schema', name: 'response', schema: ask.responseSchema, strict: false },
    },
    tools,
    tool_choice: tools && ask.toolChoice !== undefined ? encodeFlatToolChoice(ask.toolChoice) : undefined,
    store: false,
    stream: true,
    ...ask.options,
  }
  return {
    method: 'POST',
    url: `${target.baseUrl}/responses`,
    headers: {},
    json: body,
    warnings: [...warnings, ...sampling.warnings],
    slowStart: reasons,
  }
}

/** A summary is all that is ever shown of the thoughts; without it, a long silence would be all that is seen of them. */
function encodeReasoning(effort: string | undefined): Json | undefined {
  if (effort === undefined) return undefined
  return effort === 'none' ? { effort } : { effort, summary: 'auto' }
}

/** Drops what the endpoint has not or the model refuses, and says so. */
function encodeSampling(ask: ChatAsk, model: string, reasons: boolean): { fields: Json; warnings: string[] } {
  const { maxTokens, temperature, topP, stop, seed } = ask
  const warnings: string[] = []
  const drop = (name: string, value: unknown, why: string) => {
    if (value !== undefined) warnings.push(`${name} was left out: ${why}`)
  }
  if (reasons) {
    drop('temperature', temperature, `${model} refuses it while it reasons`)
    drop('topP', topP, `${model} refuses it while it reasons`)
  }
  drop('stop', stop, `the endpoint of ${model} has none`)
  drop('seed', seed, `the endpoint of ${model} has none`)
  const tooFew = maxTokens !== undefined && maxTokens < minOutputTokens
  if (tooFew) warnings.push(`maxTokens was raised to ${minOutputTokens}, the least that ${model} takes`)
  return {
    fields: {
      max_output_tokens: tooFew ? minOutputTokens : maxTokens,
      ...(reasons ? {} : { temperature, top_p: topP }),
    },
    warnings,
  }
}
