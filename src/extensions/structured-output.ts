import { Fault, type FaultDetail, type Met } from '../errors.ts'
import { type Ask, batchOf, type ChatAsk, type Event, type Events, type Usage } from '../gateway.ts'
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
type Served = Extract<Event, { type: 'served' }>

/** What a turn came to, besides the events that were passed on. */
type Turn = {
  text: string
  logprobs: Event[]
  calledTools: boolean
  /** With the history of the turn before. */
  served: Served | undefined
  finish?: Finish
}

async function* structured(next: Handle, ask: ChatAskWithSchema, call: Call): AsyncGenerator<Events> {
  const usages: Usage[] = []
  let asked: Ask = ask
  let before: Served | undefined
  for (let repaired = false; ; repaired = true) {
    const turn: Turn = yield* takeTurn(next(asked, call), call.streaming, usages, before)
    before = turn.served
    const reading = isAnswer(turn) ? await readAnswer(ask.responseSchema, turn.text) : undefined
    const problem = reading && 'problem' in reading ? reading.problem : undefined
    if (problem !== undefined && !call.streaming && !repaired) {
      yield [{ type: 'warning', message: `the answer did not fit responseSchema (${problem}) and was asked for again` }]
      asked = { ...ask, messages: [...ask.messages, ...correction(turn.text, problem)] }
      continue
    }
    if (!call.streaming && turn.text !== '') yield [{ type: 'text-delta', text: turn.text }]
    yield* batchOf(turn.logprobs)
    if (problem !== undefined) throw unfit(problem, turn)
    const usage = sumOf(usages)
    yield* batchOf([
      ...(reading && 'value' in reading ? resultOf(reading) : []),
      ...(usage ? [{ type: 'usage' as const, usage }] : []),
      ...(turn.finish ? [turn.finish] : []),
    ])
    return
  }
}

/** Passes events on, and with them the text, unless another turn may take its place. */
async function* takeTurn(
  events: AsyncIterable<Events>,
  streaming: boolean,
  usages: Usage[],
  before: Served | undefined,
): AsyncGenerator<Events, Turn> {
  const texts: string[] = []
  const turn: Turn = { text: '', logprobs: [], calledTools: false, served: undefined }
  const passed = (event: Event): Events => {
    switch (event.type) {
      case 'text-delta':
        texts.push(event.text)
        return [streaming ? event : { type: 'step' }]
      case 'served':
        turn.served = before ? { ...event, ...joined(before, event) } : event
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
    for await (const together of events) yield* batchOf(together.flatMap(passed))
  } catch (error) {
    if (!streaming && texts.length > 0) yield [{ type: 'text-delta', text: texts.join('') }]
    if (!before || !(error instanceof Fault)) throw error
    throw new Fault(error.code, error.message, { ...error.detail, ...joined(before, error.detail) })
  }
  return { ...turn, text: texts.join('') }
}

type History = Pick<FaultDetail, 'attempts' | 'met'>

/** Both turns are one call. */
function joined(before: History, { attempts = 0, met = [] }: History): { attempts: number; met?: readonly Met[] } {
  const all = [...(before.met ?? []), ...met]
  return { attempts: (before.attempts ?? 0) + attempts, ...(all.length > 0 ? { met: all } : {}) }
}

/** A refusal, a cut answer or a call of a tool is what it is, and no attempt at the schema. */
function isAnswer({ finish, calledTools }: Turn): boolean {
  return finish?.reason === 'stop' && !calledTools
}

async function readAnswer(schema: Record<string, unknown>, text: string): Promise<Reading> {
  const { readAgainst } = await import('../pipeline/response-schema.ts')
  return readAgainst(schema, text)
}

function* resultOf({ value, warnings }: Extract<Reading, { value: unknown }>): Generator<Event> {
  for (const message of warnings) yield { type: 'warning', message }
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

function unfit(problem: string, { served }: Turn): Fault {
  return new Fault('invalid_response', `the answer does not fit responseSchema: ${problem}`, {
    cause: 'schema',
    retryable: true,
    provider: served?.provider,
    model: served?.model,
    attempts: served?.attempts,
    met: served?.met,
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
