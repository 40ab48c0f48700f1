import type { Ask, ChatAsk, ChatMessage, EmbedAsk, Part, TextAsk } from '../../src/gateway.ts'
import type { Provider, Target } from '../../src/provider.ts'
import { presets } from '../../src/providers/index.ts'
import { isStreamed, type Played } from './played.ts'
import { requestOf, type Surface } from './surfaces.ts'

/**
 * What can be asked for. It is offered where it makes another request, and a case exercises it where that is so of the
 * case's own ask.
 */
export type Asked = {
  name: string
  /** An ask with it. */
  sample: Ask
  /** The same ask without it, or with something else in its place; undefined where nothing would be left to ask. */
  otherwise(ask: Ask): Ask | undefined
  /** Surfaces whose vendor refuses what the dialect can say: a case shows what is answered then. */
  refusedBy?: readonly string[]
  /** What the answer has to be besides. */
  answered?(played: Played): boolean
}

export function isOffered({ sample, otherwise }: Asked, { dialects, targets, kinds }: Surface): boolean {
  return (
    kinds.includes(sample.kind) &&
    targets.some((target) => dialects.some((dialect) => reaches(otherwise, dialect, sample, target)))
  )
}

/** Whether it comes as far as the request. */
export function reaches(otherwise: Asked['otherwise'], dialect: Provider, ask: Ask, target: Target): boolean {
  const request = requestOf(dialect, ask, target)
  return request !== undefined && request !== requestOf(dialect, otherwise(ask), target)
}

const words = (text: string): Part => ({ type: 'text', text })
const user = (...content: Part[]): ChatMessage => ({ role: 'user', content })
const chat: ChatAsk = { kind: 'chat', messages: [user(words('Hello'))] }
const tools = [{ name: 'weather', inputSchema: { type: 'object', properties: {} } }]
const toolUse: Part = { type: 'tool-use', id: 'call_1', name: 'weather', arguments: {} }
const text: TextAsk = { kind: 'text', prompt: 'Once' }
const embed: EmbedAsk = { kind: 'embed', input: ['Hello'], encoding: 'float' }

/** A feature of chat that is a field of the ask. */
function field<K extends keyof ChatAsk>(key: K, value: ChatAsk[K], name = `\`${key}\``): Asked {
  return {
    name,
    sample: { ...chat, [key]: value },
    otherwise: (ask) => (ask.kind === 'chat' ? { ...ask, [key]: undefined } : ask),
  }
}

/** A feature of chat that is in its messages. */
function told(name: string, messages: ChatMessage[], drop: (messages: readonly ChatMessage[]) => ChatMessage[]): Asked {
  return {
    name,
    sample: { ...chat, messages },
    otherwise: (ask) => (ask.kind === 'chat' ? { ...ask, messages: drop(ask.messages) } : ask),
  }
}

function withoutParts(dropped: (part: Part) => boolean) {
  return (messages: readonly ChatMessage[]): ChatMessage[] =>
    messages.map(({ role, content }) => ({ role, content: content.filter((part) => !dropped(part)) }))
}

function withParts(change: (part: Part) => Part) {
  return (messages: readonly ChatMessage[]): ChatMessage[] =>
    messages.map(({ role, content }) => ({ role, content: content.map(change) }))
}

/** A feature that is a piece of a message: another piece of the kind makes another request. */
function piece(name: string, sample: Part, refusedBy: readonly string[] = []): Asked {
  const isSame = (part: Part) => part.type === sample.type && isText(part) === isText(sample)
  return {
    ...told(
      name,
      [user(words('Look'), sample)],
      withParts((part) => (isSame(part) ? changed(part) : part)),
    ),
    refusedBy,
  }
}

/** Files of text go other ways than files of other kinds. */
function isText(part: Part): boolean {
  return part.type === 'file' && part.mimeType.startsWith('text/')
}

function changed(part: Part): Part {
  switch (part.type) {
    case 'image':
    case 'audio':
    case 'file':
      return { ...part, data: 'b3RoZXI=' }
    case 'image-url':
      return { ...part, url: 'https://example.com/other' }
    default:
      return part
  }
}

/** A choice of tools; the other choices are another feature. */
function choice(name: string, toolChoice: string, isIt: (choice: string) => boolean): Asked {
  return {
    name,
    sample: { ...chat, tools, toolChoice },
    otherwise: (ask) => {
      const chosen = ask.kind === 'chat' && ask.tools !== undefined && isIt(ask.toolChoice ?? 'auto')
      return chosen ? { ...ask, toolChoice: undefined } : ask
    },
  }
}

/** A kind of ask as a whole. */
function whole(name: string, sample: Ask, isIt: (ask: Ask) => boolean = ({ kind }) => kind === sample.kind): Asked {
  return { name, sample, otherwise: (ask) => (isIt(ask) ? undefined : ask) }
}

const weather = (...content: Part[]): ChatMessage[] => [
  user(words('The weather?')),
  { role: 'assistant', content: [toolUse] },
  { role: 'tool', content: [{ type: 'tool-result', id: 'call_1', content, isError: false }] },
]

/** Thoughts as each vendor seals them; a dialect hands back its own alone. */
const sealed: Part[] = [
  { type: 'reasoning', block: { type: 'thinking', thinking: 'Hm.', signature: 'c2VhbGVk' } },
  { type: 'reasoning', block: { type: 'reasoning', id: 'rs_1', summary: [], encrypted_content: 'c2VhbGVk' } },
  { type: 'reasoning', block: { type: 'reasoning.text', text: 'Hm.', signature: 'c2VhbGVk', index: 0 } },
]

/** What chat can be asked for. */
export const chatAsks: readonly Asked[] = [
  told(
    'several turns',
    [user(words('A')), { role: 'assistant', content: [words('B')] }, user(words('C'))],
    (messages) => messages.filter(({ role }) => role !== 'assistant'),
  ),
  told('system message', [{ role: 'system', content: [words('Be short')] }, user(words('A'))], (messages) =>
    messages.filter(({ role }) => role !== 'system'),
  ),
  told(
    'developer message',
    [user(words('A')), { role: 'developer', content: [words('Be short')] }, user(words('B'))],
    (messages) => messages.map((message) => (message.role === 'developer' ? { ...message, role: 'system' } : message)),
  ),
  field('maxTokens', 100),
  field('temperature', 0.5),
  field('topP', 0.5),
  field('stop', ['END']),
  field('seed', 7),
  field('options', { metadata: { trace: 'a1' } }),
  piece('image', { type: 'image', data: 'iVBORw0KGgo=', mimeType: 'image/png' }),
  piece('image by address', { type: 'image-url', url: 'https://example.com/duck.png' }, ['lmstudio']),
  piece('audio', { type: 'audio', data: 'UklGRg==', mimeType: 'audio/wav' }, ['lmstudio']),
  piece('PDF', { type: 'file', data: 'JVBERi0=', mimeType: 'application/pdf' }, ['azure', 'azure dated', 'lmstudio']),
  piece('text file', { type: 'file', data: 'SGVsbG8=', mimeType: 'text/csv' }),
  field('tools', tools, 'tools'),
  choice('tool choice: must', 'required', (chosen) => chosen !== 'auto' && chosen !== 'none'),
  choice('tool choice: must not', 'none', (chosen) => chosen === 'none'),
  told(
    'tool results',
    weather(words('Rain')),
    withoutParts(({ type }) => type === 'tool-result'),
  ),
  told(
    'images in tool results',
    weather({ type: 'image', data: 'iVBORw0KGgo=', mimeType: 'image/png' }),
    withParts((part) => (part.type === 'tool-result' ? { ...part, content: part.content.map(changed) } : part)),
  ),
  field('reasoningEffort', 'high', 'reasoning effort'),
  told(
    'thoughts handed back',
    [user(words('A')), { role: 'assistant', content: [...sealed, words('B')] }, user(words('C'))],
    withoutParts(({ type }) => type === 'reasoning'),
  ),
  field('responseSchema', { type: 'object', properties: {} }, 'response schema'),
]

/** What else than chat can be asked for. */
export const otherAsks: readonly Asked[] = [
  { ...whole('text, streamed', text), answered: isStreamed },
  { ...whole('text, not streamed', text), answered: (played) => !isStreamed(played) },
  {
    name: 'text with a suffix',
    sample: { ...text, suffix: 'end' },
    otherwise: (ask) => (ask.kind === 'text' ? { ...ask, suffix: undefined } : ask),
  },
  whole('embeddings', embed),
  {
    name: 'dimensions of embeddings',
    sample: { ...embed, dimensions: 2 },
    otherwise: (ask) => (ask.kind === 'embed' ? { ...ask, dimensions: undefined } : ask),
  },
  whole('embeddings in base64', { ...embed, encoding: 'base64' }, (ask) => {
    return ask.kind === 'embed' && ask.encoding === 'base64'
  }),
  whole('list of models', { kind: 'models', provider: '' }),
]

const toolNames = [...new Set(Object.values(presets).flatMap(({ dialect }) => Object.keys(dialect.tools ?? {})))]

/** The tools that some provider has of its own. */
export const toolAsks: readonly Asked[] = toolNames.map((name) => {
  const sample: Ask = { kind: 'tool', provider: '', name, arguments: {} }
  return whole(`\`${name}\``, sample, (ask) => ask.kind === 'tool' && ask.name === name)
})
