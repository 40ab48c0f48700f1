import { Fault } from '../errors.ts'
import { type Event, type Events, type FinishReason, gathered, type Usage } from '../gateway.ts'
import { readJson, tellWhole, unfinishedAnswer } from '../http/body.ts'
import type { HttpResponse } from '../http/message.ts'
import { faultOfProblem, quote, readProblem, requestIdOf } from '../http/problem.ts'
import { readEvents, type ServerSentEvent } from '../http/sse.ts'
import { createCitations } from './citations.ts'
import { countOf, isObject, type Json, parseKeepingDigits } from './json.ts'

const maxBlocks = 1024

const knownBlocks = new Set(['text', 'thinking', 'tool_use'])

type Block = { type: string; id: string; name: string; pieces: string[]; signature: string[]; input: unknown }

/**
 * The answer of /v1/messages: a stream of named events that ends with `message_stop`, or a whole message from a server
 * that does not stream. Blocks are told apart by index; servers have been seen to leave out a block's end, or to give calls
 * one index.
 */
export async function* decodeMessage(response: HttpResponse): AsyncGenerator<Events> {
  const { headers } = response
  const blocks: Block[] = []
  const byIndex = new Map<number, Block>()
  const counts: Json = {}
  const citations = createCitations()
  let announced = false
  let stopReason: string | undefined
  let stopDetails: unknown
  let stopped = false

  const end = ({ stop_reason, stop_details }: Json) => {
    if (typeof stop_reason === 'string') stopReason = stop_reason
    stopDetails = stop_details ?? stopDetails
  }

  function* begin(message: unknown): Generator<Event> {
    if (!isObject(message)) return
    Object.assign(counts, counted(message['usage']))
    if (announced) return
    announced = true
    const { model } = message
    yield {
      type: 'response',
      requestId: requestIdOf(headers),
      ...(typeof model === 'string' && model !== '' ? { model } : {}),
    }
  }

  function* open(index: number, content: unknown): Generator<Event> {
    if (!isObject(content)) return
    if (blocks.length >= maxBlocks) throw badPiece()
    const { type, id, name, input, data } = content
    const block: Block = {
      type: String(type),
      id: typeof id === 'string' ? id : '',
      name: typeof name === 'string' ? name : '',
      pieces: [],
      signature: [],
      input: type === 'redacted_thinking' ? data : input,
    }
    const known = byIndex.get(index)
    byIndex.set(index, block)
    // A beginning that is repeated is the same block; another call of a tool is not, whatever its index.
    if (known && known.type === block.type && known.id === block.id) blocks[blocks.indexOf(known)] = block
    else blocks.push(block)
    if (block.type.endsWith('_tool_result')) yield* found(content['content'])
    yield* append(block, content)
  }

  /** What a tool of the server's own has found, or why it has found nothing. */
  function* found(content: unknown): Generator<Event> {
    for (const page of Array.isArray(content) ? content : [content]) {
      citations.find(page)
      const code = isObject(page) ? page['error_code'] : undefined
      if (typeof code === 'string')
        yield { type: 'warning', message: `a tool of the provider’s failed: ${quote(code)}` }
    }
  }

  /** Text stands outside of what it comes in: servers have been seen to write it into a call that they had not closed. */
  function* append({ type, pieces, signature }: Block, delta: Json): Generator<Event> {
    const { text, thinking, partial_json } = delta
    if (isText(text) && knownBlocks.has(type)) yield { type: 'text-delta', text }
    if (isText(thinking) && type === 'thinking') {
      pieces.push(thinking)
      yield { type: 'reasoning-delta', text: thinking }
    }
    if (isText(partial_json)) pieces.push(partial_json)
    if (Array.isArray(delta['citations'])) for (const one of delta['citations']) citations.cite(one)
    citations.cite(delta['citation'])
    if (isText(delta['signature'])) signature.push(delta['signature'])
  }

  function* extend(index: number, delta: unknown): Generator<Event> {
    if (!isObject(delta)) return
    // Words need no beginning; of a call, it has the name.
    if (!byIndex.has(index)) {
      if (isText(delta['partial_json'])) throw badPiece()
      yield* open(index, { type: isText(delta['thinking']) || isText(delta['signature']) ? 'thinking' : 'text' })
    }
    yield* append(byIndex.get(index) as Block, delta)
  }

  function* read(event: unknown): Generator<Event> {
    if (!isObject(event)) throw badPiece()
    if (event['error'] || event['type'] === 'error') throw faultOfProblem(readProblem(event), headers)
    const index = event['index'] ?? 0
    if (!Number.isSafeInteger(index) || (index as number) < 0 || (index as number) >= maxBlocks) throw badPiece()
    switch (event['type']) {
      case 'message_start':
        return yield* begin(event['message'])
      case 'content_block_start':
        return yield* open(index as number, event['content_block'])
      case 'content_block_delta':
        return yield* extend(index as number, event['delta'])
      case 'message_delta': {
        const { delta, usage } = event
        Object.assign(counts, counted(usage))
        if (isObject(delta)) end(delta)
        return
      }
      case 'message_stop':
        stopped = true
    }
  }

  function* readAll(events: readonly ServerSentEvent[]): Generator<Event> {
    for (const { data } of events) {
      yield* read(parsed(data))
      if (stopped) return
    }
  }

  function* readWhole(message: Json): Generator<Event> {
    yield* begin(message)
    const { content } = message
    for (const [index, block] of (Array.isArray(content) ? content : []).entries()) yield* open(index, block)
  }

  const { whole, body } = await tellWhole(response)
  if (whole) {
    const message = await readJson({ ...response, body }, parseKeepingDigits)
    if (!isObject(message) || message['type'] === 'error' || message['error']) {
      throw faultOfProblem(readProblem(message), headers)
    }
    yield* gathered(readWhole(message))
    end(message)
    stopped = stopReason !== undefined
  } else {
    for await (const events of readEvents(body, isStop)) {
      yield* gathered(readAll(events))
      if (stopped) break
    }
  }
  if (!stopped) throw unfinishedAnswer(!whole || blocks.length > 0)
  yield [
    ...finished(blocks),
    ...explained(stopDetails),
    ...citations.all(),
    ...(Object.keys(counts).length > 0 ? [{ type: 'usage' as const, usage: usageOf(counts) }] : []),
    { type: 'finish', reason: finishReasonOf(stopReason, blocks), raw: stopReason },
  ]
}

/** What can only be told once a block is whole: thoughts, in the order in which they were sealed, and calls of tools. */
function* finished(blocks: readonly Block[]): Generator<Event> {
  for (const [at, { type, id, name, pieces, signature, input }] of blocks.entries()) {
    if (type === 'thinking') {
      yield { type: 'reasoning-block', block: { type, thinking: pieces.join(''), signature: signature.join('') } }
    } else if (type === 'redacted_thinking') {
      yield { type: 'reasoning-block', block: { type, data: input } }
    } else if (type === 'tool_use') {
      // The arguments come in pieces, or, without a stream, as the value itself; a call without any has neither.
      const whole = isObject(input) && Object.keys(input).length > 0 ? JSON.stringify(input) : '{}'
      yield { type: 'tool-call', id: id || `call_${at}`, name, argumentsText: pieces.join('') || whole }
    }
  }
}

/** Why the answer was refused, where the server says so: { type: 'refusal', category, explanation }. */
function* explained(details: unknown): Generator<Event> {
  if (!isObject(details) || details['type'] !== 'refusal') return
  const { category, explanation } = details
  const words = [category, explanation].filter((word) => typeof word === 'string' && word !== '')
  if (words.length > 0) yield { type: 'warning', message: `the answer was refused: ${quote(words.join(': '))}` }
}

const finishReasons: Readonly<Record<string, FinishReason>> = {
  end_turn: 'stop',
  stop_sequence: 'stop',
  max_tokens: 'length',
  model_context_window_exceeded: 'length',
  tool_use: 'toolCalls',
  refusal: 'refusal',
}

function finishReasonOf(raw: string | undefined, blocks: readonly Block[]): FinishReason {
  const named = raw !== undefined && Object.hasOwn(finishReasons, raw) ? finishReasons[raw] : undefined
  return named === 'stop' && blocks.some(({ type }) => type === 'tool_use') ? 'toolCalls' : (named ?? 'other')
}

/** Counts are cumulative and revised as the answer goes on: of each, the last that is a number holds. */
function counted(usage: unknown): Json {
  if (!isObject(usage)) return {}
  const details = usage['output_tokens_details']
  const flat: Json = { ...usage, thinking_tokens: isObject(details) ? details['thinking_tokens'] : undefined }
  return Object.fromEntries(Object.entries(flat).filter(([, value]) => countOf(value) !== undefined))
}

/** The cache's share of the prompt is counted beside `input_tokens`, not inside. */
function usageOf(counts: Json): Usage {
  const of = (name: string) => countOf(counts[name]) ?? 0
  const promptTokens = of('input_tokens') + of('cache_creation_input_tokens') + of('cache_read_input_tokens')
  const completionTokens = of('output_tokens')
  return {
    promptTokens,
    completionTokens,
    totalTokens: promptTokens + completionTokens,
    ...('cache_read_input_tokens' in counts ? { cachedPromptTokens: of('cache_read_input_tokens') } : {}),
    ...('thinking_tokens' in counts ? { reasoningTokens: of('thinking_tokens') } : {}),
  }
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}

function isStop(data: string): boolean {
  return /^\s*\{\s*"type"\s*:\s*"message_stop"\s*\}\s*$/.test(data)
}

function parsed(data: string): unknown {
  try {
    return parseKeepingDigits(data)
  } catch {
    throw badPiece()
  }
}

function badPiece(): Fault {
  return new Fault('invalid_response', 'a piece of the answer is not what this dialect knows', { cause: 'bad_json' })
}
