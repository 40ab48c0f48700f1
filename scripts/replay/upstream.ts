import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { bytesOf, type Exchange } from '../../src/http/tape.ts'
import { type Cut, inOnePiece } from './cuts.ts'

/** A provider on loopback that answers the requests it gets, in order, with what was recorded. */

export type Received = Exchange['request']

export type Upstream = {
  /** Without a slash at the end. */
  origin: string
  port: number
  /** Serves these exchanges from now on; the requests are gathered in the list that is returned. */
  play(exchanges: readonly Exchange[], cut: Cut): Received[]
  close(): Promise<void>
}

/** How long a broken answer keeps its socket open behind its last byte, so that the byte arrives. */
const breakDelayMs = 5

export async function startUpstream(): Promise<Upstream> {
  let tape: { exchanges: readonly Exchange[]; cut: Cut; received: Received[] } | undefined
  const sockets = new Set<Socket>()
  const serve = async (request: IncomingMessage, response: ServerResponse) => {
    const received = await readRequest(request)
    const position = (tape?.received.push(received) ?? 0) - 1
    const exchange = tape?.exchanges[position]
    // 501 is what no client repeats.
    if (!tape || !exchange) response.writeHead(501).end('{"error":{"message":"the tape has ended"}}')
    else await answer(response, exchange.response, tape.cut)
  }
  // A client that goes away in the middle of its request is answered nothing.
  const server = createServer((request, response) => void serve(request, response).catch(() => response.destroy()))
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.setNoDelay(true)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => {})
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    origin: `http://127.0.0.1:${port}`,
    port,
    play(exchanges, cut) {
      const received: Received[] = []
      tape = { exchanges, cut, received }
      return received
    },
    async close() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

async function readRequest(request: IncomingMessage): Promise<Received> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  const text = Buffer.concat(chunks).toString('utf8')
  const type = request.headers['content-type']
  return {
    method: request.method ?? '',
    path: request.url ?? '',
    headers: type === undefined ? {} : { 'content-type': type },
    ...(text === '' ? {} : { body: parsed(text) }),
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/**
 * Each piece is an HTTP chunk, written in a turn of its own on a socket without delay. Were two of them to meet in one
 * read all the same, they would still come out of the gateway's HTTP parser one by one. A body in one piece says its
 * length instead.
 */
async function answer(response: ServerResponse, recorded: Exchange['response'], cut: Cut): Promise<void> {
  const chunks = recorded.chunks.map(bytesOf)
  const pieces = (cut.of(chunks) ?? chunks).filter((piece) => piece.length > 0)
  const length =
    cut === inOnePiece && recorded.fault === undefined ? { 'content-length': String(pieces[0]?.length ?? 0) } : {}
  response.writeHead(recorded.status, { ...recorded.headers, ...length })
  for (const piece of pieces) {
    if (response.destroyed) return
    response.write(piece)
    await turn()
  }
  if (recorded.fault === undefined) return void response.end()
  setTimeout(() => response.destroy(), breakDelayMs)
}
