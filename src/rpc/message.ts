import { isObject } from '../json.ts'

/** JSON-RPC 2.0 messages, as MCP narrows them: ids are strings or integers, params are objects. */

export type Id = string | number
export type Params = Readonly<Record<string, unknown>>
export type Request = { jsonrpc: '2.0'; id: Id; method: string; params?: Params }
export type Notification = { jsonrpc: '2.0'; method: string; params?: Params }
export type ErrorObject = { code: number; message: string; data?: unknown }
/** `id` is absent when the request's own could not be read; `null` is in no MCP revision's schema. */
export type Response = { jsonrpc: '2.0'; id: Id; result: object } | { jsonrpc: '2.0'; id?: Id; error: ErrorObject }
export type Outgoing = Notification | Response | Response[]

export const parseError = -32700
export const invalidRequest = -32600
export const methodNotFound = -32601
export const invalidParams = -32602
export const internalError = -32603

const maxIdLength = 1024

/** A protocol fault: it is answered as a JSON-RPC error, never as a tool result. */
export class RpcError extends Error {
  override readonly name = 'RpcError'
  readonly code: number
  readonly data: unknown

  constructor(code: number, message: string, data?: unknown) {
    super(message)
    this.code = code
    this.data = data
  }
}

/** What a parsed line turned out to be. */
export type Incoming =
  | { kind: 'request'; request: Request }
  | { kind: 'notification'; notification: Notification }
  | { kind: 'ignored' }
  | { kind: 'invalid'; id?: Id; reason: string }

export function isId(value: unknown): value is Id {
  return typeof value === 'string' ? value.length <= maxIdLength : Number.isSafeInteger(value)
}

/**
 * Tells requests, notifications and responses apart. Only own members count and their case matters, so that
 * `Method` or an inherited name never acts (cf. CVE-2026-27896). A response is ignored: the server asks nothing.
 */
export function readMessage(value: unknown): Incoming {
  if (!isObject(value)) return { kind: 'invalid', reason: 'a message must be an object' }
  const { id, method, params } = value
  const hasId = Object.hasOwn(value, 'id')
  const reply = isId(id) ? { id } : {}
  if (method === undefined && (Object.hasOwn(value, 'result') || Object.hasOwn(value, 'error'))) {
    return { kind: 'ignored' }
  }
  if (hasId && !isId(id)) return { kind: 'invalid', reason: 'an id must be a string or an integer' }
  if (typeof method !== 'string') return { kind: 'invalid', ...reply, reason: 'a message needs a method' }
  const faulty =
    value['jsonrpc'] !== '2.0'
      ? 'jsonrpc must be "2.0"'
      : params !== undefined && !isObject(params)
        ? 'params must be an object'
        : undefined
  // A notification is never answered, not even a faulty one.
  if (!hasId) return faulty ? { kind: 'ignored' } : { kind: 'notification', notification: value as Notification }
  if (faulty) return { kind: 'invalid', ...reply, reason: faulty }
  return { kind: 'request', request: value as Request }
}

export function success(id: Id, result: object): Response {
  return { jsonrpc: '2.0', id, result }
}

export function failure(id: Id | undefined, error: unknown): Response {
  const { code, message, data } = error instanceof RpcError ? error : new RpcError(internalError, 'Internal error')
  const body = data === undefined ? { code, message } : { code, message, data }
  return id === undefined ? { jsonrpc: '2.0', error: body } : { jsonrpc: '2.0', id, error: body }
}
