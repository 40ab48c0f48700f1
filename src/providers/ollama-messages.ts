import type { ChatMessage, Part, ToolSpec } from '../gateway.ts'
import { foreignThoughts } from './foreign-thoughts.ts'
import type { Json } from './json.ts'
import { joinResults } from './tool-results.ts'

/**
 * Messages and tools in the shapes of Ollama's /api/chat (its docs/openapi.yaml, ChatMessage and ToolDefinition; the
 * ids and names of tool calls from its api/types.go). The content of a message is one string, and images stand beside
 * it.
 */
export type EncodedMessages = { messages: Json[]; warnings: string[] }

export function encodeMessages(conversation: readonly ChatMessage[]): EncodedMessages {
  const warnings = new Set<string>()
  // Calls of later turns may bear the same ids again: the latest one is the one that a result answers.
  const calledNames = new Map<string, string>()
  const messages = joinResults(conversation).flatMap(({ role, content }) => {
    switch (role) {
      case 'assistant':
        for (const part of content) if (part.type === 'tool-use') calledNames.set(part.id, part.name)
        return [encodeAssistant(content, warnings)]
      case 'system':
      case 'developer':
        if (role === 'developer') warnings.add('role developer was sent as system, the word that this server knows')
        return [{ role: 'system', ...encodeContent(content, warnings) }]
      default:
        return encodeUser(content, calledNames, warnings)
    }
  })
  return { messages, warnings: [...warnings] }
}

function encodeAssistant(parts: readonly Part[], warnings: Set<string>): Json {
  const calls = parts.filter((part) => part.type === 'tool-use')
  const rest = parts.filter((part) => part.type !== 'tool-use')
  return {
    role: 'assistant',
    ...encodeContent(rest, warnings),
    ...(calls.length > 0
      ? { tool_calls: calls.map(({ id, name, arguments: value }) => ({ id, function: { name, arguments: value } })) }
      : {}),
  }
}

/** Results of tools come first, each a message of its own; what they cannot hold follows as the user's. */
function encodeUser(parts: readonly Part[], calledNames: ReadonlyMap<string, string>, warnings: Set<string>): Json[] {
  const results = parts.filter((part) => part.type === 'tool-result')
  const media = results.flatMap((result) => result.content.filter((part) => part.type !== 'text'))
  if (media.length > 0) {
    warnings.add('media in a tool result was sent as a user message behind it: this dialect allows only text there')
  }
  const rest = [...media, ...parts.filter((part) => part.type !== 'tool-result')]
  return [
    ...results.map(({ id, content, isError }) => {
      const name = calledNames.get(id)
      const text = content.map((part) => (part.type === 'text' ? part.text : '')).join('')
      return {
        role: 'tool',
        content: isError ? `Error: ${text}` : text,
        // Models' templates from before there were ids tell results apart by the name alone.
        ...(name === undefined ? {} : { tool_name: name }),
        tool_call_id: id,
      }
    }),
    ...(rest.length > 0 || results.length === 0 ? [{ role: 'user', ...encodeContent(rest, warnings) }] : []),
  ]
}

function encodeContent(parts: readonly Part[], warnings: Set<string>): Json {
  const images = parts.flatMap((part) => (part.type === 'image' ? [part.data] : []))
  return {
    content: parts.map((part) => encodeText(part, warnings)).join(''),
    ...(images.length > 0 ? { images } : {}),
  }
}

/** The part of a message's content that is text; whatever this server cannot take is left out, and said. */
function encodeText(part: Part, warnings: Set<string>): string {
  switch (part.type) {
    case 'text':
      return part.text
    case 'image':
      return ''
    case 'reasoning':
      warnings.add(foreignThoughts)
      return ''
    case 'image-url':
      warnings.add('an image given by its address was left out: this server takes only the image itself, as data')
      return ''
    case 'file':
      if (part.mimeType.startsWith('text/')) return Buffer.from(part.data, 'base64').toString('utf8')
      warnings.add(`a file of type ${part.mimeType} was left out: this server takes text and images`)
      return ''
    case 'audio':
      warnings.add('audio was left out: this server takes text and images')
      return ''
    case 'tool-use':
    case 'tool-result':
      warnings.add(
        `a ${part.type === 'tool-use' ? 'tool_use' : 'tool_result'} block has no place in this role and was left out`,
      )
      return ''
  }
}

export function encodeTools(tools: readonly ToolSpec[]): Json[] {
  return tools.map(({ name, description, inputSchema }) => ({
    type: 'function',
    function: { name, ...(description === undefined ? {} : { description }), parameters: inputSchema },
  }))
}
