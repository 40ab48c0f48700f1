import { Fault } from '../errors.ts'
import { type Event, type Events, type FinishReason, gathered, type Usage } from '../gateway.ts'
import { readJson, tellWhole } from '../http/body.ts'
import type { HttpResponse } from '../http/message.ts'
import { faultOfProblem, type Problem, readProblem, requestIdOf } from '../http/problem.ts'
import { readEvents, type ServerSentEvent } from '../http/sse.ts'
import { createCitations } from './citations.ts'
import { countOf, isObject, type Json } from './json.ts'
import { readLogprobs } from './logprobs.ts'
import { readUsage } from './openai-usage.ts'

/** The events that end a stream, and the status of the response that each brings. */
const endings: Readonly<Record<string, string>> = {
  'response.completed': 'completed',
  'response.incomplete': 'incomplete',
  'response.failed': 'failed',
}

/**
 * The answer of /responses (ResponseStreamEvent of OpenAI's OpenAPI document 2.3.0): named events, of which the last
 * brings the whole response once more, or that response alone from a server that does not stream. There is no `[DONE]`:
 * an answer is complete with one of the three endings, and only then.
 */
export async function* decodeResponse(response: HttpResponse): AsyncGenerator<Events> {
  const { headers } = response
  const calls = new Set<string>()
  const sealed = new Set<unknown>()
  const citations = createCitations()
  /** Calls may be finished in another order than the one in which they stand in the answer. */
  const finished: { place: number; call: Json }[] = []
  /** Calls and words by the item that they are of, for servers that repeat neither at its end nor at the answer's. */
  const begun = new Map<unknown, { place: number; call: Json; pieces: string[] }>()
  const spoken = new Set<string>()
  let announced = false
  let named = false
  let sawText = false
  let sawThought = false
  let refused = false
  let sequence = 0
  let status: string | undefined
  let whole: Json | undefined
  let done = false

  function* announce(body: unknown): Generator<Event> {
    const model = isObject(body) && typeof body['model'] === 'string' ? body['model'] : ''
    // Servers have been seen to name the model at the end only.
    if (announced && (named || model === '')) return
    announced = true
    named = model !== ''
    yield { type: 'response', requestId: requestIdOf(headers), ...(named ? { model } : {}) }
  }

  function* text(piece: unknown): Generator<Event> {
    if (typeof piece !== 'string' || piece === '') return
    sawText = true
    yield { type: 'text-delta', text: piece }
  }

  function* thought(piece: unknown): Generator<Event> {
    if (typeof piece !== 'string' || piece === '') return
    sawThought = true
    yield { type: 'reasoning-delta', text: piece }
  }

  /** The sources of a message, and the pages that a search has found. */
  function citeFrom({ content, action }: Json): void {
    for (const part of objectsOf(content)) for (const one of objectsOf(part['annotations'])) citations.cite(one)
    if (isObject(action)) for (const page of objectsOf(action['sources'])) citations.find(page)
  }

  /** What an item holds that does not come in pieces. */
  function* item(one: unknown): Generator<Event> {
    if (!isObject(one)) return
    citeFrom(one)
    if (isCall(one)) {
      const call = readCall(one, calls.size)
      if (calls.has(call.key)) return
      calls.add(call.key)
      yield call.event
    } else if (one['type'] === 'reasoning' && typeof one['encrypted_content'] === 'string') {
      if (sealed.has(one['id'])) return
      sealed.add(one['id'])
      yield { type: 'reasoning-block', block: one }
    }
  }

  function* read(event: Json, type: unknown): Generator<Event> {
    switch (type) {
      case 'response.created':
      case 'response.queued':
      case 'response.in_progress':
        return yield* announce(event['response'])
      case 'response.output_text.delta':
        spoken.add(partOf(event))
        yield* text(event['delta'])
        return yield* readLogprobs(event['logprobs'])
      case 'response.output_text.done':
        if (spoken.has(partOf(event))) return
        spoken.add(partOf(event))
        return yield* text(event['text'])
      case 'response.output_item.added':
        if (isCall(event['item'])) begun.set(keyOf(event), { place: placeOf(event), call: event['item'], pieces: [] })
        return
      case 'response.function_call_arguments.delta':
        if (typeof event['delta'] === 'string') begun.get(keyOf(event))?.pieces.push(event['delta'])
        return
      case 'response.function_call_arguments.done': {
        const unfinished = begun.get(keyOf(event))
        if (unfinished && typeof event['arguments'] === 'string') unfinished.pieces = [event['arguments']]
        return
      }
      case 'response.output_text.annotation.added':
        return citations.cite(event['annotation'])
      case 'response.refusal.delta':
        refused = true
        return yield* text(event['delta'])
      case 'response.reasoning_summary_part.added':
        // Each part is a paragraph of its own, with a heading.
        return yield* thought(sawThought ? '\n\n' : '')
      case 'response.reasoning_summary_text.delta':
      case 'response.reasoning_text.delta':
        return yield* thought(event['delta'])
      case 'response.output_item.done':
        if (!isCall(event['item'])) return yield* item(event['item'])
        begun.delete(keyOf(event))
        finished.push({ place: placeOf(event), call: event['item'] })
        return
      case 'error':
        throw faultOf(readProblem(event), headers)
    }
    if (typeof type === 'string' && Object.hasOwn(endings, type)) {
      status = endings[type]
      whole = isObject(event['response']) ? event['response'] : {}
    } else if (event['error']) throw faultOf(readProblem(event), headers)
  }

  /** What has not come in pieces by the end, or all of it from a server that does not stream. */
  function* rest(items: readonly unknown[]): Generator<Event> {
    const textCame = sawText
    const thoughtCame = sawThought
    for (const one of items) {
      if (!isObject(one)) continue
      if (one['type'] === 'reasoning' && !thoughtCame) {
        for (const part of [...objectsOf(one['summary']), ...objectsOf(one['content'])]) {
          if (sawThought) yield* thought('\n\n')
          yield* thought(part['text'])
        }
      }
      if (one['type'] === 'message' && !textCame) {
        for (const part of objectsOf(one['content'])) {
          refused ||= part['type'] === 'refusal'
          yield* text(part['type'] === 'refusal' ? part['refusal'] : part['text'])
          yield* readLogprobs(part['logprobs'])
        }
      }
      yield* item(one)
    }
  }

  function* readAll(events: readonly ServerSentEvent[]): Generator<Event> {
    for (const { event: name, data } of events) {
      done = data.startsWith('[DONE]')
      if (done) return
      const event = parsed(data)
      const number = event['sequence_number']
      // A proxy that took up a broken connection again repeats events. Servers that do not count send 0 throughout.
      if (typeof number === 'number' && number > 0) {
        if (number <= sequence) continue
        sequence = number
      }
      yield* read(event, event['type'] ?? name)
      if (whole) return
    }
  }

  function* conclude(answer: Json, ending: string): Generator<Event> {
    yield* announce(answer)
    yield* rest(Array.isArray(answer['output']) ? answer['output'] : [])
    for (const { place, call, pieces } of begun.values()) {
      finished.push({ place, call: pieces.length > 0 ? { ...call, arguments: pieces.join('') } : call })
    }
    for (const { call } of finished.sort((left, right) => left.place - right.place)) yield* item(call)
    yield* citations.all()
    const usage = usageOf(answer['usage'])
    if (usage) yield { type: 'usage', usage }
    yield finishOf(answer, ending, refused ? 'refusal' : calls.size > 0 ? 'toolCalls' : 'stop')
  }

  const told = await tellWhole(response)
  if (told.whole) {
    const answer = await readJson({ ...response, body: told.body })
    if (!isObject(answer) || !(answer['error'] || Array.isArray(answer['output']))) throw badPiece()
    whole = answer
    status = typeof answer['status'] === 'string' ? answer['status'] : 'completed'
  } else {
    for await (const events of readEvents(told.body, isEnding)) {
      yield* gathered(readAll(events))
      if (done || whole) break
    }
  }
  if (!whole) {
    throw new Fault('truncated', 'the answer ended before its end marker', { cause: 'no_end_marker', retryable: true })
  }
  if (whole['error'] || status === 'failed') throw faultOf(readProblem(whole), headers)
  if (status !== 'completed' && status !== 'incomplete') {
    throw new Fault('invalid_response', 'it answered before the answer was complete', { cause: 'unfinished' })
  }
  yield* gathered(conclude(whole, status))
}

/** Where an item stands in the answer. Ids have been seen to change from event to event. */
function placeOf({ output_index }: Json): number {
  return countOf(output_index) ?? 0
}

function keyOf({ output_index, item_id, item }: Json): unknown {
  return countOf(output_index) ?? item_id ?? (isObject(item) ? item['id'] : undefined)
}

function partOf(event: Json): string {
  return `${String(keyOf(event))} ${countOf(event['content_index']) ?? 0}`
}

function isCall(item: unknown): item is Json {
  return isObject(item) && (item['type'] === 'function_call' || item['type'] === 'custom_tool_call')
}

/** For a custom tool, the model writes no arguments but a free text, the input. */
function readCall({ call_id, id, name, arguments: given, input }: Json, position: number) {
  const args = given ?? input
  const argumentsText = typeof args === 'string' ? args : isObject(args) ? JSON.stringify(args) : ''
  const known = [call_id, id].find((value) => typeof value === 'string' && value !== '') as string | undefined
  const event: Event = {
    type: 'tool-call',
    id: known ?? `call_${position}`,
    name: typeof name === 'string' ? name : '',
    argumentsText,
  }
  return { key: known ?? `${name} ${argumentsText}`, event }
}

const finishReasons: Readonly<Record<string, FinishReason>> = {
  max_output_tokens: 'length',
  content_filter: 'contentFilter',
}

function finishOf(whole: Json, status: string, completed: FinishReason): Event {
  if (status === 'completed') return { type: 'finish', reason: completed, raw: status }
  const details = whole['incomplete_details']
  const raw = isObject(details) && typeof details['reason'] === 'string' ? details['reason'] : status
  const reason = Object.hasOwn(finishReasons, raw) ? finishReasons[raw] : undefined
  return { type: 'finish', reason: reason ?? 'other', raw }
}

/** The same counts as those of chat, by other names. */
function usageOf(usage: unknown): Usage | undefined {
  if (!isObject(usage)) return undefined
  return readUsage({
    prompt_tokens: usage['input_tokens'],
    prompt_tokens_details: usage['input_tokens_details'],
    completion_tokens: usage['output_tokens'],
    completion_tokens_details: usage['output_tokens_details'],
    total_tokens: usage['total_tokens'],
  })
}

/** ResponseErrorCode of the OpenAPI document: what is wrong with the request, and not with the server. */
const ourFault = /^(?:invalid_|image_|unsupported_|empty_|failed_to_download|data_residency|bio_policy|cyber_policy)/

/** The events' own codes in the words of the errors that other endpoints answer with. */
function faultOf(problem: Problem, headers: Readonly<Record<string, string>>): Fault {
  const word = problem.code ?? problem.type ?? ''
  const type = word === 'too_many_requests' ? 'rate_limit_error' : ourFault.test(word) ? 'invalid_request_error' : ''
  return faultOfProblem({ ...problem, ...(type === '' ? {} : { type }) }, headers)
}

function objectsOf(value: unknown): Json[] {
  return Array.isArray(value) ? value.filter(isObject) : []
}

function isEnding(data: string): boolean {
  const { type } = objectIn(data) ?? {}
  return typeof type === 'string' && Object.hasOwn(endings, type)
}

function parsed(data: string): Json {
  const value = objectIn(data)
  if (value) return value
  throw badPiece()
}

function objectIn(data: string): Json | undefined {
  try {
    const value: unknown = JSON.parse(data)
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

function badPiece(): Fault {
  return new Fault('invalid_response', 'a piece of the answer is not what this dialect knows', { cause: 'bad_json' })
}
