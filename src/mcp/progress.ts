import type { Exchange } from '../rpc/dispatcher.ts'
import type { Progress } from '../tool.ts'

export type ProgressToken = string | number

/** The first text goes out at once, later text at most 20 times a second; timers are a little early at times. */
const minGapMs = 53
/**
 * The official client libraries pass over progress that they read in one go with the result: they end a call at once, and
 * look at its progress a turn later. A wait of 2 ms was seen to be enough on an idle machine; 1 ms was not.
 */
const settleMs = 2
/** A client whose timer resets on progress hears from us at least this often. */
const heartbeatMs = 10_000

export type Reporter = {
  /** Takes one step: the next piece of text, a place in a queue, or the mere news that work went on. */
  step(step: Progress): void
  /** Sends what is still held back. Nothing goes out afterwards. */
  close(): void
  /** Resolves when what was sent last has had the time to be read on its own. */
  settled(): Promise<void>
}

/**
 * Turns the steps of one call into `notifications/progress`: strictly increasing, coalesced, no text lost. While the
 * reader is behind, text waits here. Silence is filled with heartbeats, which carry no message.
 */
export function createReporter(token: ProgressToken, exchange: Exchange): Reporter {
  /** Steps taken, heartbeats among them: what `progress` counts. */
  let steps = 0
  let told = 0
  let held: string[] = []
  let place: number | undefined
  let lastSentMs = Number.NEGATIVE_INFINITY
  let flushTimer: NodeJS.Timeout | undefined
  const heartbeat = setInterval(() => {
    if (exchange.congested()) return
    steps += 1
    flush()
  }, heartbeatMs)

  const flush = (last = false) => {
    if (steps === told) return
    const text = held.length === 1 ? (held[0] as string) : held.join('')
    // Half a character would be no valid JSON text to a strict reader: it waits for its other half.
    const half = !last && /[\ud800-\udbff]$/.test(text)
    const message = half ? text.slice(0, -1) : text
    held = half ? [text.slice(-1)] : []
    told = steps
    lastSentMs = performance.now()
    heartbeat.refresh()
    exchange.notify('notifications/progress', {
      progressToken: token,
      progress: steps,
      ...(message ? { message } : {}),
      // In words it would stand in the text that the messages make up.
      ...(place === undefined ? {} : { _meta: { 'genai-gateway/queue': { place } } }),
    })
  }
  const flushWhenDue = () => {
    flushTimer = undefined
    if (exchange.congested()) flushTimer = setTimeout(flushWhenDue, minGapMs)
    else flush()
  }

  return {
    step({ message, place: changed }) {
      steps += 1
      place = changed
      if (message) held.push(message)
      if (flushTimer) return
      const waitMs = lastSentMs + minGapMs - performance.now()
      if (waitMs <= 0 && !exchange.congested()) flush()
      else flushTimer = setTimeout(flushWhenDue, Math.max(Math.ceil(waitMs), 1))
    },
    close() {
      clearInterval(heartbeat)
      clearTimeout(flushTimer)
      if (held.length === 0) return
      if (steps === told) steps += 1
      flush(true)
    },
    settled() {
      const waitMs = lastSentMs + settleMs - performance.now()
      return waitMs > 0 ? new Promise((resolve) => setTimeout(resolve, Math.ceil(waitMs))) : Promise.resolve()
    },
  }
}
