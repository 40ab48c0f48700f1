/** What providers send, as bytes: the head of an answer, and streams of each dialect cut into their events. */

export const dialects = ['openai', 'azure', 'anthropic', 'ollama'] as const
export type Dialect = (typeof dialects)[number]

/** A piece of a stream: its bytes, the text that it delivers, and whether the answer is complete with it. */
export type Piece = { bytes: string; text: string; terminal?: boolean }

export function head(status: number, headers: Readonly<Record<string, string | number>> = {}, reason = 'x'): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${status} ${reason}\r\n${lines.join('')}\r\n`
}

export function whole(status: number, body: string | Buffer, headers: Readonly<Record<string, string>> = {}): Buffer {
  const bytes = Buffer.from(body)
  return Buffer.concat([
    Buffer.from(head(status, { 'content-type': 'application/json', 'content-length': bytes.length, ...headers })),
    bytes,
  ])
}

export function json(status: number, value: unknown, headers: Readonly<Record<string, string>> = {}): Buffer {
  return whole(status, JSON.stringify(value), headers)
}

/** An error in the shape that most providers use. */
export function refusal(status: number, error: object, headers: Readonly<Record<string, string>> = {}): Buffer {
  return json(status, { error: { message: 'refused by the script', ...error } }, headers)
}

export function typeOf(dialect: Dialect): string {
  return dialect === 'ollama' ? 'application/x-ndjson' : 'text/event-stream'
}

/** A stream that says the texts and ends as its dialect ends. */
export function piecesOf(dialect: Dialect, texts: readonly string[]): Piece[] {
  return writers[dialect](texts)
}

export function bytesOf(pieces: readonly Piece[]): string {
  return pieces.map(({ bytes }) => bytes).join('')
}

/** A whole answer; without a framing of its own it ends with its connection. */
export function answer(
  dialect: Dialect,
  texts: readonly string[],
  framing: 'close' | 'chunked' | 'length' = 'length',
): Buffer {
  const body = Buffer.from(bytesOf(piecesOf(dialect, texts)))
  const type = { 'content-type': typeOf(dialect) }
  if (framing === 'length')
    return Buffer.concat([Buffer.from(head(200, { ...type, 'content-length': body.length })), body])
  if (framing === 'close') return Buffer.concat([Buffer.from(head(200, { ...type, connection: 'close' })), body])
  return Buffer.concat([Buffer.from(head(200, { ...type, 'transfer-encoding': 'chunked' })), chunk(body), lastChunk])
}

export function chunk(bytes: string | Buffer): Buffer {
  const body = Buffer.from(bytes)
  return Buffer.concat([Buffer.from(`${body.length.toString(16)}\r\n`), body, Buffer.from('\r\n')])
}

export const lastChunk = Buffer.from('0\r\n\r\n')

export function openaiEvent(delta: object, finish: string | null = null, more: object = {}): string {
  return `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', model: 'tiny', choices: [{ index: 0, delta, finish_reason: finish }], ...more })}\n\n`
}

const anthropicEvent = (type: string, more: object) => `event: ${type}\ndata: ${JSON.stringify({ type, ...more })}\n\n`

function openai(texts: readonly string[]): Piece[] {
  return [
    ...texts.map((text) => ({ bytes: openaiEvent({ content: text }), text })),
    { bytes: openaiEvent({}, 'stop'), text: '' },
    { bytes: 'data: [DONE]\n\n', text: '', terminal: true },
  ]
}

function anthropic(texts: readonly string[]): Piece[] {
  const message = {
    id: 'm',
    type: 'message',
    role: 'assistant',
    model: 'tiny',
    content: [],
    usage: { input_tokens: 1, output_tokens: 1 },
  }
  return [
    { bytes: anthropicEvent('message_start', { message }), text: '' },
    { bytes: anthropicEvent('content_block_start', { index: 0, content_block: { type: 'text', text: '' } }), text: '' },
    ...texts.map((text) => ({
      bytes: anthropicEvent('content_block_delta', { index: 0, delta: { type: 'text_delta', text } }),
      text,
    })),
    { bytes: anthropicEvent('content_block_stop', { index: 0 }), text: '' },
    {
      bytes: anthropicEvent('message_delta', { delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 1 } }),
      text: '',
    },
    { bytes: anthropicEvent('message_stop', {}), text: '', terminal: true },
  ]
}

function ollama(texts: readonly string[]): Piece[] {
  const line = (content: string, more: object) =>
    `${JSON.stringify({ model: 'tiny', message: { role: 'assistant', content }, ...more })}\n`
  return [
    ...texts.map((text) => ({ bytes: line(text, { done: false }), text })),
    {
      bytes: line('', { done: true, done_reason: 'stop', prompt_eval_count: 1, eval_count: 1 }),
      text: '',
      terminal: true,
    },
  ]
}

const writers: Readonly<Record<Dialect, (texts: readonly string[]) => Piece[]>> = {
  openai,
  azure: openai,
  anthropic,
  ollama,
}
