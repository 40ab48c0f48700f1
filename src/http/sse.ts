import { createParser } from 'eventsource-parser'
import { Fault } from '../errors.ts'
import { leftFor, over, stepping } from '../iteration.ts'
import { createTextDecoding, emptyAnswer } from './body.ts'

export type ServerSentEvent = { event?: string | undefined; data: string }

const maxEventChars = 4 * 1024 * 1024
const maxStreamBytes = 64 * 1024 * 1024

/**
 * Bytes to server-sent events, those of one chunk together: the same events for every way of cutting the same bytes.
 * An event that the end of the stream cuts off is discarded, as the WHATWG standard has it, unless it is the one that ends
 * the answer: behind that, servers have been seen to leave out the blank line.
 */
export function readEvents(
  body: AsyncIterable<Uint8Array>,
  endsAnswer: (data: string) => boolean = () => false,
): AsyncIterableIterator<readonly ServerSentEvent[]> {
  let events: ServerSentEvent[] = []
  let tooLarge = false
  const parser = createParser({
    maxBufferSize: maxEventChars,
    onEvent: ({ event, data }) => {
      tooLarge ||= data.length > maxEventChars
      if (!tooLarge) events.push({ event, data })
    },
    onError: ({ type }) => {
      tooLarge ||= type === 'max-buffer-size-exceeded'
    },
  })
  const decoding = createTextDecoding()
  const chunks = body[Symbol.asyncIterator]()
  let bytes = 0
  let endsInCarriageReturn = false
  let isLeft = false
  let tail: Iterator<readonly ServerSentEvent[], undefined> | undefined

  const feed = (text: string) => {
    events = []
    if (text !== '') {
      parser.feed(text)
      endsInCarriageReturn = text.endsWith('\r')
    }
    return events
  }
  const faultSoFar = () =>
    tooLarge || bytes > maxStreamBytes
      ? new Fault('too_large', 'the streamed answer is larger than the gateway accepts', { cause: 'sse' })
      : decoding.fault
  const assertSound = () => {
    const fault = faultSoFar()
    if (fault) throw fault
  }
  function* last(): Generator<readonly ServerSentEvent[], undefined> {
    if (bytes === 0) throw emptyAnswer()
    const rest = feed(decoding.decode())
    assertSound()
    // The parser holds back a last carriage return, which might have been half of a line end.
    yield endsInCarriageReturn ? [...rest, ...feed('\n')] : rest
    yield feed('\n\n').filter(({ data }) => endsAnswer(data))
    assertSound()
    return undefined
  }
  /** The events of a chunk, of which there may be none, and then those of the end. */
  const read = (next: IteratorResult<Uint8Array>): IteratorResult<readonly ServerSentEvent[]> => {
    if (next.done) {
      tail ??= last()
      return tail.next()
    }
    bytes += next.value.length
    return { done: false, value: feed(decoding.decode(next.value)) }
  }
  const told = (next: IteratorResult<Uint8Array>) => {
    const events = read(next)
    return events.done || events.value.length > 0 ? events : further()
  }
  const further = async () => {
    for (;;) {
      const events = await advance(read)
      if (events.done || events.value.length > 0) return events
    }
  }
  const advance = <Told>(tell: (next: IteratorResult<Uint8Array>) => Told | Promise<Told>): Promise<Told> => {
    if (tail) return Promise.resolve(over).then(tell)
    // What stood before a fault has come, however the bytes were cut.
    const fault = faultSoFar()
    if (!fault) return chunks.next().then(tell)
    isLeft = true
    return leftFor(fault, chunks)
  }
  return stepping(
    (): Promise<IteratorResult<readonly ServerSentEvent[]>> => (isLeft ? Promise.resolve(over) : advance(told)),
    () => {
      isLeft = true
      return chunks.return?.()
    },
  )
}
