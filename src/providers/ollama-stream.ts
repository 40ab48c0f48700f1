import { Fault } from '../errors.ts'
import { type Event, type Events, type FinishReason, gathered, type Usage } from '../gateway.ts'
import { readJson, unfinishedAnswer } from '../http/body.ts'
import type { HttpResponse } from '../http/message.ts'
import { readLines } from '../http/ndjson.ts'
import { requestIdOf } from '../http/problem.ts'
import { countOf, isObject, type Json, parseKeepingDigits } from './json.ts'
import { readLogprobs } from './logprobs.ts'
import { faultOfLine } from './ollama-faults.ts'

/**
 * The answer of /api/chat or /api/generate: lines of JSON, of which the last says `done`, or that last line alone where
 * nothing was streamed. Behind a clean end without it the runner has died (seen by killing one): there may be no error.
 */
export async function* decodeAnswer(response: HttpResponse): AsyncGenerator<Events> {
  const { headers } = response
  let announced = false
  let calls = 0
  let done = false

  function* read(line: unknown): Generator<Event> {
    if (!isObject(line)) {
      throw new Fault('invalid_response', 'a line of the answer is not an object', { cause: 'bad_json' })
    }
    if (line['error']) throw faultOfLine(line, headers)
    if (!announced) {
      announced = true
      const { model } = line
      yield {
        type: 'response',
        requestId: requestIdOf(headers),
        ...(typeof model === 'string' && model !== '' ? { model } : {}),
      }
    }
    for (const event of readMessage(line, calls)) {
      if (event.type === 'tool-call') calls += 1
      yield event
    }
    if (line['done'] !== true) return
    done = true
    yield { type: 'usage', usage: usageOf(line) }
    const raw = line['done_reason']
    yield finishOf(typeof raw === 'string' ? raw : undefined, calls > 0)
  }

  function* readAll(lines: readonly unknown[]): Generator<Event> {
    for (const line of lines) {
      yield* read(line)
      if (done) return
    }
  }

  let isOfDialect = true
  if ((headers['content-type'] ?? '').includes('application/json')) {
    const lines = (await readJson(response, parseLines)) as unknown[]
    isOfDialect = lines.some((line) => isObject(line) && ('message' in line || 'response' in line))
    yield* gathered(readAll(lines))
  } else {
    for await (const lines of readLines(response.body, parseKeepingDigits)) {
      yield* gathered(readAll(lines))
      if (done) break
    }
  }
  if (!done) throw unfinishedAnswer(isOfDialect)
}

/** One value, or, from a proxy that calls them one, lines of which the end of the body may have cut the last. */
function parseLines(text: string): unknown[] {
  try {
    return [parseKeepingDigits(text)]
  } catch (error) {
    const lines = text.split('\n').filter((line) => line.trim() !== '')
    if (lines.length < 2) throw error
    const last = lines.pop() as string
    return [...lines.map(parseKeepingDigits), ...lastOf(last)]
  }
}

function lastOf(line: string): unknown[] {
  try {
    return [parseKeepingDigits(line)]
  } catch {
    return []
  }
}

/** What a line adds: chat has it in `message`, generate beside `done`. The last line may add something as well. */
function readMessage(line: Json, earlierCalls: number): Event[] {
  const message = isObject(line['message']) ? line['message'] : line
  const { thinking, tool_calls: calls } = message
  const text = message['content'] ?? message['response']
  const events: Event[] = []
  if (typeof thinking === 'string' && thinking !== '') events.push({ type: 'reasoning-delta', text: thinking })
  if (typeof text === 'string' && text !== '') events.push({ type: 'text-delta', text })
  events.push(...readLogprobs(line['logprobs']))
  for (const [at, call] of (Array.isArray(calls) ? calls.filter(isObject) : []).entries()) {
    events.push(readToolCall(call, earlierCalls + at))
  }
  return events
}

/** Calls come whole, with the arguments as an object. Older servers give no id, and every call the index 0. */
function readToolCall({ id, function: called }: Json, position: number): Event {
  const { name, arguments: value } = isObject(called) ? called : ({} as Json)
  return {
    type: 'tool-call',
    id: typeof id === 'string' && id !== '' ? id : `call_${position}`,
    name: typeof name === 'string' ? name : '',
    argumentsText: typeof value === 'string' ? value : JSON.stringify(value ?? {}),
  }
}

/** A count of zero is left out of the line (`omitempty` in the server's api/types.go). */
function usageOf(line: Json): Usage {
  const promptTokens = countOf(line['prompt_eval_count']) ?? 0
  const completionTokens = countOf(line['eval_count']) ?? 0
  return { promptTokens, completionTokens, totalTokens: promptTokens + completionTokens }
}

/**
 * The server says `stop` behind tool calls as well, and `load` or `unload` where there was nothing to answer. Old
 * servers give no reason.
 */
function finishOf(raw: string | undefined, calledTools: boolean): Event {
  const reasons: Readonly<Record<string, FinishReason>> = { stop: calledTools ? 'toolCalls' : 'stop', length: 'length' }
  const word = raw ?? 'stop'
  return { type: 'finish', reason: Object.hasOwn(reasons, word) ? (reasons[word] as FinishReason) : 'other', raw }
}
