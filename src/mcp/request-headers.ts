import { type Params, type Request, RpcError } from '../rpc/message.ts'
import type { Headers } from '../transports/http.ts'
import { versionIn } from './stateless.ts'

/** What a request of 2026-07-28 repeats in its headers, so that what stands between can route it without reading it. */

/** The specification's own code for a header that is missing or says something else than the body. */
export const headerMismatch = -32020

export const versionHeader = 'mcp-protocol-version'
const methodHeader = 'mcp-method'
const nameHeader = 'mcp-name'

/** Where the name stands in the body, of the methods that have one. */
const nameMembers: Readonly<Record<string, string>> = {
  'tools/call': 'name',
  'prompts/get': 'name',
  'resources/read': 'uri',
}

/** Throws RpcError where the headers do not say what the body says. What the client sent is not repeated. */
export function checkHeaders({ method, params }: Request, headers: Headers): void {
  check(headers, versionHeader, headers(versionHeader), versionIn(params))
  check(headers, methodHeader, headers(methodHeader), method)
  const name = nameIn(method, params)
  if (typeof name === 'string') check(headers, nameHeader, decoded(headers(nameHeader)), name)
}

/** Throws where a version stands in the header and another in the body. */
export function checkVersion({ params }: Request, headers: Headers): void {
  const named = versionIn(params)
  if (headers(versionHeader) !== undefined && typeof named === 'string')
    check(headers, versionHeader, headers(versionHeader), named)
}

function check(headers: Headers, header: string, stated: string | undefined, meant: unknown): void {
  if (stated === meant) return
  const fault = headers(header) === undefined ? 'is missing' : 'is not what the body says'
  throw new RpcError(headerMismatch, `Header mismatch: ${header} ${fault}`)
}

function nameIn(method: string, params: Params | undefined): unknown {
  return Object.hasOwn(nameMembers, method) ? params?.[nameMembers[method] as string] : undefined
}

const base64 = /^(?:[A-Za-z\d+/]{4})*(?:[A-Za-z\d+/]{2}==|[A-Za-z\d+/]{3}=)?$/

/** What does not fit into a header as it is comes in base64, marked as such; undefined where that is no UTF-8 text. */
function decoded(value: string | undefined): string | undefined {
  const packed = value === undefined ? undefined : /^=\?base64\?(.*)\?=$/.exec(value)?.[1]
  if (packed === undefined) return value
  if (!base64.test(packed)) return undefined
  const bytes = Buffer.from(packed, 'base64')
  const text = bytes.toString('utf8')
  return Buffer.from(text).equals(bytes) ? text : undefined
}
