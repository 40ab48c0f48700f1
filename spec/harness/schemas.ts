import { existsSync, readFileSync } from 'node:fs'
import { Ajv, type ValidateFunction } from 'ajv'
import { Ajv2020 } from 'ajv/dist/2020.js'
import type { Json, Message } from './gateway.ts'

/** The published JSON Schemas of MCP, where they are at hand: they stand beside the repository, not in it. */

const folder = new URL('../../../shared/schemas/', import.meta.url)

export const schemasAreThere = existsSync(folder)

/** What a response to each method holds. */
const resultTypes: Readonly<Record<string, string>> = {
  initialize: 'InitializeResult',
  ping: 'EmptyResult',
  'server/discover': 'DiscoverResult',
  'tools/list': 'ListToolsResult',
  'tools/call': 'CallToolResult',
  'subscriptions/listen': 'SubscriptionsListenResult',
}
const notificationTypes: Readonly<Record<string, string>> = {
  'notifications/progress': 'ProgressNotification',
  'notifications/subscriptions/acknowledged': 'SubscriptionsAcknowledgedNotification',
}
/** Errors that 2026-07-28 has a type for. */
const errorTypes: Readonly<Record<number, string>> = {
  [-32700]: 'ParseError',
  [-32600]: 'InvalidRequestError',
  [-32601]: 'MethodNotFoundError',
  [-32602]: 'InvalidParamsError',
  [-32603]: 'InternalError',
}

type Loaded = { ajv: Pick<Ajv, 'getSchema'>; section: string }

const options = { strict: false, validateFormats: false, allErrors: true }
const revisions = new Map<string, Loaded>()

function validator(revision: string, type: string): ValidateFunction {
  const known = revisions.get(revision) ?? load(revision)
  revisions.set(revision, known)
  const validate = known.ajv.getSchema(`mcp#/${known.section}/${type}`)
  if (!validate) throw new Error(`the schema of ${revision} has no ${type}`)
  return validate
}

function load(revision: string): Loaded {
  const schema = JSON.parse(readFileSync(new URL(`mcp-${revision}.json`, folder), 'utf8')) as Json
  const ajv = String(schema['$schema']).includes('2020-12') ? new Ajv2020(options) : new Ajv(options)
  ajv.addSchema(schema, 'mcp')
  return { ajv, section: Object.hasOwn(schema, '$defs') ? '$defs' : 'definitions' }
}

/** What a value has that a tool's own schema (2020-12) does not allow. */
export function misfits(schema: Json, value: unknown): string[] {
  const validate = new Ajv2020(options).compile(schema)
  return validate(value) ? [] : (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`)
}

/** What a message of the server has that its revision does not allow; `method` is that of the request it answers. */
export function violations(message: Message, revision: string, method: string | undefined): string[] {
  const check = (type: string, value: unknown) => {
    const validate = validator(revision, type)
    if (validate(value)) return []
    return (validate.errors ?? []).map(({ instancePath, message }) => `${type} ${instancePath}: ${message}`)
  }
  if (message.method !== undefined && message.id !== undefined) return [`the server asks for ${message.method}`]
  if (message.method !== undefined) {
    const type = notificationTypes[message.method]
    return type ? check(type, message) : [`${message.method} is a notification that nobody knows`]
  }
  if (message.error) {
    const named = revision === '2026-07-28' ? errorTypes[message.error.code] : undefined
    const response = revision >= '2025-11-25' ? 'JSONRPCErrorResponse' : 'JSONRPCError'
    return [
      ...check(response, message),
      ...(named ? check(named, message.error) : []),
      ...(message.error.code === -32022 ? check('UnsupportedProtocolVersionError', message) : []),
    ]
  }
  const type = resultTypes[method ?? '']
  if (!type) return [`a result for ${method}`]
  const response = revision >= '2025-11-25' ? 'JSONRPCResultResponse' : 'JSONRPCResponse'
  return [...check(response, message), ...check(type, message.result)]
}
