import type { Event, Events } from '../gateway.ts'
import { longTextLength } from '../text.ts'
import { createTextGathering, type TextGathering } from './text-gathering.ts'

/** Events that wait until it is certain that they will not be taken back. */
export type Holding = {
  add(event: Event): void
  isLong(): boolean
  /** In order, behind the one that is given; of long text not much at once. To be taken once. */
  release(first: Event): Iterable<Events>
  requestId(): string | undefined
  /** The words of the answer so far. */
  text(): string
}

/** How much long text is handed on at once, in UTF-16 code units. */
const batchLength = 64 * 1024

type Delta = Extract<Event, { type: 'text-delta' | 'reasoning-delta' }>
type LongDelta = { type: Delta['type']; gathering: TextGathering }

/** Holds what an answer has brought; of a long one, the text stands outside V8's heap. */
export function createHolding(events: Event[]): Holding {
  const held: (Event | LongDelta)[] = events
  let length = 0

  const addLong = ({ type, text }: Delta) => {
    let last = held.at(-1)
    if (!last || !isLong(last) || last.type !== type) {
      last = { type, gathering: createTextGathering() }
      held.push(last)
    }
    last.gathering.append(text)
  }

  return {
    isLong: () => length >= longTextLength,
    add(event) {
      const isDelta = event.type === 'text-delta' || event.type === 'reasoning-delta'
      if (isDelta) length += event.text.length
      if (isDelta && length >= longTextLength) addLong(event)
      else held.push(event)
    },
    release: (first) => released([first, ...held]),
    requestId: () => held.find((entry) => entry.type === 'response')?.requestId,
    text: () =>
      held
        .map((entry) => {
          if (entry.type !== 'text-delta') return ''
          return isLong(entry) ? entry.gathering.text().toString() : entry.text
        })
        .join(''),
  }
}

function* released(entries: readonly (Event | LongDelta)[]): Generator<Events> {
  let together: Event[] = []
  let length = 0
  for (const entry of entries) {
    if (!isLong(entry)) {
      together.push(entry)
      continue
    }
    for (const text of entry.gathering.drain()) {
      together.push({ type: entry.type, text })
      length += text.length
      if (length < batchLength) continue
      yield together
      together = []
      length = 0
    }
  }
  if (together.length > 0) yield together
}

function isLong(entry: Event | LongDelta): entry is LongDelta {
  return 'gathering' in entry
}
