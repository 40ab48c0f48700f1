import type { Clock } from '../clock.ts'
import { Fault } from '../errors.ts'
import type { Call, Middleware } from '../handle.ts'
import { ending } from '../iteration.ts'

/** The hard end of every call that names none of its own, retries and waits included. */
const defaultTotalMs = 600_000

/** Ends a call when its time is up, whatever it is doing then. */
export const withDeadline =
  (clock: Pick<Clock, 'now' | 'timer'>): Middleware =>
  (next) =>
  (ask, call) => {
    const totalMs = ask.timeoutMs ?? defaultTotalMs
    const { signal, release } = createLimit(totalMs, call, clock)
    const events = next(ask, { ...call, signal, deadline: clock.now() + totalMs })
    return ending(events[Symbol.asyncIterator](), release)
  }

function createLimit(
  totalMs: number,
  { signal: outer }: Call,
  clock: Pick<Clock, 'timer'>,
): { signal: AbortSignal; release(): void } {
  const controller = new AbortController()
  // The end of the call that asked for a lookup keeps its reason; a client's own cancellation brings none.
  const passOn = () => controller.abort(outer.reason instanceof Fault ? outer.reason : cancelled())
  if (outer.aborted) passOn()
  outer.addEventListener('abort', passOn, { once: true })
  const timer = clock.timer(totalMs, () => controller.abort(unfinished(totalMs)))
  return {
    signal: controller.signal,
    release() {
      timer.stop()
      outer.removeEventListener('abort', passOn)
    },
  }
}

function cancelled(): Fault {
  return new Fault('unavailable', 'the call was interrupted', { cause: 'cancelled', retryable: true })
}

function unfinished(totalMs: number): Fault {
  const seconds = totalMs / 1000
  return new Fault('timeout', `it did not finish within ${seconds} s in all (the argument timeout moves this limit)`, {
    cause: 'deadline',
    retryable: true,
  })
}
