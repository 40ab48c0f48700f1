import { isObject } from '../json.ts'
import { invalidParams, methodNotFound, type Params, type Request, RpcError } from '../rpc/message.ts'
import { after, type Era, type Method, type ServerInfo } from './era.ts'
import type { Methods } from './methods.ts'

export const statelessVersions: readonly string[] = ['2026-07-28']

/** The specification's own code for a version that the server does not speak (2026-07-28, basic/versioning). */
export const unsupportedProtocolVersion = -32022

const prefix = 'io.modelcontextprotocol/'
const versionKey = `${prefix}protocolVersion`
const capabilitiesKey = `${prefix}clientCapabilities`
const requestKeys = [versionKey, capabilitiesKey, `${prefix}clientInfo`]

/** The tool list is part of the program: the same for everybody, until the program is replaced. */
const cacheable = { ttlMs: 3_600_000, cacheScope: 'public' } as const

/** Revision 2026-07-28: no session; each request says in `_meta` which version and capabilities it comes with. */
export function createStateless(info: ServerInfo, instructions: string, { listTools, callTool }: Methods): Era {
  const methods: Readonly<Record<string, Method>> = {
    'server/discover': () => ({
      supportedVersions: statelessVersions,
      capabilities: { tools: {} },
      instructions,
      ...cacheable,
    }),
    'tools/list': (params) => ({ ...listTools(params), ...cacheable }),
    'tools/call': callTool,
    'subscriptions/listen': listen,
  }

  return {
    claims: claimsStateless,
    serve(request, exchange) {
      admit(request)
      const method = Object.hasOwn(methods, request.method) ? methods[request.method] : undefined
      if (!method) throw new RpcError(methodNotFound, 'Method not found')
      return after(method(request.params ?? {}, exchange), (result) => {
        const { _meta, ...rest } = result as { _meta?: object }
        return { resultType: 'complete', ...rest, _meta: { ..._meta, [`${prefix}serverInfo`]: info } }
      })
    },
  }

  /** Nothing here can change, so the accepted subset of what was asked for is empty; the stream stays open all the same. */
  async function listen(...[, exchange]: Parameters<Method>): Promise<object> {
    const subscription = { _meta: { [`${prefix}subscriptionId`]: exchange.id } }
    exchange.notify('notifications/subscriptions/acknowledged', { ...subscription, notifications: {} })
    const { signal, draining } = exchange
    await new Promise<void>((resolve) => {
      if (signal.aborted || draining.aborted) return resolve()
      signal.addEventListener('abort', () => resolve(), { once: true })
      // The end of all outlives each: its listener goes with the request.
      draining.addEventListener('abort', () => resolve(), { once: true, signal })
    })
    return subscription
  }
}

export function claimsStateless({ method, params }: Request): boolean {
  return method === 'server/discover' || requestKeys.some((key) => Object.hasOwn(metaOf(params), key))
}

/** The version that the request itself names. */
export function versionIn(params: Params | undefined): unknown {
  return metaOf(params)[versionKey]
}

function metaOf(params: Params | undefined): Params {
  return isObject(params?.['_meta']) ? params['_meta'] : {}
}

/** Throws RpcError unless the request says all that each of this revision has to. */
export function admit({ params }: Request): void {
  const meta = metaOf(params)
  const requested = meta[versionKey]
  if (requested === undefined || typeof requested !== 'string') {
    throw new RpcError(invalidParams, `Invalid params: _meta needs "${versionKey}"`, { supported: statelessVersions })
  }
  if (!statelessVersions.includes(requested)) {
    throw new RpcError(unsupportedProtocolVersion, 'Unsupported protocol version', {
      supported: statelessVersions,
      requested,
    })
  }
  if (!isObject(meta[capabilitiesKey])) {
    throw new RpcError(invalidParams, `Invalid params: _meta needs "${capabilitiesKey}", an object`)
  }
}
