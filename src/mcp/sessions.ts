import type { Handlers, InFlight } from '../rpc/dispatcher.ts'

/** A conversation of the handshake era over many HTTP requests. */
export type Session = {
  peer: Handlers
  /** Whose it is: nobody else can use it. */
  caller: string
  /** Its requests in flight, whichever HTTP request brought them. */
  inFlight: InFlight
}

export type Sessions = {
  /** Keeps a session and returns its id; undefined where there is no room, because all the others are at work. */
  open(session: Session): string | undefined
  find(id: string, caller: string): Session | undefined
  close(id: string): void
}

export type SessionLimits = { maxSessions: number; maxIdleMs: number }

/** Sessions by ids that cannot be guessed. Where there are too many, the one that has been idle for the longest goes. */
export function createSessions({ maxSessions, maxIdleMs }: SessionLimits, now: () => number): Sessions {
  /** In the order of their last use. */
  const kept = new Map<string, { session: Session; usedMs: number }>()

  const isIdle = ({ session }: { session: Session }) => session.inFlight.size === 0
  const dropStale = () => {
    for (const [id, entry] of kept) {
      if (now() - entry.usedMs < maxIdleMs) return
      if (isIdle(entry)) kept.delete(id)
    }
  }
  const oldestIdle = () => {
    for (const [id, entry] of kept) if (isIdle(entry)) return id
    return undefined
  }
  const keep = (id: string, session: Session) => {
    kept.delete(id)
    kept.set(id, { session, usedMs: now() })
  }

  return {
    open(session) {
      dropStale()
      if (kept.size >= maxSessions) {
        const oldest = oldestIdle()
        if (oldest === undefined) return undefined
        kept.delete(oldest)
      }
      const id = crypto.randomUUID()
      keep(id, session)
      return id
    },
    find(id, caller) {
      dropStale()
      const session = kept.get(id)?.session
      if (session?.caller !== caller) return undefined
      keep(id, session)
      return session
    },
    close: (id) => void kept.delete(id),
  }
}
