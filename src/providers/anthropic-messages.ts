import { type ChatMessage, type Part, type ToolSpec, textOf } from '../gateway.ts'
import { foreignThoughts } from './foreign-thoughts.ts'
import type { Json } from './json.ts'
import { assertToolNames } from './tool-names.ts'

/**
 * Messages in the shape of Anthropic's /v1/messages (MessageCreateParams of its API reference). Turns of one side that
 * follow each other become one; in a user's turn the results of tools come first, all those of one assistant's turn
 * together. Empty text is left out: the server refuses it.
 */
export type EncodedConversation = { system?: string; messages: Json[]; warnings: string[] }

export function encodeConversation(conversation: readonly ChatMessage[]): EncodedConversation {
  const warnings = new Set<string>()
  const begins = conversation.findIndex(({ role }) => role !== 'system' && role !== 'developer')
  const head = begins === -1 ? conversation : conversation.slice(0, begins)
  const turns: { role: 'user' | 'assistant'; content: Json[] }[] = []
  for (const { role, content } of begins === -1 ? [] : conversation.slice(begins)) {
    const side = role === 'assistant' ? 'assistant' : 'user'
    const later = role === 'system' || role === 'developer'
    if (later) warnings.add('a system message in mid-conversation was sent as the user’s, marked as an instruction')
    const parts: readonly Part[] = later ? [{ type: 'text', text: `<system>${textOf(content)}</system>` }] : content
    const blocks = parts.map((part) => encodePart(part, side, warnings)).filter((block) => block !== undefined)
    const last = turns.at(-1)
    if (last?.role === side) last.content.push(...blocks)
    else turns.push({ role: side, content: blocks })
  }
  const system = head
    .map(({ content }) => textOf(content))
    .filter((text) => text !== '')
    .join('\n\n')
  const messages = turns
    .filter(({ content }) => content.length > 0)
    .map(({ role, content }) => ({ role, content: role === 'user' ? resultsFirst(content) : content }))
  return { ...(system === '' ? {} : { system }), messages, warnings: [...warnings] }
}

function resultsFirst(blocks: readonly Json[]): Json[] {
  const isResult = (block: Json) => block['type'] === 'tool_result'
  return [...blocks.filter(isResult), ...blocks.filter((block) => !isResult(block))]
}

const imageTypes = ['image/jpeg', 'image/png', 'image/gif', 'image/webp']

function encodePart(part: Part, side: 'user' | 'assistant', warnings: Set<string>): Json | undefined {
  switch (part.type) {
    case 'text':
      return part.text.trim() === '' ? undefined : { type: 'text', text: part.text }
    case 'image':
      if (!imageTypes.includes(part.mimeType)) {
        warnings.add(`an image of type ${part.mimeType} was sent, which this provider may refuse`)
      }
      return { type: 'image', source: { type: 'base64', media_type: part.mimeType, data: part.data } }
    case 'image-url':
      return { type: 'image', source: { type: 'url', url: part.url } }
    case 'file':
      return encodeDocument(part, warnings)
    case 'audio':
      warnings.add('audio was left out: this provider takes none')
      return undefined
    case 'reasoning':
      if (side === 'assistant' && isSealed(part.block)) return part.block
      warnings.add(foreignThoughts)
      return undefined
    case 'tool-use':
      return { type: 'tool_use', id: toolIdOf(part.id), name: part.name, input: part.arguments }
    case 'tool-result': {
      const content = part.content
        .map((inner) => encodePart(inner, side, warnings))
        .filter((block) => block !== undefined)
      return {
        type: 'tool_result',
        tool_use_id: toolIdOf(part.id),
        ...(content.length > 0 ? { content } : {}),
        ...(part.isError ? { is_error: true } : {}),
      }
    }
  }
}

/** Thoughts are taken back only as this provider sealed them: another's, or one without its signature, is refused. */
function isSealed({ type, signature, data }: Json): boolean {
  if (type === 'thinking') return typeof signature === 'string' && signature !== ''
  return type === 'redacted_thinking' && typeof data === 'string'
}

function encodeDocument(part: Extract<Part, { data: string }>, warnings: Set<string>): Json | undefined {
  const title = part.name === undefined ? {} : { title: part.name }
  if (part.mimeType === 'application/pdf') {
    return { type: 'document', source: { type: 'base64', media_type: part.mimeType, data: part.data }, ...title }
  }
  if (part.mimeType.startsWith('text/')) {
    const data = Buffer.from(part.data, 'base64').toString('utf8')
    return { type: 'document', source: { type: 'text', media_type: 'text/plain', data }, ...title }
  }
  warnings.add(`a file of type ${part.mimeType} was left out: this provider takes PDF and text`)
  return undefined
}

/** The server allows few characters; calls and results are rewritten alike, so that they still match. */
function toolIdOf(id: string): string {
  return id.replace(/[^\w-]/g, '_') || '_'
}

const maxToolNameChars = 128

export function encodeTools(tools: readonly ToolSpec[]): Json[] {
  assertToolNames(tools, maxToolNameChars)
  return tools.map(({ name, description, inputSchema }) => ({
    name,
    ...(description === undefined ? {} : { description }),
    input_schema: inputSchema,
  }))
}

const choices: Readonly<Record<string, Json>> = {
  auto: { type: 'auto' },
  none: { type: 'none' },
  required: { type: 'any' },
}

export function encodeToolChoice(choice: string): Json {
  return Object.hasOwn(choices, choice) ? (choices[choice] as Json) : { type: 'tool', name: choice }
}
