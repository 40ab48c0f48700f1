import { Fault } from '../errors.ts'
import { type Event, type FinishReason, joined, type Usage } from '../gateway.ts'
import { readJson, tellWhole } from '../http/body.ts'
import type { HttpResponse } from '../http/message.ts'
import { faultOfProblem, readProblem, requestIdOf } from '../http/problem.ts'
import { readEvents, type ServerSentEvent } from '../http/sse.ts'
import { isObject, type Json } from './json.ts'
import { readLogprobs } from './logprobs.ts'
import { readUsage } from './openai-usage.ts'

/** What one choice of one chunk, or of a whole answer, brings. */
type ChoiceReader = (choice: Json, calls: ToolCalls) => Event[]

/**
 * A streamed answer, or a whole one from a server that does not stream. It is complete with `[DONE]` or with a finish
 * reason, and only then: servers have been seen to die in mid-answer behind a clean end of the body.
 */
export async function* decodeStream(response: HttpResponse, readChoice: ChoiceReader): AsyncGenerator<Event> {
  const { headers } = response
  const calls = createToolCalls()
  let announced = false
  let finish: string | undefined
  let refused = false
  let furtherChoices = false
  let sawText = false
  let usage: Usage | undefined
  let done = false

  const count = (told: unknown) => {
    usage = readUsage(told) ?? usage
  }

  function* read(chunk: unknown): Generator<Event> {
    if (!isObject(chunk))
      throw new Fault('invalid_response', 'a piece of the answer is not an object', { cause: 'bad_json' })
    const { error, model, choices } = chunk
    // The error may also be the whole chunk.
    if (error || chunk['object'] === 'error') throw faultOfProblem(readProblem(chunk), headers)
    // Azure's first chunk names no model; a server that never names one is announced all the same.
    const choiceList = Array.isArray(choices) ? choices : []
    if (!announced && (model || choiceList.length > 0)) {
      announced = true
      yield {
        type: 'response',
        requestId: requestIdOf(headers),
        model: typeof model === 'string' && model ? model : undefined,
      }
    }
    for (const choice of choiceList) {
      if (!isObject(choice)) continue
      if (typeof choice['index'] === 'number' && choice['index'] !== 0) {
        if (!furtherChoices) yield { type: 'warning', message: 'only the first of several choices is returned' }
        furtherChoices = true
        continue
      }
      // OpenRouter tells what befell a single choice inside it.
      if (isObject(choice['error'])) throw faultOfProblem(readProblem(choice), headers)
      // Moonshot counts beside the finish reason.
      count(choice['usage'])
      for (const event of readChoice(choice, calls)) {
        sawText ||= event.type === 'text-delta'
        yield event
      }
      refused ||= isObject(messageOf(choice)) && Boolean((messageOf(choice) as Json)['refusal'])
      // Servers have been seen to write an empty reason where there is none yet.
      if (typeof choice['finish_reason'] === 'string' && choice['finish_reason'] !== '')
        finish = choice['finish_reason']
    }
    if (isObject(chunk['x_groq'])) count(chunk['x_groq']['usage'])
    count(chunk['usage'])
  }

  function* readAll(events: readonly ServerSentEvent[]): Generator<Event> {
    for (const { event, data } of events) {
      done = data.startsWith('[DONE]')
      if (done) return
      // Sent to keep the connection open.
      if (data.trim() === '') continue
      const chunk = parseChunk(data)
      if (event === 'error') throw faultOfProblem(readProblem(chunk), headers)
      yield* read(chunk)
    }
  }

  const { whole, body } = await tellWhole(response)
  if (whole) {
    const answer = await readJson({ ...response, body })
    yield* read(answer)
    done = isObject(answer) && Array.isArray(answer['choices'])
  } else {
    for await (const events of readEvents(body)) {
      for (const event of joined(readAll(events))) yield event
      if (done) break
    }
  }
  if (!done && finish === undefined) {
    throw new Fault('truncated', 'the answer ended before its end marker', { cause: 'no_end_marker', retryable: true })
  }
  const toolCalls = calls.all()
  if (finish === undefined && !sawText && toolCalls.length === 0) {
    throw new Fault('invalid_response', 'the answer is empty', { cause: 'empty', retryable: true })
  }
  yield* toolCalls
  if (usage) yield { type: 'usage', usage }
  yield { type: 'finish', reason: finishReasonOf(finish, toolCalls.length > 0, refused), raw: finish }
}

function parseChunk(data: string): unknown {
  try {
    return JSON.parse(data)
  } catch {
    throw new Fault('invalid_response', 'a piece of the answer is not valid JSON', { cause: 'bad_json' })
  }
}

function messageOf(choice: Json): unknown {
  return choice['delta'] ?? choice['message']
}

export function readChatChoice(choice: Json, calls: ToolCalls): Event[] {
  const message = messageOf(choice)
  if (!isObject(message)) return readLogprobs(choice['logprobs'])
  const { content, refusal, tool_calls: fragments, function_call: call } = message
  for (const fragment of Array.isArray(fragments) ? fragments : []) calls.add(fragment)
  if (isObject(call)) calls.add({ index: 0, function: call })
  const events: Event[] = []
  const thought = message['reasoning_content'] || message['reasoning'] || message['thinking']
  if (typeof thought === 'string' && thought !== '') events.push({ type: 'reasoning-delta', text: thought })
  for (const part of Array.isArray(content) ? content : [content]) events.push(...readContent(part))
  // A refusal is the model's answer, and the only text there is.
  events.push(...readContent(refusal), ...readLogprobs(choice['logprobs']))
  return events
}

/** Content is a text, or, at some servers, a list of typed parts. */
function readContent(part: unknown): Event[] {
  if (typeof part === 'string') return part === '' ? [] : [{ type: 'text-delta', text: part }]
  if (!isObject(part)) return []
  const { type, text, thinking } = part
  if (type === 'thinking') {
    const thoughts = Array.isArray(thinking) ? thinking : [thinking]
    return thoughts.flatMap((thought) => {
      const words = isObject(thought) ? thought['text'] : thought
      return typeof words === 'string' && words !== '' ? [{ type: 'reasoning-delta' as const, text: words }] : []
    })
  }
  return readContent(typeof text === 'string' ? text : undefined)
}

export function readTextChoice(choice: Json): Event[] {
  return [...readContent(choice['text']), ...readLogprobs(choice['logprobs'])]
}

type ToolCalls = { add(fragment: unknown): void; all(): Extract<Event, { type: 'tool-call' }>[] }

const maxToolCalls = 1024

/**
 * Gathers tool calls from fragments, by index. Servers have been seen to give all calls one index, or none: then a name
 * with a new id begins a new call, and without ids a name behind arguments does, or, where there is an index, behind whole
 * ones. Others give every fragment a new id.
 */
export function createToolCalls(): ToolCalls {
  type Call = { index: number | undefined; id: string; name: string; pieces: string[] }
  const calls: Call[] = []
  const byIndex = new Map<number | undefined, Call>()
  const begin = (index: number | undefined): Call => {
    if (calls.length >= maxToolCalls) throw impossibleIndex()
    const call = { index, id: '', name: '', pieces: [] }
    calls.push(call)
    byIndex.set(index, call)
    return call
  }
  return {
    add(fragment) {
      if (!isObject(fragment)) return
      const { id } = fragment
      const index = readIndex(fragment['index'])
      const { name, piece } = readCalled(fragment)
      const known = index === undefined ? calls.at(-1) : byIndex.get(index)
      const isNamed = typeof name === 'string' && name !== ''
      const isOther =
        isNamed &&
        (typeof id === 'string' && id !== ''
          ? known !== undefined && known.id !== '' && known.id !== id
          : index === undefined
            ? (known?.pieces.length ?? 0) > 0
            : isWhole(known?.pieces ?? []))
      const call = known && !isOther ? known : begin(index)
      if (typeof id === 'string') call.id ||= id
      if (isNamed) call.name = name
      if (typeof piece === 'string' && piece !== '') call.pieces.push(piece)
      else if (isObject(piece)) call.pieces.push(JSON.stringify(piece))
    },
    all: () =>
      inOrder(calls).map(({ id, name, pieces }, position) => ({
        type: 'tool-call',
        id: id || `call_${position}`,
        name,
        argumentsText: pieces.join(''),
      })),
  }
}

/** Whether the arguments have come in one piece, to which nothing can be added. */
function isWhole([piece = '', ...more]: readonly string[]): boolean {
  if (more.length > 0 || !piece.trimEnd().endsWith('}')) return false
  try {
    return isObject(JSON.parse(piece))
  } catch {
    return false
  }
}

/** What is called, and with what: of a custom tool, the model writes no arguments but a free text. */
function readCalled({ function: called, custom }: Json): { name?: unknown; piece?: unknown } {
  if (isObject(called)) return { name: called['name'], piece: called['arguments'] }
  return isObject(custom) ? { name: custom['name'], piece: custom['input'] } : {}
}

function readIndex(told: unknown): number | undefined {
  if (told === undefined || told === null) return undefined
  if (!Number.isSafeInteger(told) || (told as number) < 0) throw impossibleIndex()
  return told as number
}

/** An index is a place in the list of calls; where calls share one or have none, they stay as they came. */
function inOrder<Call extends { index: number | undefined }>(calls: readonly Call[]): readonly Call[] {
  const places = new Set(calls.map(({ index }) => index))
  if (places.has(undefined) || places.size < calls.length) return calls
  return calls.toSorted((left, right) => (left.index ?? 0) - (right.index ?? 0))
}

function impossibleIndex(): Fault {
  return new Fault('invalid_response', 'a tool call of the answer has an impossible index', { cause: 'bad_index' })
}

const finishReasonsByName: Readonly<Record<string, FinishReason>> = {
  stop: 'stop',
  eos: 'stop',
  length: 'length',
  model_length: 'length',
  tool_calls: 'toolCalls',
  function_call: 'toolCalls',
  content_filter: 'contentFilter',
}

/** Decided by what came before by what is said: servers have been seen to say `stop` behind tool calls. */
function finishReasonOf(raw: string | undefined, calledTools: boolean, refused: boolean): FinishReason {
  const named =
    raw === undefined ? 'stop' : Object.hasOwn(finishReasonsByName, raw) ? finishReasonsByName[raw] : undefined
  if (named === 'stop') return refused ? 'refusal' : calledTools ? 'toolCalls' : 'stop'
  return named ?? 'other'
}
