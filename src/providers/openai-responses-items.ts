import { type ChatMessage, type Part, type ToolSpec, textOf } from '../gateway.ts'
import { foreignThoughts } from './foreign-thoughts.ts'
import type { Json } from './json.ts'
import { encodeTools, misplaced } from './openai-messages.ts'

/** Messages and tools in the shapes of OpenAI's /responses (OpenAPI document 2.3.0, CreateResponse and InputItem). */

export type EncodedInput = { instructions?: string; input: Json[]; warnings: string[] }

/** The instructions that stand first have a field of their own; where there is nothing else, they are the input. */
export function encodeInput(messages: readonly ChatMessage[]): EncodedInput {
  const warnings = new Set<string>()
  const begins = messages.findIndex((message) => !isPlainInstruction(message))
  const head = begins === -1 ? [] : messages.slice(0, begins)
  const instructions = head
    .map(({ content }) => textOf(content))
    .filter((text) => text !== '')
    .join('\n\n')
  const input = messages.slice(head.length).flatMap(({ role, content }) => {
    switch (role) {
      case 'assistant':
        return encodeAssistant(content, warnings)
      case 'system':
      case 'developer':
        return encodeTurn(role, content, warnings)
      default:
        return encodeUser(content, warnings)
    }
  })
  return { ...(instructions === '' ? {} : { instructions }), input, warnings: [...warnings] }
}

function isPlainInstruction({ role, content }: ChatMessage): boolean {
  return (role === 'system' || role === 'developer') && content.every(({ type }) => type === 'text')
}

/** Each call of a tool, and each sealed thought, is an item of its own; texts in a row are one. */
function encodeAssistant(parts: readonly Part[], warnings: Set<string>): Json[] {
  const items: Json[] = []
  for (const part of parts) {
    const last = items.at(-1)
    switch (part.type) {
      case 'text':
        if (last?.['role'] === 'assistant') last['content'] = `${last['content']}${part.text}`
        else if (part.text !== '') items.push({ role: 'assistant', content: part.text })
        break
      case 'reasoning':
        items.push(...encodeReasoning(part.block, warnings))
        break
      case 'tool-use':
        items.push({
          type: 'function_call',
          call_id: callIdOf(part.id),
          name: part.name,
          arguments: JSON.stringify(part.arguments),
        })
        break
      default:
        warnings.add(`content of type ${part.type} has no place in the assistant’s turn and was left out`)
    }
  }
  return items
}

/** Only a thought that this dialect has sealed can be given back: with `store: false`, the server knows no other. */
function encodeReasoning({ type, id, summary, encrypted_content }: Json, warnings: Set<string>): Json[] {
  if (type !== 'reasoning' || typeof id !== 'string' || typeof encrypted_content !== 'string') {
    warnings.add(foreignThoughts)
    return []
  }
  return [{ type, id, summary: Array.isArray(summary) ? summary : [], encrypted_content }]
}

/** Results of tools come first, each an item of its own. */
function encodeUser(parts: readonly Part[], warnings: Set<string>): Json[] {
  const results = parts.filter((part) => part.type === 'tool-result')
  const rest = parts.filter((part) => part.type !== 'tool-result')
  return [
    ...results.map((result) => ({
      type: 'function_call_output',
      call_id: callIdOf(result.id),
      output: contentOf(marked(result), warnings),
    })),
    ...(rest.length > 0 ? encodeTurn('user', rest, warnings) : []),
  ]
}

/** There is no flag for a failed call: its result says so. */
function marked({ content, isError }: Extract<Part, { type: 'tool-result' }>): readonly Part[] {
  return isError ? [{ type: 'text', text: 'Error: ' }, ...content] : content
}

function encodeTurn(role: string, parts: readonly Part[], warnings: Set<string>): Json[] {
  const content = contentOf(parts, warnings)
  return content.length === 0 ? [] : [{ role, content }]
}

/** A lone text stays a plain string. */
function contentOf(parts: readonly Part[], warnings: Set<string>): string | Json[] {
  if (parts.every(({ type }) => type === 'text')) return textOf(parts)
  return parts.map((part) => encodePart(part, warnings)).filter((part) => part !== undefined)
}

function encodePart(part: Part, warnings: Set<string>): Json | undefined {
  switch (part.type) {
    case 'text':
      return part.text === '' ? undefined : { type: 'input_text', text: part.text }
    case 'image':
      return { type: 'input_image', image_url: `data:${part.mimeType};base64,${part.data}`, detail: 'auto' }
    case 'image-url':
      return { type: 'input_image', image_url: part.url, detail: 'auto' }
    case 'file':
      return {
        type: 'input_file',
        filename: part.name ?? 'file',
        file_data: `data:${part.mimeType};base64,${part.data}`,
      }
    case 'audio':
      warnings.add('audio was left out: this endpoint takes none')
      return undefined
    case 'reasoning':
    case 'tool-use':
    case 'tool-result':
      warnings.add(misplaced(part))
      return undefined
  }
}

const maxCallIdChars = 64

/** Ids that another provider made may be empty or too long; calls and results are rewritten alike, so that they match. */
function callIdOf(id: string): string {
  return id.slice(-maxCallIdChars) || '_'
}

/**
 * Tools are flat here. `strict` must be said, and is false, because true (which the server takes silence for) refuses
 * every schema with an optional property.
 */
export function encodeFlatTools(tools: readonly ToolSpec[]): Json[] {
  return encodeTools(tools).map((tool) => ({ type: 'function', ...(tool['function'] as Json), strict: false }))
}

export function encodeFlatToolChoice(choice: string): unknown {
  return ['auto', 'none', 'required'].includes(choice) ? choice : { type: 'function', name: choice }
}
