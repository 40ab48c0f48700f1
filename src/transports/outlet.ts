import type { Outlet } from '../rpc/dispatcher.ts'
import { encodeLong, encodeMessage, type LongLine, type Redact } from '../rpc/encoder.ts'
import type { Outgoing } from '../rpc/message.ts'
import type { Pipe } from './pipe.ts'

export type PipeOutlet = Outlet & {
  /** To be called when the reader has caught up. */
  resume(): void
  /** Resolves when all that was sent has been handed to the system. */
  flushed(): Promise<void>
  /** Characters of long lines that have not been written yet. */
  waitingCharacters(): number
}

/**
 * Messages as lines: those of one turn of the event loop leave in one write, in order, none dropped. A long line leaves as
 * the reader takes it, and what is sent behind it waits.
 */
export function createOutlet(write: Pipe['write'], redact: Redact): PipeOutlet {
  let queue: (string | LongLine)[] = []
  let scheduled = false
  let full = false
  let waiting: (() => void)[] = []
  let waitingCharacters = 0

  const flush = () => {
    scheduled = false
    const sent = queue
    queue = []
    let lines: string[] = []
    const writeLines = () => {
      if (lines.length > 0) full = !write(lines.length === 1 ? (lines[0] as string) : lines.join(''))
      lines = []
    }
    for (const [at, line] of sent.entries()) {
      if (typeof line === 'string') {
        lines.push(line)
        continue
      }
      writeLines()
      for (
        let next = full ? undefined : line.pieces.next();
        next && !next.done;
        next = full ? undefined : line.pieces.next()
      )
        full = !write(next.value)
      if (full) {
        queue = sent.slice(at)
        return
      }
      waitingCharacters -= line.characters
    }
    writeLines()
  }
  const drained = () => (full ? new Promise<void>((resolve) => waiting.push(resolve)) : Promise.resolve())

  return {
    send(message: Outgoing) {
      const long = encodeLong(message, redact)
      if (long) waitingCharacters += long.characters
      queue.push(long ?? `${encodeMessage(message, redact)}\n`)
      if (!scheduled) setImmediate(flush)
      scheduled = true
    },
    congested: () => full,
    drained,
    resume() {
      full = false
      flush()
      if (full) return
      const resumed = waiting
      waiting = []
      for (const resume of resumed) resume()
    },
    async flushed() {
      // Whoever waited for the reader beside this may have sent more by then.
      for (flush(); queue.length > 0; flush()) await drained()
      await new Promise<void>((resolve) => write('', resolve))
    },
    waitingCharacters: () => waitingCharacters,
  }
}
