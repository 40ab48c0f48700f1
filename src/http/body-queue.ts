import { systemClock } from '../clock.ts'
import { spareMemory } from '../engine.ts'
import { stepping } from '../iteration.ts'

/** Bytes of a body that may wait for their reader before the socket is paused. */
const highWaterBytes = 256 * 1024
/**
 * Every waking of a reader costs more than what it reads of a token. The first chunks are handed on as they come; later ones
 * together, when the reader has had this much rest or this many bytes have gathered.
 */
const promptChunks = 16
const restMs = 10
const readBytes = 64 * 1024
/**
 * What is taken at once of a body that comes without a pause. All that is made of it is then small and short-lived: a text
 * of more than 128 KiB is, to V8, a large object, which it frees when it next cleans the whole heap.
 */
const takenBytes = 16 * 1024
/** How long, and for how many bytes, a body nobody reads any more may come to its end, so that its socket can be reused. */
const lingerMs = 100
const lingerBytes = 64 * 1024

/** The bytes of an answer: put in by the socket, taken out by one reader. */
export type Body = {
  readonly bytes: AsyncIterableIterator<Uint8Array>
  push(chunk: Uint8Array): void
  end(): void
  fail(fault: unknown): void
}

/** What the bytes come through. */
type Connection = {
  readonly paused: boolean
  pause(): void
  resume(): void
  abort(reason: Error): void
}

/** A queue between the socket and its one reader, which pauses the socket while the reader is behind. */
export function createBody(connection: Connection): Body {
  let queue: Uint8Array[] = []
  let queuedBytes = 0
  let chunks = 0
  let lastReadMs = Number.NEGATIVE_INFINITY
  let ended = false
  let failure: { fault: unknown } | undefined
  let ready = false
  let rest: NodeJS.Timeout | undefined
  let waking: NodeJS.Immediate | undefined
  let wake: (() => void) | undefined
  let lingering = false

  const arrived = () => {
    clearTimeout(rest)
    rest = undefined
    clearImmediate(waking)
    waking = undefined
    ready = true
    wake?.()
    wake = undefined
  }
  const take = (): IteratorResult<Uint8Array> => {
    if (queue.length > 0) {
      const value = takeBytes(queue, takenBytes)
      queuedBytes -= value.length
      ready = queue.length > 0 || ended || failure !== undefined
      lastReadMs = systemClock.now()
      if (connection.paused && queuedBytes < readBytes) connection.resume()
      return { done: false, value }
    }
    if (failure) throw failure.fault
    return { done: true, value: undefined }
  }
  const next = () => {
    if (ready) return new Promise<IteratorResult<Uint8Array>>((resolve) => resolve(take()))
    return new Promise<void>((resolve) => (wake = resolve)).then(take)
  }
  const leave = () => {
    clearTimeout(rest)
    queue = []
    if (ended || failure || lingering) return
    lingering = true
    queuedBytes = 0
    if (connection.paused) connection.resume()
    setTimeout(() => ended || connection.abort(new Error('unread')), lingerMs).unref()
  }
  return {
    bytes: stepping(next, leave),
    push(chunk) {
      queuedBytes += chunk.length
      if (lingering) {
        if (queuedBytes > lingerBytes) connection.abort(new Error('unread'))
        return
      }
      queue.push(chunk)
      chunks += 1
      if (queuedBytes > highWaterBytes) connection.pause()
      if (ready) return
      if (queuedBytes >= readBytes) {
        spareMemory()
        // In a turn of its own: what comes without a pause would keep everything else from its turn.
        waking ??= setImmediate(arrived)
        return
      }
      const waitMs = chunks <= promptChunks ? 0 : lastReadMs + restMs - systemClock.now()
      if (waitMs <= 0) arrived()
      else rest ??= setTimeout(arrived, waitMs)
    },
    end() {
      ended = true
      arrived()
    },
    fail(fault) {
      failure = { fault }
      arrived()
    },
  }
}

/** Takes the beginning of what is queued, as one. */
function takeBytes(queue: Uint8Array[], maxBytes: number): Uint8Array {
  let count = 0
  for (let bytes = 0; count < queue.length && bytes < maxBytes; count++) bytes += (queue[count] as Uint8Array).length
  const taken = queue.splice(0, count)
  const whole = taken.length === 1 ? (taken[0] as Uint8Array) : Buffer.concat(taken)
  if (whole.length <= maxBytes) return whole
  queue.unshift(whole.subarray(maxBytes))
  return whole.subarray(0, maxBytes)
}
