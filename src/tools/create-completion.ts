import { finishReasons } from '../gateway.ts'
import type { Handle } from '../handle.ts'
import { formatCompletion } from '../pipeline/formatter.ts'
import { parseCompletion } from '../pipeline/parser.ts'
import * as z from '../schema.ts'
import type { Tool } from '../tool.ts'
import { asksProvider, bindTool, type ToolDefinition } from './definition.ts'

const text = (description: string) => z.optional(z.string().check(z.describe(description)))
const object = (description: string) => z.optional(z.looseObject({}).check(z.describe(description)))
const number = (least: number, most: number, description: string) =>
  z.optional(z.number().check(z.minimum(least), z.maximum(most), z.describe(description)))

export const usage = z.lazily(() =>
  z.optional(
    z.strictObject({
      promptTokens: z.number(),
      completionTokens: z.number(),
      totalTokens: z.number(),
      cachedPromptTokens: z.optional(z.number()),
      reasoningTokens: z.optional(z.number()),
    }),
  ),
)

export const createCompletion = {
  name: 'createCompletion',
  title: 'Create completion',
  description:
    'Asks a language model and returns its answer, streamed as progress. Give prompt, or messages for a conversation, tool results or images.',
  input: z.lazily(() =>
    z.strictObject({
      model: text('provider/model, an alias, or a bare name; default: the configured one'),
      prompt: text('The question, as plain text'),
      messages: z.optional(
        z
          .array(z.looseObject({ role: z.enum(['system', 'developer', 'user', 'assistant', 'tool']) }))
          .check(
            z.describe(
              'Instead of prompt: {role, content}; content is a string or MCP blocks (text, image, audio, resource, tool_use, tool_result)',
            ),
          ),
      ),
      system: text('Instructions that stand before the conversation'),
      maxTokens: z.optional(z.int().check(z.minimum(1), z.describe('Most tokens to write'))),
      temperature: number(0, 2, 'Randomness'),
      topP: number(0, 1, 'Nucleus sampling'),
      stop: z.optional(z.array(z.string()).check(z.describe('Texts at which to stop'))),
      seed: z.optional(z.int().check(z.describe('For repeatable sampling'))),
      reasoningEffort: z.optional(
        z
          .enum(['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max'])
          .check(z.describe('How long a reasoning model may think')),
      ),
      responseSchema: object('JSON Schema that the answer must fit; the parsed value is returned as object'),
      tools: z.optional(
        z
          .array(z.looseObject({ name: z.optional(z.string()) }))
          .check(
            z.describe('Tools the model may ask for: {name, description, inputSchema}; calls return in toolCalls'),
          ),
      ),
      toolChoice: text('auto, none, required or the name of a tool'),
      mode: z.optional(z.enum(['chat', 'text']).check(z.describe('text is the legacy completion of a prompt'))),
      suffix: text('In mode text: what follows the gap to fill'),
      timeout: z.optional(
        z.number().check(z.minimum(0.001), z.maximum(86_400), z.describe('Most seconds the call may take in all')),
      ),
      options: object('Fields passed to the provider untouched'),
    }),
  ),
  output: z.lazily(() =>
    z.strictObject({
      model: z.string(),
      provider: z.string(),
      text: z.string(),
      reasoning: z.optional(z.string()),
      reasoningBlocks: z.optional(z.array(z.looseObject({}))),
      object: z.optional(z.looseObject({})),
      toolCalls: z.optional(
        z.array(
          z.strictObject({
            id: z.string(),
            name: z.string(),
            arguments: z.looseObject({}),
            argumentsText: z.optional(z.string()),
          }),
        ),
      ),
      logprobs: z.optional(z.array(z.looseObject({}))),
      citations: z.optional(z.array(z.looseObject({}))),
      finishReason: z.enum(finishReasons),
      rawFinishReason: z.optional(z.string()),
      usage: usage(),
      warnings: z.optional(z.array(z.string())),
      timing: z.strictObject({ totalMs: z.number(), firstTokenMs: z.optional(z.number()) }),
      attempts: z.number(),
      substituted: z.optional(z.array(z.looseObject({}))),
      requestId: z.optional(z.string()),
    }),
  ),
  annotations: asksProvider,
} satisfies ToolDefinition

export function createCreateCompletion(handle: Handle, now: () => number): Tool {
  return bindTool(createCompletion, (args, call) => {
    const ask = parseCompletion(args)
    return formatCompletion({ events: handle(ask, call), now, streaming: call.streaming })
  })
}
