import type { Event, Part } from '../gateway.ts'
import { isObject, type Json } from './json.ts'

/**
 * The members of a message in which servers of OpenAI's dialect hand out thoughts that they want back as they came:
 * OpenRouter's list of details, the signatures that Gemini puts on a message or on a call of a tool, and DeepSeek's text,
 * which it wants wherever tools are called (their documentation: reasoning tokens, thought signatures, thinking mode).
 */
export type ThoughtForm = 'reasoning_details' | 'extra_content' | 'reasoning_content'

export const allThoughtForms: readonly ThoughtForm[] = ['reasoning_details', 'extra_content', 'reasoning_content']

type SealedThought = Extract<Event, { type: 'reasoning-block' }>

export type Thoughts = {
  /** Takes what a message, or a piece of one, brings. */
  add(message: Json): void
  /** What has come, in blocks that an assistant's message can hold; `signatures` are those of the calls. */
  blocks(signatures: ReadonlyMap<string, Json>): SealedThought[]
}

/** Gathers thoughts in those of the forms that the server takes back. */
export function createThoughts(forms: readonly ThoughtForm[]): Thoughts {
  const details: Json[] = []
  const texts: string[] = []
  const extras: Json[] = []
  return {
    add({ reasoning_details, reasoning_content, extra_content }) {
      if (Array.isArray(reasoning_details))
        for (const item of reasoning_details) if (isObject(item)) join(details, item)
      if (typeof reasoning_content === 'string' && reasoning_content !== '') texts.push(reasoning_content)
      if (isSignature(extra_content)) extras.push(extra_content)
    },
    blocks(signatures) {
      const found: Readonly<Record<ThoughtForm, Json[]>> = {
        reasoning_details: details,
        reasoning_content: texts.length > 0 ? [{ type: 'reasoning_content', reasoning_content: texts.join('') }] : [],
        extra_content: [
          ...extras.map((extra_content) => ({ type: 'extra_content', extra_content })),
          ...[...signatures].map(([id, extra_content]) => ({ type: 'extra_content', toolCallId: id, extra_content })),
        ],
      }
      return forms.flatMap((form) => found[form]).map((block) => ({ type: 'reasoning-block', block }))
    },
  }
}

/** Whether it holds a seal: Gemini marks with the same member what is a thought, and that is to be seen. */
export function isSignature(extra: unknown): extra is Json {
  const { google } = isObject(extra) ? extra : ({} as Json)
  return isObject(google) && typeof google['thought_signature'] === 'string'
}

/** Words come in pieces, and their signature behind them; what is encrypted comes whole. */
function join(details: Json[], item: Json): void {
  const word = item['type'] === 'reasoning.text' ? 'text' : item['type'] === 'reasoning.summary' ? 'summary' : undefined
  const begun = details.findLast(({ type, index }) => type === item['type'] && index === item['index'])
  if (word === undefined || begun === undefined || !continues(begun, item, word)) {
    details.push({ ...item })
    return
  }
  for (const [name, value] of Object.entries(item)) {
    if (value === null) continue
    begun[name] = name === word && typeof begun[name] === 'string' ? `${begun[name]}${value}` : value
  }
}

function continues(begun: Json, item: Json, word: string): boolean {
  const sealed = typeof begun['signature'] === 'string' && begun['signature'] !== ''
  const renamed = typeof item['id'] === 'string' && typeof begun['id'] === 'string' && item['id'] !== begun['id']
  return !renamed && !(sealed && item[word])
}

/** The words of a list of details, for a server that has them nowhere else. */
export function wordsOf(details: unknown): string {
  const items = Array.isArray(details) ? details.filter(isObject) : []
  return items.map(({ text, summary }) => [text, summary].find((words) => typeof words === 'string') ?? '').join('')
}

/** Thoughts that go back: members of the message, and those of its calls by their ids. */
export type EncodedThoughts = { fields: Json; byCall: ReadonlyMap<string, Json>; foreign: boolean }

export function encodeThoughts(parts: readonly Part[], forms: readonly ThoughtForm[]): EncodedThoughts {
  const blocks = parts.flatMap((part) => (part.type === 'reasoning' ? [part.block] : []))
  const called = new Set(parts.flatMap((part) => (part.type === 'tool-use' ? [part.id] : [])))
  const fields: Json = {}
  const byCall = new Map<string, Json>()
  const details: Json[] = []
  let foreign = false
  for (const block of blocks) {
    const { toolCallId, extra_content, reasoning_content } = block
    const form = formOf(block)
    if (form === undefined || !forms.includes(form)) foreign = true
    else if (form === 'reasoning_details') details.push(block)
    else if (form === 'reasoning_content') fields[form] = `${fields[form] ?? ''}${reasoning_content}`
    else if (toolCallId === undefined) fields[form] = extra_content
    else if (called.has(String(toolCallId))) byCall.set(String(toolCallId), { extra_content })
    else foreign = true
  }
  return { fields: { ...fields, ...(details.length > 0 ? { reasoning_details: details } : {}) }, byCall, foreign }
}

function formOf({ type, extra_content, reasoning_content }: Json): ThoughtForm | undefined {
  if (typeof type === 'string' && type.startsWith('reasoning.')) return 'reasoning_details'
  if (type === 'reasoning_content' && typeof reasoning_content === 'string') return type
  return type === 'extra_content' && isSignature(extra_content) ? type : undefined
}
