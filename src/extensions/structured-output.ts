import { Fault } from '../errors.ts'
import type { Ask, ChatAsk, Event, Events, Usage } from '../gateway.ts'
import type { Call, Handle, Middleware } from '../handle.ts'
import type { Reading } from '../pipeline/response-schema.ts'

/**
 * Holds an answer against the schema that the caller asked for, whatever the provider made of it. One that does not fit is
 * sent back once, with what is wrong; if its text has been streamed already, it is delivered, and the call has failed.
 */
export const withStructuredOutput: Middleware = (next) => (ask, call) =>
  ask.kind === 'chat' && ask.responseSchema ? structured(next, ask as ChatAskWithSchema, call) : next(ask, call)

type ChatAskWithSchema = ChatAsk & { responseSchema: Record<string, unknown> }
type Finish = Extract<Event, { type: 'finish' }>

/** What a turn came to, besides the events that were passed on. */
type Turn = {
  text: string
  logprobs: Event[]
  calledTools: boolean
  served: Extract<Event, { type: 'served' }> | undefined
  finish?: Finish
}

async function* structured(next: Handle, ask: ChatAskWithSchema, call: Call): AsyncGenerator<Events> {
  const usages: Usage[] = []
  let asked: Ask = ask
  let attempts = 0
  for (let repaired = false; ; repaired = true) {
    const turn: Turn = yield* takeTurn(next(asked, call), call.streaming, usages, attempts)
    attempts = turn.served?.attempts ?? attempts
    const reading = isAnswer(turn) ? await readAnswer(ask.responseSchema, turn.text) : undefined
    const problem = reading && 'problem' in reading ? reading.problem : undefined
    if (problem !== undefined && !call.streaming && !repaired) {
      yield [{ type: 'warning', message: `the answer did not fit responseSchema (${problem}) and was asked for again` }]
      asked = { ...ask, messages: [...ask.messages, ...correction(turn.text, problem)] }
      continue
    }
    if (!call.streaming && turn.text !== '') yield [{ type: 'text-delta', text: turn.text }]
    yield turn.logprobs
    if (problem !== undefined) throw unfit(problem, turn, attempts)
    const usage = sumOf(usages)
    yield [
      ...(reading && 'value' in reading ? resultOf(reading) : []),
      ...(usage ? [{ type: 'usage' as const, usage }] : []),
      ...(turn.finish ? [turn.finish] : []),
    ]
    return
  }
}

/** Passes events on, and with them the text, unless another turn may take its place. */
async function* takeTurn(
  events: AsyncIterable<Events>,
  streaming: boolean,
  usages: Usage[],
  attemptsBefore: number,
): AsyncGenerator<Events, Turn> {
  const texts: string[] = []
  const turn: Turn = { text: '', logprobs: [], calledTools: false, served: undefined }
  const passed = (event: Event): Events => {
    switch (event.type) {
      case 'text-delta':
        texts.push(event.text)
        return [streaming ? event : { type: 'step' }]
      case 'served':
        turn.served = { ...event, attempts: event.attempts + attemptsBefore }
        return [turn.served]
      case 'usage':
        usages.push(event.usage)
        return []
      case 'logprobs':
        turn.logprobs.push(event)
        return []
      case 'finish':
        turn.finish = event
        return []
      default:
        turn.calledTools ||= event.type === 'tool-call'
        return [event]
    }
  }
  try {
    for await (const together of events) yield together.flatMap(passed)
  } catch (error) {
    if (!streaming && texts.length > 0) yield [{ type: 'text-delta', text: texts.join('') }]
    throw error
  }
  return { ...turn, text: texts.join('') }
}

/** A refusal, a cut answer or a call of a tool is what it is, and no attempt at the schema. */
function isAnswer({ finish, calledTools }: Turn): boolean {
  return finish?.reason === 'stop' && !calledTools
}

async function readAnswer(schema: Record<string, unknown>, text: string): Promise<Reading> {
  const { readAgainst } = await import('../pipeline/response-schema.ts')
  return readAgainst(schema, text)
}

function* resultOf({ value, warning }: Extract<Reading, { value: unknown }>): Generator<Event> {
  if (warning !== undefined) yield { type: 'warning', message: warning }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    yield { type: 'object', value: value as Record<string, unknown> }
  } else {
    yield { type: 'warning', message: 'responseSchema allows a value that is no object; it stands in text alone' }
  }
}

function correction(text: string, problem: string): ChatAsk['messages'] {
  const request = `That does not fit the required JSON Schema: ${problem}. Answer again with the corrected JSON alone.`
  return [
    { role: 'assistant', content: [{ type: 'text', text }] },
    { role: 'user', content: [{ type: 'text', text: request }] },
  ]
}

function unfit(problem: string, { served }: Turn, attempts: number): Fault {
  return new Fault('invalid_response', `the answer does not fit responseSchema: ${problem}`, {
    cause: 'schema',
    retryable: true,
    provider: served?.provider,
    model: served?.model,
    attempts,
  })
}

/** Both turns were paid for. */
function sumOf(usages: readonly Usage[]): Usage | undefined {
  return usages.length === 0
    ? undefined
    : usages.reduce((sum, usage) => {
        const names = [...new Set([...Object.keys(sum), ...Object.keys(usage)])] as (keyof Usage)[]
        return Object.fromEntries(names.map((name) => [name, (sum[name] ?? 0) + (usage[name] ?? 0)])) as Usage
      })
}
