import { Fault } from '../errors.ts'
import type { EmbedAsk, Events, ModelInfo } from '../gateway.ts'
import { readJson } from '../http/body.ts'
import type { HttpResponse } from '../http/message.ts'
import { requestIdOf } from '../http/problem.ts'
import { countOf, encodeFloats, isObject, type Json } from './json.ts'
import { faultOfLine } from './ollama-faults.ts'

/** The answers of Ollama that are one JSON document: embeddings and the list of models. */

export async function* decodeEmbeddings(response: HttpResponse, { input, encoding }: EmbedAsk): AsyncGenerator<Events> {
  const { embeddings, model, prompt_eval_count } = await readDocument(response)
  if (!Array.isArray(embeddings) || embeddings.length !== input.length) {
    throw badDocument(`the answer does not hold the ${input.length} embeddings that were asked for`)
  }
  const promptTokens = countOf(prompt_eval_count)
  const usage = promptTokens === undefined ? [] : [{ promptTokens, completionTokens: 0, totalTokens: promptTokens }]
  yield [
    {
      type: 'response',
      requestId: requestIdOf(response.headers),
      ...(typeof model === 'string' && model !== '' ? { model } : {}),
    },
    ...embeddings.map((value, index) => {
      const numbers = readNumbers(value)
      return { type: 'embedding' as const, index, embedding: encoding === 'base64' ? encodeFloats(numbers) : numbers }
    }),
    ...usage.map((counted) => ({ type: 'usage' as const, usage: counted })),
  ]
}

function readNumbers(value: unknown): number[] {
  if (Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === 'number')) return value
  throw badDocument('an embedding of the answer is not a list of numbers')
}

/** The server knows numbers alone; base64 holds little-endian 32-bit floats, as OpenAI's API has it. */
/** What each model can do and how long its context is, new servers say in the list itself. */
export async function* decodeModels(response: HttpResponse): AsyncGenerator<Events> {
  // Until May 2024 a server without any model listed null (ollama/ollama#4424).
  const { models } = await readDocument(response)
  if (models !== null && !Array.isArray(models)) throw badDocument('the answer is not a list of models')
  yield (models ?? []).flatMap((item) => {
    const model = isObject(item) ? readModel(item) : undefined
    return model ? [{ type: 'model' as const, model }] : []
  })
}

function readModel(item: Json): ModelInfo | undefined {
  const name = item['name'] ?? item['model']
  if (typeof name !== 'string') return undefined
  const { modified_at, details, capabilities } = item
  const created = Math.floor(Date.parse(String(modified_at)) / 1000)
  const contextWindow = isObject(details) ? countOf(details['context_length']) : undefined
  const abilities = Array.isArray(capabilities) ? capabilities.filter((word) => typeof word === 'string') : []
  return {
    name,
    // Go writes the year 1 for a time that it does not know.
    ...(created > 0 ? { created } : {}),
    ...(contextWindow ? { contextWindow } : {}),
    ...(abilities.length > 0 ? { capabilities: abilities } : {}),
  }
}

async function readDocument(response: HttpResponse): Promise<Json> {
  const body = await readJson(response)
  if (!isObject(body)) throw badDocument('the answer is not an object')
  if (body['error']) throw faultOfLine(body, response.headers)
  return body
}

function badDocument(message: string): Fault {
  return new Fault('invalid_response', message, { cause: 'bad_json' })
}
