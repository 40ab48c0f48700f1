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
