import type { Outlet } from '../rpc/dispatcher.ts'
import { encodeLong, encodeMessage, type LongLine, type Redaction } from '../rpc/encoder.ts'
import type { Outgoing } from '../rpc/message.ts'
import type { Pipe } from './pipe.ts'

export type PipeOutlet = Outlet & {
  /** To be called when the reader has caught up. */
  resume(): void
  /** Resolves when all that was sent has been handed to the system. */
  flushed(): Promise<void>
  /** Characters that have not been written yet: long lines, and what waits behind them. */
  waitingCharacters(): number
}

/**
 * Messages as lines: those of one turn of the event loop leave in one write, in order, none dropped. A long line leaves as
 * the reader takes it, and what is sent behind it waits.
 */
export function createOutlet(write: Pipe['write'], redaction: Redaction): PipeOutlet {
  let queue: (string | LongLine)[] = []
  let scheduled = false
  let full = false
  let waiting: (() => void)[] = []
  let waitingCharacters = 0

  /** False where the reader is behind before the last of them. */
  const writePieces = (pieces: Iterator<string>): boolean => {
    while (!full) {
      const piece = pieces.next()
      if (piece.done) return true
      full = !write(piece.value)
    }
    return false
  }
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
      if (typeof line === 'string') lines.push(line)
      else {
        writeLines()
        if (!writePieces(line.pieces)) {
          queue = sent.slice(at)
          return
        }
      }
      waitingCharacters -= line.length
    }
    writeLines()
  }
  const goOn = () => {
    full = false
    flush()
    if (full) return
    const resumed = waiting
    waiting = []
    for (const resume of resumed) resume()
  }
  const drained = () => (full ? new Promise<void>((resolve) => waiting.push(resolve)) : Promise.resolve())

  return {
    send(message: Outgoing) {
      const line = encodeLong(message, redaction) ?? `${encodeMessage(message, redaction.text)}\n`
      queue.push(line)
      waitingCharacters += line.length
      if (!scheduled) setImmediate(flush)
      scheduled = true
    },
    congested: () => full,
    drained,
    resume() {
      // A reader that keeps up would have a long line hold the event loop until its end.
      if (queue.length > 0) setImmediate(goOn)
      else goOn()
    },
    async flushed() {
      // Whoever waited for the reader beside this may have sent more by then.
      for (flush(); queue.length > 0; flush()) await drained()
      await new Promise<void>((resolve) => write('', resolve))
    },
    waitingCharacters: () => waitingCharacters,
  }
}
