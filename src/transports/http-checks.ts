import type { IncomingMessage } from 'node:http'

/** What is looked at before a request is read: all of it stands in its head. */

/** Why a request is not served. The sentence holds nothing that the client sent. */
export type Refused = { status: number; sentence: string; headers?: Readonly<Record<string, string>> }

/** A name under which the server may be reached; without a port, at any. */
export type Authority = { name: string; port?: number }

export type Rules = {
  authorities: readonly Authority[]
  maxBodyBytes: number
  /** Who comes with the token, or without one. */
  identify(token: string | undefined): string | undefined
}

export const endpoint = '/mcp'
export const healthPath = '/health'

/** Each acts by its value: of two with the same name, a server before this one might act by the other. */
const unrepeated = new Set([
  'host',
  'origin',
  'authorization',
  'content-type',
  'content-length',
  'mcp-protocol-version',
  'mcp-session-id',
  'mcp-method',
  'mcp-name',
])

const bearer = { 'www-authenticate': 'Bearer' }

/** Who asks for what, or why it is refused. */
export function checkHead(request: IncomingMessage, rules: Rules): { caller: string } | { refused: Refused } {
  const refused = refusalByName(request, rules.authorities) ?? refusalByMethod(request)
  if (refused) return { refused }
  if (pathOf(request) === healthPath) return { caller: '' }
  const caller = rules.identify(tokenIn(request.headers.authorization))
  if (caller === undefined) {
    return { refused: { status: 401, sentence: 'a bearer token is needed', headers: bearer } }
  }
  const unreadable = request.method === 'POST' ? refusalByBody(request, rules.maxBodyBytes) : undefined
  return unreadable ? { refused: unreadable } : { caller }
}

export function pathOf({ url = '' }: IncomingMessage): string {
  return url.split('?')[0] as string
}

/** A page in a browser may reach this server under a name of its own: it is known by what it calls it, and itself. */
function refusalByName({ headers, rawHeaders }: IncomingMessage, known: readonly Authority[]): Refused | undefined {
  if (hasRepeated(rawHeaders)) return { status: 400, sentence: 'a header is there twice' }
  const host = readAuthority(headers.host)
  if (!host || !isKnown(host, known)) return { status: 403, sentence: 'the server does not go by this Host' }
  if (headers.origin === undefined) return undefined
  const origin = readOrigin(headers.origin)
  return origin && isKnown(origin, known) ? undefined : { status: 403, sentence: 'this Origin is not allowed' }
}

/** Node's own list of all values of a header, headersDistinct, throws before 22.22.2 where one is named `constructor`. */
function hasRepeated(rawHeaders: readonly string[]): boolean {
  const names = rawHeaders.filter((_, at) => at % 2 === 0).map((name) => name.toLowerCase())
  const acting = names.filter((name) => unrepeated.has(name))
  return new Set(acting).size < acting.length
}

function refusalByMethod(request: IncomingMessage): Refused | undefined {
  const path = pathOf(request)
  const allowed = path === endpoint ? ['POST', 'DELETE'] : path === healthPath ? ['GET', 'HEAD'] : undefined
  if (!allowed) return { status: 404, sentence: `there is only ${endpoint}` }
  if (allowed.includes(request.method ?? '')) return undefined
  return { status: 405, sentence: 'there is no such method here', headers: { allow: allowed.join(', ') } }
}

function refusalByBody({ headers }: IncomingMessage, maxBodyBytes: number): Refused | undefined {
  if (Number(headers['content-length'] ?? 0) > maxBodyBytes) return tooLarge(maxBodyBytes)
  if (!/^application\/json\s*(?:;\s*charset="?utf-8"?\s*)?$/i.test(headers['content-type'] ?? '')) {
    return { status: 415, sentence: 'Content-Type must be application/json' }
  }
  if (!/^(?:identity)?$/i.test(headers['content-encoding'] ?? '')) {
    return { status: 415, sentence: 'the body must not be encoded' }
  }
  if (['application/json', 'text/event-stream'].every((type) => accepts(headers.accept, type))) return undefined
  return { status: 406, sentence: 'Accept must allow application/json and text/event-stream' }
}

export function tooLarge(maxBodyBytes: number): Refused {
  return { status: 413, sentence: `a message must not exceed ${maxBodyBytes} bytes` }
}

function tokenIn(authorization: string | undefined): string | undefined {
  return /^bearer +(\S+)$/i.exec(authorization ?? '')?.[1]
}

/** Who says nothing takes everything; of ranges the closest counts. */
function accepts(header: string | undefined, type: string): boolean {
  const ranges = (header ?? '*/*').toLowerCase().split(',')
  const taken = new Map(
    ranges.map((range) => {
      const [name = '', ...parameters] = range.split(';').map((part) => part.trim())
      return [name, !parameters.some((parameter) => /^q=0(?:\.0*)?$/.test(parameter))]
    }),
  )
  const closest = [type, `${type.split('/')[0]}/*`, '*/*'].find((name) => taken.has(name))
  return closest !== undefined && taken.get(closest) === true
}

/** `name:port` or `name` alone, in lower case; undefined for what is neither. */
export function readAuthority(text: string | undefined): Authority | undefined {
  const [, name, port] = /^(\[[\da-f:.]+\]|[\w.-]+)(?::(\d{1,5}))?$/.exec((text ?? '').toLowerCase()) ?? []
  if (name === undefined) return undefined
  return port === undefined ? { name } : { name, port: Number(port) }
}

const defaultPorts: ReadonlyMap<string, number> = new Map([
  ['http', 80],
  ['https', 443],
])

function readOrigin(text: string): Authority | undefined {
  const [, scheme = '', rest] = /^([a-z]+):\/\/(.*)$/.exec(text.toLowerCase()) ?? []
  const port = defaultPorts.get(scheme)
  const authority = port === undefined ? undefined : readAuthority(rest)
  return authority && { ...authority, port: authority.port ?? (port as number) }
}

/** Without a port it is one that a scheme has: a server in front may take TLS off, and leave the Host as it was. */
function isKnown({ name, port }: Authority, known: readonly Authority[]): boolean {
  const ports = port === undefined ? [...defaultPorts.values()] : [port]
  return known.some((one) => one.name === name && (one.port === undefined || ports.includes(one.port)))
}
