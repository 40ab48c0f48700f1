import { Fault } from '../errors.ts'
import type { Event } from '../gateway.ts'
import { isObject, type Json } from './json.ts'
import { isSignature } from './openai-thoughts.ts'

export type ToolCalls = {
  add(fragment: unknown): void
  all(): Extract<Event, { type: 'tool-call' }>[]
  /** Gemini's seals of the thoughts behind calls, by the ids of the calls. */
  signatures(): ReadonlyMap<string, Json>
}

const maxToolCalls = 1024

/**
 * Gathers tool calls from fragments, by index. Servers have been seen to give all calls one index, or none: then a name
 * with a new id begins a new call, and without ids a name behind arguments does, or, where there is an index, behind whole
 * ones. Others give every fragment a new id.
 */
export function createToolCalls(): ToolCalls {
  type Call = { index: number | undefined; id: string; name: string; pieces: string[]; signature?: Json }
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
      if (isSignature(fragment['extra_content'])) call.signature = fragment['extra_content']
    },
    all: () =>
      inOrder(calls).map((call, position) => ({
        type: 'tool-call',
        id: idOf(call, position),
        name: call.name,
        argumentsText: call.pieces.join(''),
      })),
    signatures: () =>
      new Map(
        inOrder(calls).flatMap((call, position) =>
          call.signature ? [[idOf(call, position), call.signature] as const] : [],
        ),
      ),
  }
}

function idOf({ id }: { id: string }, position: number): string {
  return id || `call_${position}`
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
