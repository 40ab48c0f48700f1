import { Fault } from '../errors.ts'
import type { Event, ToolAsk } from '../gateway.ts'
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
export async function* decodeResult(response: HttpResponse): AsyncGenerator<Event> {
  yield { type: 'result', value: await readResult(response) }
}

/** For a tool that lets a model answer: its words, what they rest on, what they cost, and whether they are all. */
export async function* asResult(events: AsyncIterable<Event>): AsyncGenerator<Event> {
  const citations: Json[] = []
  for await (const event of events) {
    if (event.type === 'citation') {
      const { type: _, ...citation } = event
      citations.push(citation)
    }
    if (event.type === 'usage') {
      yield { type: 'result', value: { ...(citations.length > 0 ? { citations } : {}), usage: event.usage } }
    }
    if (event.type === 'finish' && event.reason !== 'stop') {
      yield { type: 'warning', message: `the answer is not whole: it ended by ${event.raw ?? event.reason}` }
    }
    yield event
  }
}

export function post(url: string, json: Json, headers: Record<string, string> = {}): EncodedRequest {
  return { method: 'POST', url, headers, json, warnings: [] }
}

export function stringOf(ask: ToolAsk, name: string, fallback: string): string {
  const value = ask.arguments[name]
  return typeof value === 'string' && value !== '' ? value : fallback
}
