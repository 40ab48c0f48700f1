import type { Event, Events } from '../../src/gateway.ts'

/** Streams of events, for tests that look at each by itself. */

export async function* eventsIn(stream: AsyncIterable<Events>): AsyncGenerator<Event> {
  for await (const events of stream) yield* events
}

/** What answers with one event at a time, as one whose events come together. */
export function oneByOne<Given extends unknown[]>(
  answer: (...given: Given) => AsyncIterable<Event>,
): (...given: Given) => AsyncGenerator<Events> {
  return async function* (...given) {
    for await (const event of answer(...given)) yield [event]
  }
}

/** Deltas of one kind that stand together, as one: what stays the same however an answer is cut. */
export function joined(events: readonly Event[]): Event[] {
  const all: Event[] = []
  for (const event of events) {
    const last = all.at(-1)
    const isDelta = event.type === 'text-delta' || event.type === 'reasoning-delta'
    if (isDelta && last?.type === event.type) all[all.length - 1] = { ...last, text: last.text + event.text }
    else all.push(event)
  }
  return all
}
