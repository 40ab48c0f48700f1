import { Fault } from '../errors.ts'
import { type Event, type Events, gathered } from '../gateway.ts'
import type { HttpResponse } from '../http/message.ts'
import { readLines } from '../http/ndjson.ts'
import { faultOfProblem, readProblem } from '../http/problem.ts'
import type { ProviderTool } from '../provider.ts'
import { isObject, type Json } from './json.ts'
import { decodeResult, post, stringOf, text } from './provider-tools.ts'

/** What Ollama tells and does about its models (its docs/openapi.yaml: /api/show, /api/ps, /api/pull). */
export const ollamaTools: Readonly<Record<string, ProviderTool>> = {
  show: {
    description: 'Tells what is known of a model: template, parameters, context length, capabilities',
    inputSchema: { type: 'object', properties: { model: text('Which model') }, required: ['model'] },
    sendOnce: false,
    encode: (ask, { baseUrl }) => post(`${baseUrl}/api/show`, { model: ask.arguments['model'] }),
    decode: decodeResult,
  },
  ps: {
    description: 'Lists the models that are loaded, with their memory and the time they stay',
    inputSchema: { type: 'object', properties: {} },
    sendOnce: false,
    encode: (_, { baseUrl }) => ({ method: 'GET', url: `${baseUrl}/api/ps`, headers: {}, warnings: [] }),
    decode: decodeResult,
  },
  pull: {
    description: 'Fetches a model from the Ollama library; can take many minutes',
    inputSchema: { type: 'object', properties: { model: text('Which model, as llama3.2:3b') }, required: ['model'] },
    sendOnce: true,
    encode: (ask, { baseUrl }) => ({
      ...post(`${baseUrl}/api/pull`, { model: stringOf(ask, 'model', ''), stream: true }),
      slowStart: true,
    }),
    decode: decodePull,
  },
}

/** Each new stage is a line of text; the bytes in between are steps without words. */
async function* decodePull(response: HttpResponse): AsyncGenerator<Events> {
  let stage: unknown
  function* read(lines: readonly unknown[]): Generator<Event> {
    for (const line of lines) {
      const { status, error } = isObject(line) ? line : ({} as Json)
      if (error) throw faultOfProblem(readProblem(line), response.headers)
      if (typeof status === 'string' && status !== stage) yield { type: 'text-delta', text: `${status}\n` }
      else yield { type: 'step' }
      stage = status ?? stage
    }
  }
  for await (const lines of readLines(response.body)) yield* gathered(read(lines))
  if (stage !== 'success') {
    throw new Fault('truncated', 'the download ended before it was complete', {
      cause: 'no_end_marker',
      retryable: true,
    })
  }
  yield [{ type: 'result', value: { status: 'success' } }]
}
