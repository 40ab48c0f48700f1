import { createDispatcher, type Handlers } from '../rpc/dispatcher.ts'
import type { Redaction } from '../rpc/encoder.ts'
import { createFramer } from '../rpc/framer.ts'
import { crashExitCode, drainMs, finishInFlight, graceMs, onEnding, settlesWithin } from './ending.ts'
import { createOutlet } from './outlet.ts'
import type { Pipe } from './pipe.ts'

const parentWatchMs = 2_000
/** Unread output beyond which no further request is read. */
const maxUnreadBytes = 64 * 1024 * 1024

export type StdioOptions = {
  pipe: Pipe
  /** Takes secrets out of what leaves. */
  redaction: Redaction
  /** Says one sentence to the person who runs the program. */
  complain: (sentence: string) => void
}

/**
 * Serves one peer over stdin and stdout until the input ends, a signal comes, the reader is gone or the parent is gone.
 * Resolves to the exit code when everything that was answered has been written.
 */
export function serveStdio(handlers: Handlers, { pipe, redaction, complain }: StdioOptions): Promise<number> {
  const outlet = createOutlet(pipe.write, redaction)
  const dispatcher = createDispatcher(handlers, outlet)
  const framer = createFramer((frame) => dispatcher.receive(frame))

  return new Promise((resolve) => {
    let closing = false
    const close = async (exitCode: number, patienceMs = graceMs) => {
      if (closing) return
      closing = true
      pipe.pause()
      clearInterval(parentWatch)
      await finishInFlight(dispatcher.drain(), dispatcher.interrupt, patienceMs)
      await settlesWithin(outlet.flushed(), drainMs)
      resolve(exitCode)
    }
    const crash = () => {
      dispatcher.interrupt()
      void settlesWithin(outlet.flushed(), 500).then(() => resolve(crashExitCode))
    }

    const parent = process.ppid
    const parentWatch = setInterval(() => process.ppid !== parent && void close(0, 0), parentWatchMs)
    parentWatch.unref()
    // A signal behind the end of input shortens the grace, not the delivery; a second signal does not wait at all.
    const begin = (exitCode: number) => (closing ? dispatcher.interrupt() : void close(exitCode))
    onEnding({ begin, hurry: resolve, crash }, complain)
    pipe.open({
      chunk(bytes) {
        framer.push(bytes)
        if (pipe.unreadBytes() + outlet.waitingCharacters() > maxUnreadBytes) {
          pipe.pause()
          void outlet.drained().then(() => closing || pipe.resume())
        }
        return dispatcher.busy()
      },
      end() {
        framer.end()
        void close(0)
      },
      drain: outlet.resume,
      gone() {
        closing = true
        dispatcher.interrupt()
        resolve(0)
      },
    })
  })
}
