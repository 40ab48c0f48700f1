import type { Exchange } from '../rpc/dispatcher.ts'
import type { Params, Request } from '../rpc/message.ts'

/** Answers one method. Throw RpcError for a protocol fault. */
export type Method = (params: Params, exchange: Exchange) => object | Promise<object>

/** A generation of the protocol. A method that its table lacks does not exist in it. */
export type Era = {
  /** Whether the request speaks this era's language. */
  claims(request: Request): boolean
  /** Answers the request, sealed with what the era puts on every result. */
  serve(request: Request, exchange: Exchange): object | Promise<object>
}

/** Who we are, as MCP's Implementation. */
export type ServerInfo = { name: string; title: string; version: string }

/** Applies a step to a result that may still be on its way. */
export function after<A, B>(result: A | Promise<A>, step: (value: A) => B): B | Promise<B> {
  return result instanceof Promise ? result.then(step) : step(result)
}
