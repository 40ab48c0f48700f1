import { createParser } from 'eventsource-parser'
import { Fault } from '../errors.ts'
import { createTextDecoding, emptyAnswer } from './body.ts'

export type ServerSentEvent = { event?: string | undefined; data: string }

const maxEventChars = 4 * 1024 * 1024
const maxStreamBytes = 64 * 1024 * 1024

/**
 * Bytes to server-sent events, those of one chunk together: the same events for every way of cutting the same bytes.
 * An event that the end of the stream cuts off is discarded, as the WHATWG standard has it, unless it is the one that ends
 * the answer: behind that, servers have been seen to leave out the blank line.
 */
export async function* readEvents(
  body: AsyncIterable<Uint8Array>,
  endsAnswer: (data: string) => boolean = () => false,
): AsyncGenerator<readonly ServerSentEvent[]> {
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
  let bytes = 0
  let endsInCarriageReturn = false

  const feed = (text: string) => {
    events = []
    if (text !== '') {
      parser.feed(text)
      endsInCarriageReturn = text.endsWith('\r')
    }
    return events
  }
  const assertSound = () => {
    if (tooLarge || bytes > maxStreamBytes) {
      throw new Fault('too_large', 'the streamed answer is larger than the gateway accepts', { cause: 'sse' })
    }
    if (decoding.fault) throw decoding.fault
  }

  for await (const chunk of body) {
    bytes += chunk.length
    const arrived = feed(decoding.decode(chunk))
    // What stood before the fault has come, however the bytes were cut.
    if (arrived.length > 0) yield arrived
    assertSound()
  }
  if (bytes === 0) throw emptyAnswer()
  const rest = feed(decoding.decode())
  assertSound()
  // The parser holds back a last carriage return, which might have been half of a line end.
  yield endsInCarriageReturn ? [...rest, ...feed('\n')] : rest
  yield feed('\n\n').filter(({ data }) => endsAnswer(data))
  assertSound()
}
