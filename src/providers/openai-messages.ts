import { type ChatMessage, type Part, type ToolSpec, textOf } from '../gateway.ts'
import { foreignThoughts } from './foreign-thoughts.ts'
import type { Json } from './json.ts'
import { encodeThoughts, type ThoughtForm } from './openai-thoughts.ts'
import { assertToolNames } from './tool-names.ts'
import { joinResults } from './tool-results.ts'

/** Messages and tools in the shapes of OpenAI's chat completions (OpenAPI document 2.3.0, ChatCompletionRequestMessage). */

export type EncodedMessages = { messages: Json[]; warnings: string[] }

/** In what a server differs from the others of this dialect where messages are concerned. */
export type MessageManner = {
  /** `developer` is an OpenAI word: elsewhere it is unknown and often refused, and `system` means the same. */
  knowsDeveloper: boolean
  /** The forms of thoughts that it takes back. */
  thoughts: readonly ThoughtForm[]
}

export function encodeMessages(
  messages: readonly ChatMessage[],
  { knowsDeveloper, thoughts }: MessageManner,
): EncodedMessages {
  const warnings = new Set<string>()
  const encoded = joinResults(messages).flatMap((message) => {
    switch (message.role) {
      case 'assistant':
        return [encodeAssistant(message.content, thoughts, warnings)]
      case 'system':
      case 'developer': {
        const role = message.role === 'developer' && !knowsDeveloper ? 'system' : message.role
        if (role !== message.role) warnings.add('role developer was sent as system, the word that this server knows')
        return [{ role, content: contentOf(message.content, warnings) }]
      }
      default:
        return encodeUser(message.content, warnings)
    }
  })
  return { messages: encoded, warnings: [...warnings] }
}

function encodeAssistant(parts: readonly Part[], forms: readonly ThoughtForm[], warnings: Set<string>): Json {
  const calls = parts.filter((part) => part.type === 'tool-use')
  const thoughts = encodeThoughts(parts, forms)
  if (thoughts.foreign) warnings.add(foreignThoughts)
  for (const { type } of parts) {
    if (!['text', 'tool-use', 'reasoning'].includes(type))
      warnings.add(`a block of type ${type} was left out of an assistant's message`)
  }
  const text = textOf(parts)
  return {
    role: 'assistant',
    content: text === '' && calls.length > 0 ? null : text,
    ...thoughts.fields,
    ...(calls.length > 0
      ? {
          tool_calls: calls.map((call) => ({
            id: call.id,
            type: 'function',
            function: { name: call.name, arguments: JSON.stringify(call.arguments) },
            ...thoughts.byCall.get(call.id),
          })),
        }
      : {}),
  }
}

/** Results of tools come first, each a message of its own; what they cannot hold follows as the user's. */
function encodeUser(parts: readonly Part[], warnings: Set<string>): Json[] {
  const results = parts.filter((part) => part.type === 'tool-result')
  const pictures = results.flatMap((result) => result.content.filter((part) => part.type !== 'text'))
  if (pictures.length > 0) {
    warnings.add('media in a tool result was sent as a user message behind it: this dialect allows only text there')
  }
  const rest = [...pictures, ...parts.filter((part) => part.type !== 'tool-result')]
  return [
    ...results.map((result) => ({
      role: 'tool',
      tool_call_id: result.id,
      content: result.isError ? `Error: ${textOf(result.content)}` : textOf(result.content),
    })),
    ...(rest.length > 0 || results.length === 0 ? [{ role: 'user', content: contentOf(rest, warnings) }] : []),
  ]
}

/** A lone text stays a plain string, which every server takes. */
function contentOf(parts: readonly Part[], warnings: Set<string>): string | Json[] {
  if (parts.every((part) => part.type === 'text')) return textOf(parts)
  const encoded = parts.map((part) => encodePart(part, warnings)).filter((part) => part !== undefined)
  return encoded.length > 0 ? encoded : ''
}

function encodePart(part: Part, warnings: Set<string>): Json | undefined {
  switch (part.type) {
    case 'text':
      return { type: 'text', text: part.text }
    case 'image':
      return { type: 'image_url', image_url: { url: `data:${part.mimeType};base64,${part.data}` } }
    case 'image-url':
      return { type: 'image_url', image_url: { url: part.url } }
    case 'audio':
      return { type: 'input_audio', input_audio: { data: part.data, format: audioFormat(part.mimeType) } }
    case 'file':
      // A file is a PDF here: servers refuse one of text, and its words say the same.
      if (part.mimeType.startsWith('text/')) {
        return { type: 'text', text: Buffer.from(part.data, 'base64').toString('utf8') }
      }
      return {
        type: 'file',
        file: { filename: part.name ?? 'file', file_data: `data:${part.mimeType};base64,${part.data}` },
      }
    case 'reasoning':
    case 'tool-use':
    case 'tool-result':
      warnings.add(misplaced(part))
      return undefined
  }
}

export function misplaced({ type }: Part): string {
  return `a ${type.replace('-', '_')} block has no place in this role and was left out`
}

function audioFormat(mimeType: string): string {
  const subtype = mimeType.toLowerCase().replace(/^audio\/(?:x-|vnd\.)?/, '')
  const names: Readonly<Record<string, string>> = { mpeg: 'mp3', wave: 'wav' }
  return names[subtype] ?? subtype
}

const maxToolNameChars = 64

export function encodeTools(tools: readonly ToolSpec[]): Json[] {
  assertToolNames(tools, maxToolNameChars)
  return tools.map(({ name, description, inputSchema }) => ({
    type: 'function',
    function: { name, ...(description === undefined ? {} : { description }), parameters: inputSchema },
  }))
}

export function encodeToolChoice(choice: string): unknown {
  return ['auto', 'none', 'required'].includes(choice) ? choice : { type: 'function', function: { name: choice } }
}
