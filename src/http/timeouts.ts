import { type Clock, systemClock, type Timer } from '../clock.ts'
import { Fault } from '../errors.ts'
import { ending } from '../iteration.ts'
import type { Send } from './message.ts'

type TimeSource = Pick<Clock, 'now' | 'timer'>

/**
 * Ends a request that has gone silent: before its first byte, or between two. Time in which nobody asks for bytes does
 * not count, so that a slow reader is not taken for a silent provider.
 */
export function withTimeouts(send: Send, clock: TimeSource = systemClock): Send {
  return async (request, signal) => {
    const { firstByteMs, idleMs } = request.limits
    const silence = new AbortController()
    const passOn = () => silence.abort(signal.reason)
    if (signal.aborted) passOn()
    signal.addEventListener('abort', passOn, { once: true })
    const startedMs = clock.now()
    const alarm = createAlarm(clock)
    const release = () => {
      alarm.stop()
      signal.removeEventListener('abort', passOn)
    }
    const expectBegin = (limitMs: number) => () =>
      silence.abort(silent(`did not begin to answer within ${secondsOf(limitMs)}`, 'first_byte'))
    const onIdle = () =>
      silence.abort(silent(`fell silent for ${secondsOf(idleMs)} in the middle of its answer`, 'idle'))

    try {
      alarm.set(firstByteMs, expectBegin(firstByteMs))
      const response = await send(request, silence.signal)
      const waitedMs = clock.now() - startedMs
      // A head is quickly sent: the patience lasts until there is a byte of the body, to which a late one leaves time.
      const patienceMs = Math.max(firstByteMs, waitedMs + Math.min(idleMs, firstByteMs))
      alarm.set(patienceMs - waitedMs, expectBegin(patienceMs))
      let begun = false
      const onAsk = () => {
        if (begun) alarm.set(idleMs, onIdle)
        begun = true
      }
      return {
        ...response,
        signal: silence.signal,
        interrupt(fault) {
          release()
          silence.abort(fault)
        },
        body: ending(response.body[Symbol.asyncIterator](), release, onAsk, alarm.pause),
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
  clock: TimeSource,
  onLate: (fault: Fault) => void,
): AsyncIterator<T> {
  const alarm = createAlarm(clock)
  const onEnd = () => onLate(lifeless(ms))
  return ending(values, alarm.stop, () => alarm.set(ms, onEnd), alarm.pause)
}

type Alarm = {
  /** Rings after so many milliseconds, in the place of what was set before. */
  set(ms: number, ring: () => void): void
  /** Does not ring until it is set again. */
  pause(): void
  /** Ends for good. */
  stop(): void
}

/**
 * One timer for the times that are to be kept one after the other: while the next is not over before the timer is due, to
 * set it costs a look at the clock.
 */
function createAlarm(clock: TimeSource): Alarm {
  let endMs = Number.POSITIVE_INFINITY
  let ring = () => {}
  let timer: Timer | undefined
  let stopped = false
  let timerEndMs = Number.POSITIVE_INFINITY
  const start = (nowMs: number) => {
    timer?.stop()
    timerEndMs = endMs
    timer = clock.timer(endMs - nowMs, onTimer)
  }
  const onTimer = () => {
    timer = undefined
    timerEndMs = Number.POSITIVE_INFINITY
    const nowMs = clock.now()
    if (endMs <= nowMs) ring()
    else if (endMs < Number.POSITIVE_INFINITY) start(nowMs)
  }
  return {
    set(ms, onEnd) {
      if (stopped) return
      const nowMs = clock.now()
      endMs = nowMs + ms
      ring = onEnd
      if (endMs < timerEndMs) start(nowMs)
    },
    pause() {
      endMs = Number.POSITIVE_INFINITY
    },
    stop() {
      stopped = true
      timer?.stop()
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

function silent(what: string, cause: string): Fault {
  return new Fault('timeout', `it ${what} (TIMEOUT, or the provider's own timeout, moves this limit)`, {
    cause,
    retryable: true,
  })
}

function secondsOf(ms: number): string {
  return `${Number((ms / 1000).toFixed(2))} s`
}
