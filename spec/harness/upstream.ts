import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'

/** A scripted provider on loopback: a real server, whose answers the test decides. */

export type Received = { method: string; path: string; headers: IncomingHttpHeaders; body: string; json: unknown }

export type Upstream = {
  /** With `/v1`, as a base URL has it. */
  url: string
  port: number
  /** Every request, in order of arrival. */
  requests: Received[]
  /** Connections that were ever opened. */
  connections(): number
  /** Resolves when the answer to the request of this number (from 0) has lost its socket or ended. */
  closed(number: number): Promise<void>
  close(): Promise<void>
}

export type Answer = (request: Received, response: ServerResponse, number: number) => void | Promise<void>

export async function startUpstream(answer: Answer, where = { host: '127.0.0.1', port: 0 }): Promise<Upstream> {
  const requests: Received[] = []
  const closings: Promise<void>[] = []
  const sockets = new Set<Socket>()
  let opened = 0
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString('utf8')
      const received = {
        method: request.method ?? '',
        path: request.url ?? '',
        headers: request.headers,
        body,
        json: body === '' ? undefined : JSON.parse(body),
      }
      closings.push(new Promise((resolve) => response.on('close', resolve)))
      void answer(received, response, requests.push(received) - 1)
    })
  })
  server.on('connection', (socket) => {
    opened += 1
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => {})
  })
  await new Promise<void>((resolve) => server.listen(where, resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://${where.host}:${port}/v1`,
    port,
    requests,
    connections: () => opened,
    async closed(number) {
      while (closings.length <= number) await new Promise((resolve) => setTimeout(resolve, 5))
      await closings[number]
    },
    async close() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

export function sendJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers })
  response.end(JSON.stringify(body))
}

/** A chunk of OpenAI's chat stream as one server-sent event. */
export function chatChunk(delta: object, finishReason: string | null = null, more: object = {}): string {
  const chunk = {
    id: 'chatcmpl-1',
    object: 'chat.completion.chunk',
    created: 1,
    model: 'tiny',
    choices: [{ index: 0, delta, finish_reason: finishReason }],
    ...more,
  }
  return `data: ${JSON.stringify(chunk)}\n\n`
}

/** A whole chat stream that says the given pieces and stops. */
export function chatStream(pieces: readonly string[]): string {
  const usage = { prompt_tokens: 3, completion_tokens: pieces.length, total_tokens: 3 + pieces.length }
  return [
    ...pieces.map((content) => chatChunk({ content })),
    chatChunk({}, 'stop'),
    chatChunk({}, null, { choices: [], usage }),
    'data: [DONE]\n\n',
  ].join('')
}

export function sendStream(response: ServerResponse, text: string): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  response.end(text)
}
