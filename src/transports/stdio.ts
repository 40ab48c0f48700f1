import type { Readable, Writable } from 'node:stream'
import { createDispatcher, type Handlers, type Outlet } from '../rpc/dispatcher.ts'
import { createFramer } from '../rpc/framer.ts'
import type { Outgoing } from '../rpc/message.ts'

/** Time that calls in flight get to finish once the input has ended. Docker's gateway kills after 5 s. */
const graceMs = 4_000
/** Time that interrupted calls get to say so. */
const interruptionMs = 250
/** Time that a slow reader gets to take what is left. */
const drainMs = 10_000
const parentWatchMs = 2_000
/** Unread output beyond which no further request is read. */
const maxUnreadBytes = 64 * 1024 * 1024

const crashExitCode = 70
const signals = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const

type StdioOutlet = Outlet & {
  /** Resolves when all that was sent has been handed to the system. */
  flushed(): Promise<void>
  unreadBytes(): number
}

/** Messages as lines on a stream: those of one turn of the event loop leave in one write, in order, none dropped. */
export function createOutlet(stream: Writable, redact: (line: string) => string): StdioOutlet {
  const write: (text: string, written?: () => void) => boolean = stream.write.bind(stream)
  let lines: string[] = []
  let scheduled: NodeJS.Immediate | undefined
  let full = false
  let waiting: (() => void)[] = []
  stream.on('drain', () => {
    full = false
    const resumed = waiting
    waiting = []
    for (const resume of resumed) resume()
  })

  // Only the strings of a message are cleaned, so that it stays a message whatever a key consists of.
  const redactString = (value: unknown) => (typeof value === 'string' ? redact(value) : value)
  const flush = () => {
    scheduled = undefined
    const text = lines.length === 1 ? (lines[0] as string) : lines.join('')
    lines = []
    full = !write(text)
  }
  const drained = () => (full ? new Promise<void>((resolve) => waiting.push(resolve)) : Promise.resolve())

  return {
    send(message: Outgoing) {
      const line = JSON.stringify(message)
      const clean = redact(line) === line ? line : JSON.stringify(message, (_, value) => redactString(value))
      lines.push(`${clean}\n`)
      scheduled ??= setImmediate(flush)
    },
    congested: () => full,
    drained,
    async flushed() {
      if (scheduled) {
        clearImmediate(scheduled)
        flush()
      }
      await new Promise<void>((resolve) => write('', resolve))
    },
    unreadBytes: () => stream.writableLength,
  }
}

export type StdioOptions = {
  input: Readable
  output: Writable
  /** Takes secrets out of a line before it leaves. */
  redact: (line: string) => string
  /** Says one sentence to the person who runs the program. */
  complain: (sentence: string) => void
}

/**
 * Serves one peer over stdin and stdout until the input ends, a signal comes, the reader is gone or the parent is gone.
 * Resolves to the exit code when everything that was answered has been written.
 */
export function serveStdio(handlers: Handlers, { input, output, redact, complain }: StdioOptions): Promise<number> {
  const outlet = createOutlet(output, redact)
  // From now on whatever else writes to stdout, a stray console.log of a dependency say, ends on stderr.
  output.write = ((...args: Parameters<Writable['write']>) => process.stderr.write(...args)) as Writable['write']
  const dispatcher = createDispatcher(handlers, outlet)
  const framer = createFramer((frame) => dispatcher.receive(frame))

  return new Promise((resolve) => {
    let closing = false
    let signalled = false
    const close = async (exitCode: number, patienceMs = graceMs) => {
      if (closing) return
      closing = true
      input.pause()
      clearInterval(parentWatch)
      const idle = dispatcher.drain()
      if (!(await settlesWithin(idle, patienceMs))) {
        dispatcher.interrupt()
        await settlesWithin(idle, interruptionMs)
      }
      await settlesWithin(outlet.flushed(), drainMs)
      resolve(exitCode)
    }
    const abandon = (exitCode: number) => {
      closing = true
      dispatcher.interrupt()
      resolve(exitCode)
    }
    const crash = (error: unknown) => {
      complain(`Internal fault, the gateway stops: ${error instanceof Error ? error.stack : String(error)}`)
      dispatcher.interrupt()
      void settlesWithin(outlet.flushed(), 500).then(() => resolve(crashExitCode))
    }

    const parent = process.ppid
    const parentWatch = setInterval(() => process.ppid !== parent && void close(0, 0), parentWatchMs)
    parentWatch.unref()
    // A signal behind the end of input shortens the grace, not the delivery; a second signal does not wait at all.
    const onSignal = (exitCode: number) => {
      if (signalled) return resolve(exitCode)
      signalled = true
      if (closing) dispatcher.interrupt()
      else void close(exitCode)
    }
    for (const [signal, exitCode] of Object.entries(signals)) process.on(signal, () => onSignal(exitCode))
    // Without a listener, Node answers this signal by opening its inspector to whoever may connect.
    process.on('SIGUSR1', () => {})
    process.on('uncaughtException', crash)
    process.on('unhandledRejection', crash)
    output.on('error', () => abandon(0))
    output.on('close', () => abandon(0))
    input.on('data', (chunk: Buffer) => {
      framer.push(chunk)
      if (outlet.unreadBytes() > maxUnreadBytes) {
        input.pause()
        void outlet.drained().then(() => closing || input.resume())
      }
    })
    input.on('error', () => void close(0))
    input.on('end', () => {
      framer.end()
      void close(0)
    })
  })
}

async function settlesWithin(promise: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<false>((resolve) => (timer = setTimeout(resolve, ms, false)))
  try {
    return await Promise.race([promise.then(() => true as const), late])
  } finally {
    clearTimeout(timer)
  }
}
