import type { Handlers } from '../rpc/dispatcher.ts'
import type { ServerInfo } from './era.ts'
import { createHandshake } from './handshake.ts'
import { createMethods, type Toolbox } from './methods.ts'
import { createStateless } from './stateless.ts'

/**
 * An MCP server for both eras. The era is chosen message by message and never pinned: clients have been seen to
 * discover first and initialize afterwards, and to begin with a bare tools/list of the stateless era.
 */
export function createServer(info: ServerInfo, instructions: string, toolbox: Toolbox): Handlers {
  const methods = createMethods(toolbox)
  const handshake = createHandshake(info, instructions, methods)
  const eras = [createStateless(info, instructions, methods), handshake]
  return {
    serve(request, exchange) {
      const era = eras.find((candidate) => candidate.claims(request)) ?? handshake
      return era.serve(request, exchange)
    },
    notice(notification, cancel) {
      if (notification.method === 'notifications/cancelled') cancel(notification.params?.['requestId'])
    },
    acceptsBatches: handshake.acceptsBatches,
  }
}
