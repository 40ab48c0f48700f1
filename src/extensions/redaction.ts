import type { Event, Events } from '../gateway.ts'
import type { Middleware } from '../handle.ts'
import { mapped } from '../iteration.ts'
import { isExactInteger, nestsDeeperThan } from '../json.ts'
import type { Secrets, StreamRedaction } from '../secrets.ts'

const maxDepth = 128

/**
 * Takes keys out of what a model says before it is passed on in pieces: the sinks see one message at a time, and a key may
 * be spread over several. What could be the beginning of a key waits for what follows it.
 */
export function withRedaction(secrets: Secrets): Middleware {
  return (next) => (ask, call) => {
    const words = secrets.redactStream()
    const thoughts = secrets.redactStream()
    const measured: Event[] = []
    let told = false
    const rest = (): Event[] => {
      const events: Event[] = []
      const text = words.end()
      if (text !== '') events.push({ type: 'text-delta', text })
      const thought = thoughts.end()
      if (thought !== '') events.push({ type: 'reasoning-delta', text: thought })
      // Tokens are too short to be told from a key, one by one. They may be too many to be arguments of one call.
      if (!words.found()) for (const event of measured.splice(0)) events.push(event)
      if (!told && (words.found() || thoughts.found())) {
        told = true
        events.push({ type: 'warning', message: 'a key was taken out of the answer' })
      }
      return events
    }
    const pass = (events: Events): Events | undefined => {
      const passed: Event[] = []
      for (const event of events) {
        if (event.type === 'text-delta' || event.type === 'reasoning-delta') {
          const stream: StreamRedaction = event.type === 'text-delta' ? words : thoughts
          const text = stream.push(event.text)
          if (text !== '') passed.push(text === event.text ? event : { ...event, text })
        } else if (event.type === 'logprobs') measured.push(event)
        else {
          if (event.type === 'finish') for (const last of rest()) passed.push(last)
          passed.push(cleaned(event, secrets))
        }
      }
      return nonEmpty(passed)
    }
    // Not every answer ends with a finish, and the text so far belongs to a fault's result.
    return mapped(next(ask, call)[Symbol.asyncIterator](), pass, () => nonEmpty(rest()))
  }
}

/** A stream does not wake its reader for nothing. */
function nonEmpty(events: Events): Events | undefined {
  return events.length > 0 ? events : undefined
}

/** Values may hold a key in the names of their members too, which no sink can tell from the protocol's own. */
function cleaned(event: Event, { redact }: Secrets): Event {
  switch (event.type) {
    case 'tool-call':
      return { ...event, name: redact(event.name), argumentsText: cleanedJson(event.argumentsText, redact) }
    case 'result':
    case 'object':
      return { ...event, value: cleanedObject(event.value, redact) }
    case 'reasoning-block':
      return { ...event, block: cleanedObject(event.block, redact) }
    default:
      return event
  }
}

type Json = Record<string, unknown>

/** What nests without end is left to the one who refuses it. */
function cleanedObject(value: Json, redact: Secrets['redact']): Json {
  return nestsDeeperThan(value, maxDepth) ? value : (cleanedValue(value, redact) as Json)
}

/** Read first, because a key can hide behind escapes. */
function cleanedJson(text: string, redact: Secrets['redact']): string {
  try {
    const value: unknown = JSON.parse(text)
    if (nestsDeeperThan(value, maxDepth)) return redact(text)
    const clean = JSON.stringify(cleanedValue(value, redact))
    return clean === JSON.stringify(value) ? text : clean
  } catch {
    return redact(text)
  }
}

function cleanedValue(value: unknown, redact: Secrets['redact']): unknown {
  if (typeof value === 'string') return redact(value)
  if (Array.isArray(value)) return value.map((item) => cleanedValue(item, redact))
  if (typeof value !== 'object' || value === null || isExactInteger(value)) return value
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [redact(name), cleanedValue(item, redact)]))
}
