import type { ProviderTool } from '../provider.ts'
import { decodeMessage } from './anthropic-stream.ts'
import { asResult, decodeResult, post, stringOf, text } from './provider-tools.ts'

/** Still the only version of its API. */
export const versionHeader = { 'anthropic-version': '2023-06-01' }

/** Anthropic's services beside its models' words (API reference: count_tokens, web search tool). */
export const anthropicTools: Readonly<Record<string, ProviderTool>> = {
  countTokens: {
    description: 'Counts the tokens of a prompt without asking the model',
    inputSchema: {
      type: 'object',
      properties: {
        model: text('Whose tokens'),
        prompt: text('The prompt, as plain text'),
        messages: {
          type: 'array',
          items: { type: 'object' },
          description: "Instead of prompt: Anthropic's own messages",
        },
        system: text('Instructions before it'),
        tools: { type: 'array', items: { type: 'object' }, description: "Anthropic's own tool definitions" },
      },
      required: ['model'],
    },
    sendOnce: false,
    encode: (ask, { baseUrl }) => {
      const { model, prompt, messages, system, tools } = ask.arguments
      const asked = messages ?? [{ role: 'user', content: prompt }]
      return post(`${baseUrl}/v1/messages/count_tokens`, { model, messages: asked, system, tools }, versionHeader)
    },
    decode: decodeResult,
  },
  searchWeb: {
    description: 'Answers a question after searching the web',
    inputSchema: {
      type: 'object',
      properties: {
        prompt: text('The question'),
        model: text('Which model answers'),
        maxSearches: { type: 'integer', description: 'Default: 5' },
      },
      required: ['prompt', 'model'],
    },
    sendOnce: true,
    encode: (ask, { baseUrl }) => {
      const { maxSearches } = ask.arguments
      const search = { type: 'web_search_20250305', name: 'web_search', max_uses: maxSearches ?? 5 }
      const body = {
        model: stringOf(ask, 'model', ''),
        max_tokens: 4096,
        messages: [{ role: 'user', content: ask.arguments['prompt'] }],
        tools: [search],
        stream: true,
      }
      return { ...post(`${baseUrl}/v1/messages`, body, versionHeader), slowStart: true }
    },
    decode: (response) => asResult(decodeMessage(response)),
  },
}
