import type { ProviderTool, Target } from '../provider.ts'
import { decodeResult, post, text } from './provider-tools.ts'

/** LM Studio's own surface for what is loaded (its REST API, /api/v1/models/load and /unload, since 0.4.0). */
export const lmstudioTools: Readonly<Record<string, ProviderTool>> = {
  load: {
    description: 'Loads a model into memory; can take a minute',
    inputSchema: {
      type: 'object',
      properties: {
        model: text('Which model, as listModels names it'),
        contextLength: { type: 'integer', description: 'The most tokens it shall consider' },
      },
      required: ['model'],
    },
    sendOnce: true,
    encode: ({ arguments: { model, contextLength } }, target) => ({
      ...post(urlOf(target, 'load'), { model, context_length: contextLength, echo_load_config: true }),
      slowStart: true,
    }),
    decode: decodeResult,
  },
  unload: {
    description: 'Takes a loaded model out of memory',
    inputSchema: {
      type: 'object',
      properties: { instance: text('Which loaded instance; usually the name of the model') },
      required: ['instance'],
    },
    sendOnce: true,
    encode: ({ arguments: { instance } }, target) => post(urlOf(target, 'unload'), { instance_id: instance }),
    decode: decodeResult,
  },
}

/** The base URL is the one of the OpenAI dialect, and ends in its /v1. */
function urlOf({ baseUrl }: Target, verb: string): string {
  return `${baseUrl.replace(/\/v1$/, '')}/api/v1/models/${verb}`
}
