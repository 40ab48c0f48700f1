import { type Clock, systemClock, type Timer } from '../clock.ts'
import { Fault } from '../errors.ts'
import type { Send } from './message.ts'

/**
 * Ends a request that has gone silent: before its first byte, or between two. Time in which nobody asks for bytes does
 * not count, so that a slow reader is not taken for a silent provider.
 */
export function withTimeouts(send: Send, clock: Pick<Clock, 'now' | 'timer'> = systemClock): Send {
  return async (request, signal) => {
    const { firstByteMs, idleMs } = request.limits
    const silence = new AbortController()
    const passOn = () => silence.abort(signal.reason)
    if (signal.aborted) passOn()
    signal.addEventListener('abort', passOn, { once: true })
    const startedMs = clock.now()
    const firstByteBy = (limitMs: number) =>
      clock.timer(limitMs - (clock.now() - startedMs), () =>
        silence.abort(silent(`did not begin to answer within ${secondsOf(limitMs)}`, 'first_byte')),
      )
    let firstByte = firstByteBy(firstByteMs)
    const release = () => {
      firstByte.stop()
      signal.removeEventListener('abort', passOn)
    }
    const onIdle = () =>
      silence.abort(silent(`fell silent for ${secondsOf(idleMs)} in the middle of its answer`, 'idle'))
    try {
      const response = await send(request, silence.signal)
      firstByte.stop()
      // A head is quickly sent: the patience lasts until there is a byte of the body, to which a late one leaves time.
      const lateMs = clock.now() - startedMs + Math.min(idleMs, firstByteMs)
      firstByte = firstByteBy(Math.max(firstByteMs, lateMs))
      return {
        ...response,
        signal: silence.signal,
        interrupt(fault) {
          release()
          silence.abort(fault)
        },
        body: watched(response.body, firstByte, (onEnd) => clock.timer(idleMs, onEnd), { onIdle, release }),
      }
    } catch (error) {
      release()
      throw error
    }
  }
}

/**
 * The values of an iterator, none of which may be longer in coming than the time; what is late is told to `onLate`. For
 * events among bytes: a provider that sends nothing but comments is not silent, and yet says nothing.
 */
export function withPatience<T>(
  values: AsyncIterator<T>,
  ms: number,
  clock: Pick<Clock, 'timer'>,
  onLate: (fault: Fault) => void,
): AsyncIterator<T> {
  let waiting = true
  const patience = clock.timer(ms, () => (waiting ? onLate(lifeless(ms)) : patience.restart()))
  return {
    async next() {
      waiting = true
      patience.restart()
      try {
        const next = await values.next()
        waiting = false
        if (next.done) patience.stop()
        return next
      } catch (error) {
        patience.stop()
        throw error
      }
    },
    async return() {
      patience.stop()
      await values.return?.()
      return { done: true, value: undefined }
    },
  }
}

function lifeless(ms: number): Fault {
  const what = `gave nothing but signs of life for ${secondsOf(ms)}, ten times its limit for silence`
  return new Fault('timeout', `it ${what} (TIMEOUT, or the provider's own timeout, moves both)`, {
    cause: 'event_idle',
    retryable: true,
  })
}

async function* watched(
  body: AsyncIterable<Uint8Array>,
  firstByte: Timer,
  newIdle: (onEnd: () => void) => Timer,
  { onIdle, release }: { onIdle(): void; release(): void },
): AsyncGenerator<Uint8Array> {
  let waiting = true
  let idle: Timer | undefined
  try {
    for await (const chunk of body) {
      firstByte.stop()
      waiting = false
      yield chunk
      waiting = true
      // One timer, pushed back by each chunk: cheaper than one a chunk.
      if (idle) idle.restart()
      else idle = newIdle(() => (waiting ? onIdle() : idle?.restart()))
    }
  } finally {
    idle?.stop()
    release()
  }
}

function silent(what: string, cause: string): Fault {
  return new Fault('timeout', `it ${what} (TIMEOUT, or the provider's own timeout, moves this limit)`, {
    cause,
    retryable: true,
  })
}

function secondsOf(ms: number): string {
  return `${Number((ms / 1000).toFixed(2))} s`
}
