/** How a server ends, which is the same over every transport. */

/** Time that calls in flight get to finish once the end is near. Docker's gateway kills after 5 s. */
export const graceMs = 4_000
/** Time that interrupted calls get to say so. */
const interruptionMs = 250
/** Time that a slow reader gets to take what is left. */
export const drainMs = 10_000

export const crashExitCode = 70
const exitCodes = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const

export type Ending = {
  /** A first signal, with the exit code that belongs to it. */
  begin(exitCode: number): void
  /** A second one, which does not wait. */
  hurry(exitCode: number): void
  crash(): void
}

/** Hears what ends the process from outside and from within; a fault is told before it is handed on. */
export function onEnding({ begin, hurry, crash }: Ending, complain: (sentence: string) => void): void {
  let signalled = false
  for (const [signal, exitCode] of Object.entries(exitCodes)) {
    process.on(signal, () => {
      if (signalled) return hurry(exitCode)
      signalled = true
      begin(exitCode)
    })
  }
  // Without a listener, Node answers this signal by opening its inspector to whoever may connect.
  process.on('SIGUSR1', () => {})
  const onFault = (error: unknown) => {
    complain(`Internal fault, the gateway stops: ${error instanceof Error ? error.stack : String(error)}`)
    crash()
  }
  process.on('uncaughtException', onFault)
  process.on('unhandledRejection', onFault)
}

/** Waits for what is in flight as long as patience lasts, then interrupts it and gives it a moment to say so. */
export async function finishInFlight(idle: Promise<unknown>, interrupt: () => void, patienceMs: number): Promise<void> {
  if (await settlesWithin(idle, patienceMs)) return
  interrupt()
  await settlesWithin(idle, interruptionMs)
}

export async function settlesWithin(promise: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<false>((resolve) => (timer = setTimeout(resolve, ms, false)))
  try {
    return await Promise.race([promise.then(() => true as const), late])
  } finally {
    clearTimeout(timer)
  }
}
