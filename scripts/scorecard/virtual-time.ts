/** Time that passes when nothing is left to do: for a process of its own, whose timers it replaces. */

export type VirtualTime = {
  now(): number
  sleep(ms: number): Promise<void>
  /** Lets time pass until no timer is left; resolves to the milliseconds that have passed. */
  run(): Promise<number>
}

type Timer = { atMs: number; order: number; work: () => void }

export function installVirtualTime(): VirtualTime {
  const settle = setImmediate
  const timers = new Map<object, Timer>()
  let nowMs = 0
  let order = 0
  const start = (work: (...args: unknown[]) => void, ms = 0, ...args: unknown[]) => {
    const handle = {
      unref: () => handle,
      ref: () => handle,
      hasRef: () => true,
      refresh() {
        const timer = timers.get(handle)
        if (timer) timers.set(handle, { ...timer, atMs: nowMs + ms, order: order++ })
        else timers.set(handle, { atMs: nowMs + ms, order: order++, work: () => work(...args) })
        return handle
      },
      close: () => void timers.delete(handle),
    }
    return handle.refresh()
  }
  const stop = (handle: unknown) => void timers.delete(handle as object)
  Object.assign(globalThis, { setTimeout: start, clearTimeout: stop })

  return {
    now: () => nowMs,
    sleep: (ms) => new Promise((resolve) => start(() => resolve(), ms)),
    async run() {
      const from = nowMs
      for (;;) {
        // Everything that follows from the last timer happens before the next one is due.
        await new Promise((resolve) => settle(resolve))
        let next: [object, Timer] | undefined
        for (const entry of timers) {
          if (
            !next ||
            entry[1].atMs < next[1].atMs ||
            (entry[1].atMs === next[1].atMs && entry[1].order < next[1].order)
          )
            next = entry
        }
        if (!next) return nowMs - from
        const [handle, { atMs, work }] = next
        timers.delete(handle)
        nowMs = Math.max(nowMs, atMs)
        work()
      }
    },
  }
}
