import type { Exchange } from '../rpc/dispatcher.ts'

export type ProgressToken = string | number

/** The first text goes out at once, later text at most this often. */
const minGapMs = 50
/** A client whose timer resets on progress hears from us at least this often. */
const heartbeatMs = 10_000

export type Reporter = {
  /** Takes the next piece of text, or the mere news that work went on. */
  push(message: string | undefined): void
  /** Sends what is still held back. Nothing goes out afterwards. */
  close(): void
}

/**
 * Turns the steps of one call into `notifications/progress`: strictly increasing, coalesced, none lost. While the
 * reader is behind, text waits here. Silence is filled with heartbeats, which carry no message.
 */
export function createReporter(token: ProgressToken, exchange: Exchange): Reporter {
  let progress = 0
  let held: string[] = []
  let lastSentMs = Number.NEGATIVE_INFINITY
  let flushTimer: NodeJS.Timeout | undefined
  const heartbeat = setInterval(() => {
    if (performance.now() - lastSentMs >= heartbeatMs && !exchange.congested()) send(undefined)
  }, heartbeatMs)

  const send = (message: string | undefined) => {
    progress += 1
    lastSentMs = performance.now()
    exchange.notify('notifications/progress', {
      progressToken: token,
      progress,
      ...(message === undefined ? {} : { message }),
    })
  }
  const flush = () => {
    const message = held.join('')
    held = []
    if (message !== '') send(message)
  }
  const flushWhenDue = () => {
    flushTimer = undefined
    if (exchange.congested()) flushTimer = setTimeout(flushWhenDue, minGapMs)
    else flush()
  }

  return {
    push(message) {
      if (message === undefined || message === '') return
      held.push(message)
      if (flushTimer) return
      const waitMs = lastSentMs + minGapMs - performance.now()
      if (waitMs <= 0 && !exchange.congested()) flush()
      else flushTimer = setTimeout(flushWhenDue, Math.max(waitMs, 1))
    },
    close() {
      clearInterval(heartbeat)
      clearTimeout(flushTimer)
      flush()
    },
  }
}
