import type { ServerResponse } from 'node:http'
import { type Answer, chatChunk, type Received, sendJson } from './upstream.ts'

/** A provider whose answer is chosen by the prompt. */
export type Line = (response: ServerResponse, received: Received) => void | Promise<void>

export function chatScript(lines: Readonly<Record<string, Line>>): Answer {
  return (received, response) => {
    const prompt = promptOf(received)
    const line = Object.hasOwn(lines, prompt) ? lines[prompt] : undefined
    if (line) return line(response, received)
    sendJson(response, 400, { error: { message: `no line for ${prompt}`, type: 'invalid_request_error' } })
  }
}

/** What the last message of a chat request says. */
export function promptOf({ json }: Received): string {
  const last = (json as { messages?: { content?: unknown }[] }).messages?.at(-1)?.content
  return typeof last === 'string' ? last : JSON.stringify(last)
}

/** Begins a streamed answer; the pieces and the end are written by whoever asked. */
export function beginStream(response: ServerResponse, ...pieces: string[]): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  response.flushHeaders()
  for (const piece of pieces) response.write(chatChunk({ content: piece }))
}

export const streamEnd = `${chatChunk({}, 'stop')}data: [DONE]\n\n`
