import type { IncomingMessage, Server } from 'node:http'
import type { Socket } from 'node:net'

/** The end of one body and the beginning of the next head may each fall into intervals of their own. */
const maxStrayIntervals = 4

/**
 * Ends connections on which bytes come again and again that belong to no request: empty lines, which begin none for Node and
 * yet count as signs of life, so that neither a limit for a head nor one for silence would ever be over. Returns what ends
 * the watch.
 */
export function endStrays(server: Server, intervalMs: number): () => void {
  type Watched = { bytesRead: number; newest: IncomingMessage | undefined; isNew: boolean; strayIntervals: number }
  const connections = new Map<Socket, Watched>()
  server.on('connection', (socket) => {
    connections.set(socket, { bytesRead: 0, newest: undefined, isNew: false, strayIntervals: 0 })
    socket.once('close', () => connections.delete(socket))
  })
  const note = (request: IncomingMessage) => {
    const watched = connections.get(request.socket)
    if (watched) Object.assign(watched, { newest: request, isNew: true })
  }
  server.on('request', note).on('checkContinue', note)

  const timer = setInterval(() => {
    for (const [socket, watched] of connections) {
      const { newest, isNew, bytesRead } = watched
      watched.isNew = false
      watched.bytesRead = socket.bytesRead
      if (isNew) watched.strayIntervals = 0
      else if (newest?.complete !== false && socket.bytesRead > bytesRead) watched.strayIntervals += 1
      if (watched.strayIntervals === maxStrayIntervals) socket.destroy()
    }
  }, intervalMs).unref()
  return () => clearInterval(timer)
}
