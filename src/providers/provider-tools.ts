import { Fault } from '../errors.ts'
import type { Event, Events, ToolAsk } from '../gateway.ts'
import { readJson } from '../http/body.ts'
import type { HttpResponse } from '../http/message.ts'
import { faultOfProblem, readProblem } from '../http/problem.ts'
import type { EncodedRequest } from '../provider.ts'
import { isObject, type Json } from './json.ts'

/** What the tools of several dialects share. */

export const text = (description: string) => ({ type: 'string', description })

/** A JSON answer that is an object, with the error that may stand in its place told as one. */
export async function readResult(response: HttpResponse): Promise<Json> {
  const body = await readJson(response)
  if (!isObject(body)) throw new Fault('invalid_response', 'the answer is not an object', { cause: 'bad_json' })
  if (body['error']) throw faultOfProblem(readProblem(body), response.headers)
  return body
}

/** For a tool whose answer is its result as it stands. */
export async function* decodeResult(response: HttpResponse): AsyncGenerator<Events> {
  yield [{ type: 'result', value: await readResult(response) }]
}

/** For a tool that lets a model answer: its words, what they rest on, what they cost, and whether they are all. */
export async function* asResult(answered: AsyncIterable<Events>): AsyncGenerator<Events> {
  const citations: Json[] = []
  const read = (event: Event): Event[] => {
    if (event.type === 'citation') {
      const { type: _, ...citation } = event
      citations.push(citation)
    }
    if (event.type === 'usage') {
      const value = { ...(citations.length > 0 ? { citations } : {}), usage: event.usage }
      return [{ type: 'result', value }, event]
    }
    if (event.type === 'finish' && event.reason !== 'stop') {
      const message = `the answer is not whole: it ended by ${event.raw ?? event.reason}`
      return [{ type: 'warning', message }, event]
    }
    return [event]
  }
  for await (const events of answered) yield events.flatMap(read)
}

export function post(url: string, json: Json, headers: Record<string, string> = {}): EncodedRequest {
  return { method: 'POST', url, headers, json, warnings: [] }
}

export function stringOf(ask: ToolAsk, name: string, fallback: string): string {
  const value = ask.arguments[name]
  return typeof value === 'string' && value !== '' ? value : fallback
}
