import { Fault } from '../errors.ts'
import type { EmbedAsk, Events, ModelInfo } from '../gateway.ts'
import { readJson } from '../http/body.ts'
import type { HttpResponse } from '../http/message.ts'
import { faultOfProblem, readProblem, requestIdOf } from '../http/problem.ts'
import { countOf, encodeFloats, isObject, type Json } from './json.ts'
import { readUsage } from './openai-usage.ts'

/** The answers of the OpenAI dialect that are one JSON document: embeddings and the list of models. */

export async function* decodeEmbeddings(response: HttpResponse, { input, encoding }: EmbedAsk): AsyncGenerator<Events> {
  const body = await readJson(response)
  const { data, model, usage, error } = isObject(body) ? body : ({} as Json)
  if (error) throw faultOfProblem(readProblem(body), response.headers)
  if (!Array.isArray(data) || data.length !== input.length) {
    throw new Fault('invalid_response', `the answer does not hold the ${input.length} embeddings that were asked for`, {
      cause: 'bad_json',
    })
  }
  const counted = readUsage(usage)
  yield [
    {
      type: 'response',
      requestId: requestIdOf(response.headers),
      ...(typeof model === 'string' && model !== '' ? { model } : {}),
    },
    ...data.map((item, position) => {
      const { embedding, index } = isObject(item) ? item : ({} as Json)
      return {
        type: 'embedding' as const,
        index: Number.isSafeInteger(index) ? (index as number) : position,
        embedding: encoding === 'base64' ? toBase64(embedding) : toNumbers(embedding),
      }
    }),
    ...(counted ? [{ type: 'usage' as const, usage: counted }] : []),
  ]
}

/** Base64 holds little-endian 32-bit floats. Servers may answer in the other encoding than the one asked for. */
function toNumbers(embedding: unknown): number[] {
  if (Array.isArray(embedding) && embedding.every((value) => typeof value === 'number')) return embedding
  if (typeof embedding !== 'string') throw badEmbedding()
  const bytes = Buffer.from(embedding, 'base64')
  return Array.from({ length: Math.floor(bytes.length / 4) }, (_, at) => bytes.readFloatLE(at * 4))
}

function toBase64(embedding: unknown): string {
  return typeof embedding === 'string' ? embedding : encodeFloats(toNumbers(embedding))
}

function badEmbedding(): Fault {
  return new Fault('invalid_response', 'an embedding of the answer is neither numbers nor base64', {
    cause: 'bad_json',
  })
}

/** The list comes as `data`, as `models`, or bare. */
export async function* decodeModels(response: HttpResponse): AsyncGenerator<Events> {
  const body = await readJson(response)
  if (isObject(body) && body['error']) throw faultOfProblem(readProblem(body), response.headers)
  const list = isObject(body) ? (body['data'] ?? body['models']) : body
  if (!Array.isArray(list)) {
    throw new Fault('invalid_response', 'the answer is not a list of models', { cause: 'bad_json' })
  }
  yield list.flatMap((item) => {
    const model = isObject(item) ? readModel(item) : undefined
    return model ? [{ type: 'model' as const, model }] : []
  })
}

function readModel(item: Json): ModelInfo | undefined {
  const name = item['id'] ?? item['name']
  if (typeof name !== 'string') return undefined
  const meta = isObject(item['meta']) ? item['meta'] : {}
  const created = countOf(item['created'])
  const ownedBy = item['owned_by']
  const contextWindow = [
    item['context_length'],
    item['context_window'],
    item['max_model_len'],
    item['max_context_length'],
    meta['n_ctx'],
  ]
    .map(countOf)
    .find((value) => value !== undefined)
  return {
    name,
    ...(created === undefined ? {} : { created }),
    ...(typeof ownedBy === 'string' ? { ownedBy } : {}),
    ...(contextWindow === undefined ? {} : { contextWindow }),
  }
}
