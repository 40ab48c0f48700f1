import type { Handlers } from '../rpc/dispatcher.ts'
import {
  failure,
  type Incoming,
  internalError,
  invalidRequest,
  methodNotFound,
  type Outgoing,
  parseError,
  RpcError,
  readMessage,
} from '../rpc/message.ts'
import type { Admission, Headers, Protocol } from '../transports/http.ts'
import { after } from './era.ts'
import { revisions } from './handshake.ts'
import { checkHeaders, checkVersion, versionHeader } from './request-headers.ts'
import { createSessions, type Session, type SessionLimits } from './sessions.ts'
import { admit, claimsStateless, statelessVersions, versionIn } from './stateless.ts'

const sessionHeader = 'mcp-session-id'

/** Each session is small; they are limited because a client may open them without end. */
export const defaultSessionLimits: SessionLimits = { maxSessions: 1000, maxIdleMs: 60 * 60 * 1000 }

/**
 * Which peer a message that came over HTTP is for. A request of 2026-07-28 gets one of its own: nothing that another one
 * said can reach it. In the handshake era `initialize` opens a session, which later requests name.
 */
export function createStreamableHttp(createPeer: () => Handlers, limits: SessionLimits, now: () => number): Protocol {
  const sessions = createSessions(limits, now)

  const admitStateless = (incoming: Incoming, headers: Headers): Admission => {
    if (incoming.kind === 'request') {
      checkVersion(incoming.request, headers)
      admit(incoming.request)
      checkHeaders(incoming.request, headers)
    }
    return { handlers: createPeer(), inFlight: new Map(), headers: () => ({}), statusOf: statelessStatusOf }
  }

  const opening = (caller: string): Admission => {
    const session: Session = { peer: createPeer(), caller, inFlight: new Map() }
    let id: string | undefined
    const keep = (result: object) => {
      id = sessions.open(session)
      if (id === undefined) throw new RpcError(internalError, 'Too many sessions are at work: try again later')
      return result
    }
    return {
      ...admitted(session),
      handlers: { ...session.peer, serve: (...request) => after(session.peer.serve(...request), keep) },
      headers: () => (id === undefined ? {} : { [sessionHeader]: id }),
    }
  }

  const admitToSession = (incoming: Incoming, headers: Headers, caller: string): Admission => {
    const id = headers(sessionHeader)
    const opens = incoming.kind === 'request' && incoming.request.method === 'initialize'
    if (id === undefined && opens) return opening(caller)
    if (!isSpoken(headers(versionHeader))) throw new RpcError(invalidRequest, `Invalid request: ${unspoken}`)
    if (id === undefined) {
      const what = `send initialize first and ${sessionHeader} from then on, or name the protocol version in _meta`
      throw new RpcError(invalidRequest, `Invalid request: ${what} (${statelessVersions.join(', ')})`)
    }
    const session = sessions.find(id, caller)
    if (session) return admitted(session)
    const gone = new RpcError(invalidRequest, 'Invalid request: there is no such session; send initialize')
    return { status: 404, refusal: failure(idOf(incoming), gone) }
  }

  return {
    admit(message, headers, caller) {
      const incoming = readMessage(message)
      try {
        if (incoming.kind === 'invalid' && !Array.isArray(message)) {
          throw new RpcError(invalidRequest, `Invalid request: ${incoming.reason}`)
        }
        return isStateless(incoming, headers)
          ? admitStateless(incoming, headers)
          : admitToSession(incoming, headers, caller)
      } catch (error) {
        return { status: 400, refusal: failure(idOf(incoming), error) }
      }
    },
    end(headers, caller) {
      const id = headers(sessionHeader)
      // Where there are no sessions, there is no such method.
      if (id === undefined || isStatelessVersion(headers(versionHeader))) {
        return { status: 405, sentence: 'there is no session to delete', headers: { allow: 'POST' } }
      }
      if (!isSpoken(headers(versionHeader))) return { status: 400, sentence: unspoken }
      const session = sessions.find(id, caller)
      if (!session) return { status: 404, sentence: 'there is no such session' }
      sessions.close(id)
      for (const request of session.inFlight.values()) request.silence()
      return undefined
    },
  }
}

function admitted({ peer, inFlight }: Session): Extract<Admission, { handlers: Handlers }> {
  return { handlers: peer, inFlight, headers: () => ({}), statusOf }
}

const unspoken = `${versionHeader} names a version that is not supported`

/** Whether a request may come in a session with this header; who leaves it out speaks what was agreed. */
function isSpoken(version: string | undefined): boolean {
  return version === undefined || Object.hasOwn(revisions, version)
}

function isStatelessVersion(version: unknown): boolean {
  return typeof version === 'string' && statelessVersions.includes(version)
}

function isStateless(incoming: Incoming, headers: Headers): boolean {
  if (isStatelessVersion(headers(versionHeader))) return true
  if (incoming.kind === 'request') return claimsStateless(incoming.request)
  return incoming.kind === 'notification' && isStatelessVersion(versionIn(incoming.notification.params))
}

function idOf(incoming: Incoming) {
  if (incoming.kind === 'request') return incoming.request.id
  return incoming.kind === 'invalid' ? incoming.id : undefined
}

/** What is no request is the fault of HTTP too; what a request comes to is none, except below. */
function statusOf(answer: Outgoing): number {
  const code = codeOf(answer)
  return code === invalidRequest || code === parseError ? 400 : 200
}

/** In the handshake era 404 says that the session is gone; without sessions it says that the method is not there. */
function statelessStatusOf(answer: Outgoing): number {
  return codeOf(answer) === methodNotFound ? 404 : statusOf(answer)
}

function codeOf(answer: Outgoing): number | undefined {
  return 'error' in answer ? answer.error.code : undefined
}
