import { environmentFor, replayKey } from '../../src/cli/cases.ts'
import type { Call } from './cases.ts'
import { openSession, type Session } from './session.ts'
import { startUpstream, type Upstream } from './upstream.ts'

/** A provider on loopback, and the gateways that look to it. */
export type Stage = {
  upstream: Upstream
  /** The gateway with the environment that the call asks for; started when it is first needed. */
  sessionFor(call: Call): Session
  /** Ends the gateways, and tells what was wrong with them. The next call gets a new one. */
  endGateways(): Promise<string[]>
  /** Ends everything, and tells what was wrong. */
  close(): Promise<string[]>
}

export async function openStage(): Promise<Stage> {
  const upstream = await startUpstream()
  const sessions = new Map<string, Session>()
  const endGateways = async () => {
    const ended = [...sessions.values()].map((session) => session.close())
    sessions.clear()
    return (await Promise.all(ended)).flat()
  }
  return {
    upstream,
    sessionFor(call) {
      const env = environmentFor(call, upstream.origin)
      const id = JSON.stringify(env)
      const session = sessions.get(id) ?? openSession(env, replayKey)
      sessions.set(id, session)
      return session
    },
    endGateways,
    async close() {
      const faults = await endGateways()
      await upstream.close()
      return faults
    },
  }
}
