import { Fault } from '../errors.ts'
import type { Middleware } from '../handle.ts'
import type { Logger } from '../log.ts'

/** A line at debug for every call: who answered, how it ended, how long it took. Never a word of what was said. */
export function withCallLog(log: Logger, now: () => number): Middleware {
  if (!log.isLevelEnabled('debug')) return (next) => next
  return (next) =>
    async function* logged(ask, call) {
      const startedMs = now()
      const facts: Record<string, unknown> = { kind: ask.kind }
      try {
        for await (const events of next(ask, call)) {
          for (const event of events) {
            if (event.type === 'served') Object.assign(facts, event)
            else if (event.type === 'finish') facts['finish'] = event.reason
          }
          yield events
        }
      } catch (error) {
        facts['fault'] =
          error instanceof Fault ? { code: error.code, ...error.detail, partialText: undefined } : 'internal'
        throw error
      } finally {
        log.debug({ ...facts, type: undefined, totalMs: Math.round(now() - startedMs) }, 'call')
      }
    }
}
