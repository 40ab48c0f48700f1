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

export const systemClock: Clock = {
  // To load what the global performance consists of takes a millisecond of the first call.
  now() {
    const [seconds, nanoseconds] = process.hrtime()
    return seconds * 1000 + nanoseconds / 1e6
  },
  random: Math.random,
  timer(ms, onEnd) {
    const timeout = setTimeout(onEnd, ms)
    return { stop: () => clearTimeout(timeout) }
  },
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
