import type { Clock } from '../../src/clock.ts'

/** Time that passes when nothing is left to do. */
export type VirtualTime = Clock & {
  /** Lets time pass until no timer is left; resolves to the milliseconds that have passed. */
  run(): Promise<number>
}

type Pending = { atMs: number; order: number; work: () => void }

/** `random` is what the clock hands out as chance. */
export function createVirtualTime(random: () => number): VirtualTime {
  const pending = new Set<Pending>()
  let nowMs = 0
  let order = 0
  const time: VirtualTime = {
    now: () => nowMs,
    random,
    timer(ms, onEnd) {
      const own: Pending = { atMs: nowMs + Math.max(0, ms), order: order++, work: onEnd }
      pending.add(own)
      return { stop: () => void pending.delete(own) }
    },
    sleep(ms, signal) {
      return new Promise((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason)
        const onAbort = () => {
          timer.stop()
          reject(signal.reason)
        }
        const timer = time.timer(ms, () => {
          signal.removeEventListener('abort', onAbort)
          resolve()
        })
        signal.addEventListener('abort', onAbort, { once: true })
      })
    },
    async run() {
      const fromMs = nowMs
      for (;;) {
        // Everything that follows from the last timer happens before the next one is due.
        await new Promise((resolve) => setImmediate(resolve))
        const [next] = [...pending].sort((left, right) => left.atMs - right.atMs || left.order - right.order)
        if (!next) return nowMs - fromMs
        pending.delete(next)
        nowMs = next.atMs
        next.work()
      }
    },
  }
  return time
}
