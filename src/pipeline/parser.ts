import { Fault } from '../errors.ts'
import type { ChatAsk, ChatMessage, EmbedAsk, Part, Role, TextAsk, ToolSpec } from '../gateway.ts'
import { isObject, type Json, parseKeepingDigits } from '../json.ts'

/** Tool arguments to asks: what they mean. The tools' schemas have already said that they are well-formed. */

type Loose = Json

export type CompletionArguments = {
  model?: string | undefined
  prompt?: string | undefined
  messages?: Loose[] | undefined
  system?: string | undefined
  maxTokens?: number | undefined
  temperature?: number | undefined
  topP?: number | undefined
  stop?: string[] | undefined
  seed?: number | undefined
  reasoningEffort?: string | undefined
  responseSchema?: Loose | undefined
  tools?: Loose[] | undefined
  toolChoice?: string | undefined
  mode?: 'chat' | 'text' | undefined
  suffix?: string | undefined
  timeout?: number | undefined
  options?: Loose | undefined
}

export type EmbeddingArguments = {
  model?: string | undefined
  input: string[]
  dimensions?: number | undefined
  encoding?: 'float' | 'base64' | undefined
}

export function parseCompletion(args: CompletionArguments): ChatAsk | TextAsk {
  const { maxTokens, temperature, topP, stop, seed, options, timeout } = args
  const common = {
    model: modelName(args.model),
    options,
    maxTokens,
    temperature,
    topP,
    stop: stop && stop.length > 0 ? stop.map((text) => wellFormed(text, 'stop')) : undefined,
    seed,
    timeoutMs: timeout === undefined ? undefined : timeout * 1000,
  }
  if ((args.prompt === undefined) === (args.messages === undefined)) {
    throw invalid('give either prompt or messages')
  }
  const mode = args.mode ?? (args.suffix === undefined ? 'chat' : 'text')
  if (mode === 'text') {
    const foreign = (['messages', 'system', 'responseSchema', 'tools', 'toolChoice', 'reasoningEffort'] as const).find(
      (name) => args[name] !== undefined,
    )
    if (args.prompt === undefined || foreign) throw invalid(`${foreign ?? 'messages'} has no place in mode text`)
    return {
      kind: 'text',
      ...common,
      prompt: wellFormed(args.prompt, 'prompt'),
      suffix: args.suffix === undefined ? undefined : wellFormed(args.suffix, 'suffix'),
    }
  }
  if (args.suffix !== undefined) throw invalid('suffix belongs to mode text')
  // An empty list of tools is as good as none, and servers refuse it.
  const tools = args.tools && args.tools.length > 0 ? args.tools.map(parseTool) : undefined
  const { toolChoice } = args
  if (toolChoice !== undefined && !['auto', 'none', 'required'].includes(toolChoice)) {
    if (!tools?.some((tool) => tool.name === toolChoice)) {
      throw invalid(`toolChoice must be auto, none, required or the name of one of the tools`)
    }
  }
  const system: ChatMessage[] =
    args.system === undefined ? [] : [{ role: 'system', content: [text(args.system, 'system')] }]
  const conversation: ChatMessage[] =
    args.prompt === undefined
      ? (args.messages ?? []).map(parseMessage)
      : [{ role: 'user', content: [text(args.prompt, 'prompt')] }]
  if (conversation.length === 0) throw invalid('messages must not be empty')
  return {
    kind: 'chat',
    ...common,
    messages: [...system, ...conversation],
    reasoningEffort: args.reasoningEffort,
    responseSchema: args.responseSchema,
    tools,
    toolChoice,
  }
}

/** Of a length that a name can have, and sendable: it goes into paths and sentences. */
function modelName(name: string | undefined): string | undefined {
  if (name !== undefined && (name.length > 256 || /[\p{Cc}\p{Cs}]/u.test(name))) {
    throw invalid('model must be a name of at most 256 characters, none of them invisible')
  }
  return name
}

export function parseEmbedding({ model, input, dimensions, encoding = 'float' }: EmbeddingArguments): EmbedAsk {
  if (input.some((item) => item === '')) throw invalid('input must not hold an empty string')
  return {
    kind: 'embed',
    model: modelName(model),
    input: input.map((item) => wellFormed(item, 'input')),
    dimensions,
    encoding,
  }
}

const roles: readonly string[] = ['system', 'developer', 'user', 'assistant', 'tool'] satisfies Role[]

/** Takes MCP's shape of a message, and the providers' own for calls and results of tools. */
function parseMessage(message: Loose, at: number): ChatMessage {
  const where = `messages[${at}]`
  const { role, content } = message
  if (typeof role !== 'string' || !roles.includes(role))
    throw invalid(`${where}.role must be one of ${roles.join(', ')}`)
  const calls = message['toolCalls'] ?? message['tool_calls']
  const callParts = Array.isArray(calls) ? calls.map((call) => parseToolUse(call, `${where}.toolCalls`)) : []
  const sealed = thoughtsOf(message).map((block) => parseReasoning(block, `${where}.reasoningBlocks`))
  if (content === undefined || content === null) {
    if (callParts.length === 0) throw invalid(`${where}.content is missing`)
    return { role: role as Role, content: [...sealed, ...callParts] }
  }
  const parts = parseContent(content, `${where}.content`)
  const resultId = idOf(message)
  if (role === 'tool' && !parts.some((part) => part.type === 'tool-result')) {
    if (resultId === undefined) throw invalid(`${where} needs toolCallId, the id of the call that it answers`)
    return {
      role,
      content: [{ type: 'tool-result', id: resultId, content: parts, isError: message['isError'] === true }],
    }
  }
  return { role: role as Role, content: [...sealed, ...parts, ...callParts] }
}

function parseContent(content: unknown, where: string): Part[] {
  if (typeof content === 'string') return [text(content, where)]
  const blocks = Array.isArray(content) ? content : [content]
  return blocks.map((block, at) => parseBlock(block, `${where}[${at}]`))
}

/** An MCP content block, or the same thing in OpenAI's or Anthropic's spelling. */
function parseBlock(block: unknown, where: string): Part {
  if (typeof block === 'string') return text(block, where)
  if (!isObject(block)) throw invalid(`${where} must be a content block`)
  const { type } = block
  switch (type) {
    case 'text':
    case 'input_text':
    case 'output_text':
      return text(required(block['text'], `${where}.text`), where)
    case 'image':
      return isObject(block['source']) ? parseSource(block['source'], where) : binary('image', block, where)
    case 'audio':
      return binary('audio', block, where)
    case 'image_url': {
      const url = isObject(block['image_url']) ? block['image_url']['url'] : block['image_url']
      return imageAt(required(url, `${where}.image_url`), where)
    }
    case 'input_audio':
      return parseInputAudio(block['input_audio'], where)
    case 'file':
      return parseFile(block['file'], where)
    case 'document':
      return parseDocument(block, where)
    case 'resource':
      return parseResource(block['resource'], where)
    case 'resource_link':
      if (typeof block['mimeType'] === 'string' && !block['mimeType'].startsWith('image/')) {
        throw invalid(`${where} links to ${block['mimeType']}: only images can be linked, send the content itself`)
      }
      return imageAt(required(block['uri'], `${where}.uri`), where)
    case 'tool_use':
      return parseToolUse(block, where)
    case 'tool_result': {
      const id = idOf(block)
      if (id === undefined) throw invalid(`${where}.toolUseId is missing`)
      const content = block['content'] ?? ''
      return { type: 'tool-result', id, content: parseContent(content, where), isError: isErrorOf(block) }
    }
    case 'thinking':
    case 'redacted_thinking':
    case 'reasoning':
    case 'reasoning.text':
    case 'reasoning.summary':
    case 'reasoning.encrypted':
    case 'reasoning_content':
    case 'extra_content':
      return parseReasoning(block, where)
    default:
      throw invalid(`${where}.type must be one of text, image, audio, resource, resource_link, tool_use, tool_result`)
  }
}

/** As the result of an earlier call has them, or as the messages of compatible servers do. */
function thoughtsOf(message: Loose): unknown[] {
  const lists = ['reasoningBlocks', 'reasoning_blocks', 'reasoning_details'].map((name) => message[name])
  const blocks = lists.flatMap((list) => (Array.isArray(list) ? list : []))
  const { reasoning_content } = message
  const isText = typeof reasoning_content === 'string' && reasoning_content !== ''
  return blocks.length === 0 && isText ? [{ type: 'reasoning_content', reasoning_content }] : blocks
}

/** Handed on byte for byte: its seal holds for nothing else. */
function parseReasoning(block: unknown, where: string): Part {
  if (!isObject(block) || typeof block['type'] !== 'string') throw invalid(`${where} must hold blocks as they came`)
  return { type: 'reasoning', block }
}

function parseSource(source: Loose, where: string): Part {
  if (source['type'] === 'url') return imageAt(required(source['url'], `${where}.source.url`), where)
  return binary('image', { data: source['data'], mimeType: source['media_type'] }, `${where}.source`)
}

/** OpenAI's audio: the format instead of the media type. */
function parseInputAudio(audio: unknown, where: string): Part {
  const { data, format } = isObject(audio) ? audio : ({} as Loose)
  return binary('audio', { data, mimeType: `audio/${required(format, `${where}.input_audio.format`)}` }, where)
}

/** OpenAI's file: a data: URI. One that was uploaded there before means nothing elsewhere. */
function parseFile(file: unknown, where: string): Part {
  const { filename, file_data } = isObject(file) ? file : ({} as Loose)
  const [, mimeType, data] =
    /^data:([^;,]+);base64,([\s\S]*)$/.exec(required(file_data, `${where}.file.file_data`)) ?? []
  return binary('file', { data, mimeType }, where, typeof filename === 'string' ? filename : undefined)
}

/** Anthropic's document, of bytes or of text. */
function parseDocument({ source, title }: Loose, where: string): Part {
  const { type, data, media_type } = isObject(source) ? source : ({} as Loose)
  if (type === 'text') return text(required(data, `${where}.source.data`), where)
  return binary(
    'file',
    { data, mimeType: media_type },
    `${where}.source`,
    typeof title === 'string' ? title : undefined,
  )
}

function binary(type: 'image' | 'audio' | 'file', block: Loose, where: string, name?: string): Part {
  const data = required(block['data'], `${where}.data`)
  const mimeType = required(block['mimeType'], `${where}.mimeType`)
  if (!/^[\w.+-]+\/[\w.+-]+$/.test(mimeType)) throw invalid(`${where}.mimeType is not a media type`)
  if (!isBase64(data)) throw invalid(`${where}.data is not base64`)
  return { type, data, mimeType, name }
}

/** The gateway fetches nothing: an address goes to the provider as it is, and only one that it could reach itself. */
function imageAt(url: string, where: string): Part {
  const inline = /^data:([\w.+-]+\/[\w.+-]+);base64,/.exec(url)
  if (inline) return binary('image', { data: url.slice(inline[0].length), mimeType: inline[1] }, where)
  if (!/^https?:\/\//i.test(url)) throw invalid(`${where} must be an https address or a data: URI`)
  return { type: 'image-url', url: wellFormed(url, where) }
}

function parseResource(resource: unknown, where: string): Part {
  if (!isObject(resource)) throw invalid(`${where}.resource must be an object`)
  const { uri, mimeType, blob } = resource
  if (typeof resource['text'] === 'string') return text(resource['text'], `${where}.resource.text`)
  const media = typeof mimeType === 'string' ? mimeType : 'application/octet-stream'
  const kind = media.startsWith('image/') ? 'image' : media.startsWith('audio/') ? 'audio' : 'file'
  const name = typeof uri === 'string' ? uri.slice(uri.lastIndexOf('/') + 1) : ''
  return binary(kind, { data: blob, mimeType: media }, `${where}.resource`, name === '' ? undefined : name)
}

/** `{ id, name, input | arguments }`, or OpenAI's `{ id, function: { name, arguments } }` with the arguments as text. */
function parseToolUse(call: unknown, where: string): Part {
  if (!isObject(call)) throw invalid(`${where} must hold objects`)
  const inner = isObject(call['function']) ? call['function'] : call
  const id = required(call['id'], `${where}.id`)
  const name = required(inner['name'], `${where}.name`)
  const given = exactArguments(call['argumentsText']) ?? inner['input'] ?? inner['arguments'] ?? {}
  const value = typeof given === 'string' ? parseJson(given.trim() === '' ? '{}' : given, `${where}.arguments`) : given
  if (!isObject(value)) throw invalid(`${where}.arguments must be an object`)
  return { type: 'tool-use', id, name, arguments: value }
}

/** Arguments as the model wrote them, where they are an object; a result has them only where its value is another. */
function exactArguments(text: unknown): Loose | undefined {
  try {
    const value = typeof text === 'string' ? parseKeepingDigits(text) : undefined
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** A tool in MCP's shape, or in OpenAI's or Anthropic's. */
function parseTool(tool: Loose, at: number): ToolSpec {
  const where = `tools[${at}]`
  const inner = isObject(tool['function']) ? tool['function'] : tool
  const name = required(inner['name'], `${where}.name`)
  const { description } = inner
  const schema = inner['inputSchema'] ?? inner['input_schema'] ?? inner['parameters'] ?? {}
  if (!isObject(schema)) throw invalid(`${where}.inputSchema must be an object`)
  return {
    name,
    ...(typeof description === 'string' ? { description: wellFormed(description, where) } : {}),
    inputSchema: { type: 'object', properties: {}, ...schema },
  }
}

function idOf(value: Loose): string | undefined {
  const names = ['toolCallId', 'tool_call_id', 'toolUseId', 'tool_use_id']
  return names.map((name) => value[name]).find((id): id is string => typeof id === 'string')
}

function isErrorOf(block: Loose): boolean {
  return (block['isError'] ?? block['is_error']) === true
}

function text(value: string, where: string): Part {
  return { type: 'text', text: wellFormed(value, where) }
}

function required(value: unknown, where: string): string {
  if (typeof value === 'string') return value
  throw invalid(`${where} must be a string`)
}

/** Half a surrogate pair cannot be sent as UTF-8. */
function wellFormed(value: string, where: string): string {
  if (value.isWellFormed()) return value
  throw invalid(`${where} holds half of a surrogate pair`)
}

function isBase64(data: string): boolean {
  // Two ends and the length are looked at, not every character of a large picture.
  const isCut = data.length <= 4096 && data.replace(/[\s=]+/g, '').length % 4 === 1
  return data !== '' && !isCut && /^[\w+/-]{1,64}/.test(data) && /^[\w+/=\s-]*$/.test(data.slice(-64))
}

function parseJson(value: string, where: string): unknown {
  try {
    return parseKeepingDigits(value)
  } catch {
    throw invalid(`${where} is not valid JSON`)
  }
}

function invalid(message: string): Fault {
  return new Fault('invalid_request', message)
}
