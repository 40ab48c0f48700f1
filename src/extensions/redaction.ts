import type { Middleware } from '../handle.ts'
import type { Secrets, StreamRedaction } from '../secrets.ts'

/**
 * Takes keys out of what a model says before it is passed on in pieces: the sinks see one message at a time, and a key may
 * be spread over several. What could be the beginning of a key waits for what follows it.
 */
export function withRedaction(secrets: Secrets): Middleware {
  return (next) =>
    async function* redacted(ask, call) {
      const words = secrets.redactStream()
      const thoughts = secrets.redactStream()
      const rest = function* () {
        const text = words.end()
        if (text !== '') yield { type: 'text-delta' as const, text }
        const thought = thoughts.end()
        if (thought !== '') yield { type: 'reasoning-delta' as const, text: thought }
        if (words.found || thoughts.found)
          yield { type: 'warning' as const, message: 'a key was taken out of the answer' }
      }
      try {
        for await (const event of next(ask, call)) {
          if (event.type === 'text-delta' || event.type === 'reasoning-delta') {
            const stream: StreamRedaction = event.type === 'text-delta' ? words : thoughts
            const text = stream.push(event.text)
            if (text === event.text) yield event
            else if (text !== '') yield { ...event, text }
          } else {
            if (event.type === 'finish') yield* rest()
            yield event
          }
        }
      } catch (error) {
        // The text so far belongs to the fault's result.
        yield* rest()
        throw error
      }
    }
}
