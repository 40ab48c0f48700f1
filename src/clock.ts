/** What time and chance are, so that whoever plays the gateway in another time can say. */
export type Clock = {
  /** Milliseconds on a clock that never jumps. */
  now(): number
  /** Between 0 and 1. */
  random(): number
  /** Calls back once, after so many milliseconds. */
  timer(ms: number, onEnd: () => void): Timer
  /** Resolves after the time or rejects with the signal's reason. */
  sleep(ms: number, signal: AbortSignal): Promise<void>
}

export type Timer = { stop(): void }

// To load what the global performance consists of takes a millisecond of the first call.
function nowMs(): number {
  const [seconds, nanoseconds] = process.hrtime()
  return seconds * 1000 + nanoseconds / 1e6
}

/** Node takes a longer time for one of a millisecond. */
const maxTimeoutMs = 2 ** 31 - 1

/**
 * Timers that are nearly all stopped before their time, as limits are: one of Node's serves them all, and is left running
 * when they are stopped. Three of Node's own a call take some twenty microseconds of it.
 */
function createTimers(): Clock['timer'] {
  type Pending = { endMs: number; onEnd: () => void }
  const pending = new Set<Pending>()
  let alarm: NodeJS.Timeout | undefined
  let alarmMs = Number.POSITIVE_INFINITY

  const setAlarm = (endMs: number) => {
    clearTimeout(alarm)
    alarmMs = endMs
    alarm =
      endMs < Number.POSITIVE_INFINITY
        ? setTimeout(ring, Math.min(Math.max(1, endMs - nowMs()), maxTimeoutMs))
        : undefined
  }
  const ring = () => {
    const now = nowMs()
    const due = [...pending].filter(({ endMs }) => endMs <= now).sort((left, right) => left.endMs - right.endMs)
    try {
      // What one of them does may stop another.
      for (const timer of due) if (remove(timer)) timer.onEnd()
    } finally {
      setAlarm([...pending].reduce((earliest, { endMs }) => Math.min(earliest, endMs), Number.POSITIVE_INFINITY))
    }
  }
  const remove = (timer: Pending): boolean => {
    const removed = pending.delete(timer)
    if (pending.size === 0) alarm?.unref()
    return removed
  }
  return (ms, onEnd) => {
    const timer: Pending = { endMs: nowMs() + ms, onEnd }
    pending.add(timer)
    if (timer.endMs < alarmMs) setAlarm(timer.endMs)
    // It holds the program while there is something to wait for.
    else if (pending.size === 1) alarm?.ref()
    return { stop: () => void remove(timer) }
  }
}

export const systemClock: Clock = {
  now: nowMs,
  random: Math.random,
  timer: createTimers(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason)
      const onAbort = () => {
        clearTimeout(timer)
        reject(signal.reason)
      }
      const timer = setTimeout(() => {
        signal.removeEventListener('abort', onAbort)
        resolve()
      }, ms)
      signal.addEventListener('abort', onAbort, { once: true })
    }),
}
