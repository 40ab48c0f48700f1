import type { AddressInfo } from 'node:net'
import { createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'

/** The chaos upstream: a raw server whose every byte is scripted, and which remembers every byte and connection. */

export type Exchange = {
  /** Of all requests here, of those with the same prompt, and of those on the same connection; each from 0. */
  number: number
  attempt: number
  onConnection: number
  atMs: number
  method: string
  path: string
  headers: Readonly<Record<string, string>>
  body: Buffer
  json: unknown
  /** What the last message says: how a request is known to belong to a call. */
  prompt: string
  socket: Socket
  /** Writes bytes; resolves when the socket can take more, or is gone. */
  send(bytes: string | Uint8Array): Promise<void>
  /** Ends the connection in order, or breaks it. */
  finish(): void
  reset(): void
  /** Resolves when the connection is gone. */
  gone: Promise<void>
  /** The text of complete events that have been sent: the gateway owes it to the client, whole or as a partial answer. */
  owe(text: string): void
}

export type Script = (exchange: Exchange) => void | Promise<void>

export type Upstream = {
  origin: string
  port: number
  exchanges: Exchange[]
  /** Those that ask a model something. */
  calls(): Exchange[]
  /** All bytes that came in, of all connections. */
  bytes: Buffer[]
  /** The last text owed to a prompt. */
  owed: ReadonlyMap<string, string>
  connections(): number
  /** Connections that are open now. */
  open(): number
  close(): Promise<void>
}

export type UpstreamOptions = {
  /** Speaks TLS with these. */
  tls?: { key: string; cert: string }
  /** Takes a connection over before anything was read; nothing is scripted then. */
  onConnection?: (socket: Socket) => void
  host?: string
}

export async function startUpstream(
  script: Script,
  { tls, onConnection, host = '127.0.0.1' }: UpstreamOptions = {},
): Promise<Upstream> {
  const exchanges: Exchange[] = []
  const bytes: Buffer[] = []
  const owed = new Map<string, string>()
  const attempts = new Map<string, number>()
  const sockets = new Set<Socket>()
  let connections = 0

  const onSocket = (socket: Socket) => {
    socket.setMaxListeners(0)
    socket.on('error', () => {})
    socket.on('data', (chunk: Buffer) => bytes.push(chunk))
    if (onConnection) return onConnection(socket)
    let onThis = 0
    const gone = new Promise<void>((resolve) => socket.once('close', () => resolve()))
    readRequests(socket, (request) => {
      const prompt = promptOf(request.json)
      const attempt = attempts.get(prompt) ?? 0
      attempts.set(prompt, attempt + 1)
      const exchange: Exchange = {
        ...request,
        number: exchanges.length,
        attempt,
        onConnection: onThis++,
        atMs: performance.now(),
        prompt,
        socket,
        send: (data) => sendTo(socket, data),
        finish: () => void socket.end(),
        reset: () => void socket.resetAndDestroy(),
        gone,
        owe: (text) => void owed.set(prompt, text),
      }
      exchanges.push(exchange)
      void script(exchange)
    })
  }
  const server: Server = tls ? createTlsServer(tls, onSocket) : createServer({ noDelay: true }, onSocket)
  server.on('connection', (socket: Socket) => {
    connections += 1
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
  })
  server.on('tlsClientError', () => {})
  await new Promise<void>((resolve) => server.listen(0, host, 4096, resolve))
  const { port } = server.address() as AddressInfo
  return {
    origin: `${tls ? 'https' : 'http'}://${host}:${port}`,
    port,
    exchanges,
    calls: () => exchanges.filter(({ method }) => method === 'POST'),
    bytes,
    owed,
    connections: () => connections,
    open: () => sockets.size,
    async close() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

type Request = Pick<Exchange, 'method' | 'path' | 'headers' | 'body' | 'json'>

/** Cuts what a connection sends into requests; the gateway gives each body a length. */
function readRequests(socket: Socket, onRequest: (request: Request) => void): void {
  let held: Buffer[] = []
  let heldBytes = 0
  let needed = 0
  socket.on('data', (chunk: Buffer) => {
    held.push(chunk)
    heldBytes += chunk.length
    while (heldBytes > 0 && heldBytes >= needed) {
      const buffer = Buffer.concat(held)
      held = [buffer]
      const end = buffer.indexOf('\r\n\r\n')
      if (end === -1) return
      const [first = '', ...lines] = buffer.toString('latin1', 0, end).split('\r\n')
      const headers = Object.fromEntries(
        lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
      )
      const bodyEnd = end + 4 + Number(headers['content-length'] ?? 0)
      needed = bodyEnd
      if (buffer.length < bodyEnd) return
      const [method = '', path = ''] = first.split(' ')
      const body = buffer.subarray(end + 4, bodyEnd)
      held = bodyEnd === buffer.length ? [] : [buffer.subarray(bodyEnd)]
      heldBytes = buffer.length - bodyEnd
      needed = 0
      onRequest({ method, path, headers, body, json: parsed(body) })
    }
  })
}

function sendTo(socket: Socket, data: string | Uint8Array): Promise<void> {
  if (socket.destroyed || !socket.writable || socket.write(data)) return Promise.resolve()
  return new Promise((resolve) => {
    const settle = () => {
      socket.off('drain', settle)
      socket.off('close', settle)
      resolve()
    }
    socket.on('drain', settle)
    socket.on('close', settle)
  })
}

function parsed(body: Buffer): unknown {
  try {
    return body.length === 0 ? undefined : JSON.parse(body.toString('utf8'))
  } catch {
    return undefined
  }
}

function promptOf(body: unknown): string {
  const { messages, prompt, input } = (body ?? {}) as {
    messages?: { content?: unknown }[]
    prompt?: unknown
    input?: unknown
  }
  const said = messages?.at(-1)?.content ?? prompt ?? input
  if (typeof said === 'string') return said
  if (!Array.isArray(said)) return ''
  return said
    .map((part) => (typeof part === 'string' ? part : ((part as { text?: string } | null)?.text ?? '')))
    .join('')
}
