import { Fault } from '../errors.ts'
import { batchOf, createGathering, type Event, type Events, type FinishReason, type Usage } from '../gateway.ts'
import { emptyAnswer, readJson, tellWhole, unfinishedAnswer } from '../http/body.ts'
import type { HttpResponse } from '../http/message.ts'
import { faultOfProblem, readProblem, requestIdOf } from '../http/problem.ts'
import { readEvents, type ServerSentEvent } from '../http/sse.ts'
import { createCitations } from './citations.ts'
import { isObject, type Json, parseKeepingDigits } from './json.ts'
import { readLogprobs } from './logprobs.ts'
import { createThoughts, type ThoughtForm, wordsOf } from './openai-thoughts.ts'
import { createToolCalls, type ToolCalls } from './openai-tool-calls.ts'
import { readUsage } from './openai-usage.ts'
import { createSound } from './spoken-answer.ts'

/** What one choice of one chunk, or of a whole answer, brings. */
type ChoiceReader = (choice: Json, calls: ToolCalls) => Event[]

/** What the request lets expect of its answer. */
type Expected = { thoughts?: readonly ThoughtForm[]; options?: Readonly<Json> | undefined }

/**
 * A streamed answer, or a whole one from a server that does not stream. It is complete with `[DONE]` or with a finish
 * reason, and only then: servers have been seen to die in mid-answer behind a clean end of the body.
 */
export async function* decodeStream(
  response: HttpResponse,
  readChoice: ChoiceReader,
  { thoughts: forms = [], options }: Expected = {},
): AsyncGenerator<Events> {
  const { headers } = response
  const { tell, take } = createGathering()
  const calls = createToolCalls()
  const thoughts = createThoughts(forms)
  const citations = createCitations()
  const sound = createSound(options)
  const pictures: Event[] = []
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

  const read = (chunk: unknown) => {
    if (!isObject(chunk))
      throw new Fault('invalid_response', 'a piece of the answer is not an object', { cause: 'bad_json' })
    const { error, model, choices } = chunk
    // The error may also be the whole chunk.
    if (error || chunk['object'] === 'error') throw faultOfProblem(readProblem(chunk), headers)
    // Azure's first chunk names no model; a server that never names one is announced all the same.
    const choiceList = Array.isArray(choices) ? choices : []
    if (!announced && (model || choiceList.length > 0)) {
      announced = true
      tell({
        type: 'response',
        requestId: requestIdOf(headers),
        model: typeof model === 'string' && model ? model : undefined,
      })
    }
    for (const choice of choiceList) {
      if (!isObject(choice)) continue
      if (typeof choice['index'] === 'number' && choice['index'] !== 0) {
        if (!furtherChoices) tell({ type: 'warning', message: 'only the first of several choices is returned' })
        furtherChoices = true
        continue
      }
      // OpenRouter tells what befell a single choice inside it.
      if (isObject(choice['error'])) throw faultOfProblem(readProblem(choice), headers)
      // Moonshot counts beside the finish reason.
      count(choice['usage'])
      for (const event of readChoice(choice, calls)) {
        sawText ||= event.type === 'text-delta'
        tell(event)
      }
      const message = messageOf(choice)
      if (isObject(message)) {
        thoughts.add(message)
        for (const annotation of listOf(message['annotations'])) citations.cite(annotation)
        for (const picture of listOf(message['images'])) pictures.push(...readPicture(picture))
        const said = sound.add(message['audio'])
        sawText ||= said !== ''
        if (said !== '') tell({ type: 'text-delta', text: said })
        refused ||= Boolean(message['refusal'])
      }
      // Servers have been seen to write an empty reason where there is none yet.
      if (typeof choice['finish_reason'] === 'string' && choice['finish_reason'] !== '')
        finish = choice['finish_reason']
    }
    for (const source of listOf(chunk['citations'])) citations.cite(source)
    for (const page of listOf(chunk['search_results'])) citations.cite(page)
    if (isObject(chunk['x_groq'])) count(chunk['x_groq']['usage'])
    count(chunk['usage'])
  }

  const readAll = (events: readonly ServerSentEvent[]) => {
    for (const { event, data } of events) {
      done = data.startsWith('[DONE]')
      if (done) return
      // Sent to keep the connection open.
      if (data.trim() === '') continue
      const chunk = parseChunk(data)
      if (event === 'error') throw faultOfProblem(readProblem(chunk), headers)
      read(chunk)
    }
  }

  try {
    const { whole, body } = await tellWhole(response)
    if (whole) {
      const answer = await readJson({ ...response, body }, parseKeepingDigits)
      read(answer)
      done = isObject(answer) && Array.isArray(answer['choices'])
    } else {
      for await (const events of readEvents(body, (data) => data.trim() === '[DONE]')) {
        readAll(events)
        if (done) break
        const told = take()
        if (told.length > 0) yield told
      }
    }
    if (!done && finish === undefined) throw unfinishedAnswer(!whole)
    const isEmpty = !sawText && calls.all().length === 0 && pictures.length === 0
    if (finish === undefined && isEmpty) throw emptyAnswer()
  } catch (error) {
    // What came before a fault is passed on before it.
    yield* batchOf(take())
    throw error
  }
  const toolCalls = calls.all()
  yield [
    ...take(),
    ...thoughts.blocks(calls.signatures()),
    ...toolCalls,
    ...pictures,
    ...sound.events(),
    ...citations.all(),
    ...(usage ? [{ type: 'usage' as const, usage }] : []),
    { type: 'finish', reason: finishReasonOf(finish, toolCalls.length > 0, refused), raw: finish },
  ]
}

function parseChunk(data: string): unknown {
  try {
    return parseKeepingDigits(data)
  } catch {
    throw new Fault('invalid_response', 'a piece of the answer is not valid JSON', { cause: 'bad_json' })
  }
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : []
}

/** A picture that a model has drawn, as OpenRouter hands it on. */
function readPicture(picture: unknown): Event[] {
  const image = isObject(picture) ? picture['image_url'] : undefined
  const url = isObject(image) ? image['url'] : undefined
  const [, mimeType, data] = (typeof url === 'string' && /^data:(image\/[\w.+-]+);base64,(.+)$/s.exec(url)) || []
  return mimeType && data ? [{ type: 'content', part: { type: 'image', data, mimeType } }] : []
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
  const thought =
    message['reasoning_content'] || message['reasoning'] || message['thinking'] || wordsOf(message['reasoning_details'])
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
