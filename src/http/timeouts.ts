import { Fault } from '../errors.ts'
import type { Limits, Send } from './message.ts'

/**
 * Ends a request that has gone silent: before its first byte, or between two. Time in which nobody asks for bytes does
 * not count, so that a slow reader is not taken for a silent provider.
 */
export function withTimeouts(send: Send): Send {
  return async (request, signal) => {
    const { firstByteMs, idleMs } = request.limits
    const startedMs = performance.now()
    const silence = new AbortController()
    const passOn = () => silence.abort(signal.reason)
    if (signal.aborted) passOn()
    signal.addEventListener('abort', passOn, { once: true })
    const firstByte = setTimeout(() => {
      silence.abort(silent(`did not begin to answer within ${firstByteMs / 1000} s`, 'first_byte'))
    }, firstByteMs)
    const release = () => {
      clearTimeout(firstByte)
      signal.removeEventListener('abort', passOn)
    }
    try {
      const response = await send(request, silence.signal)
      clearTimeout(firstByte)
      return { ...response, body: watched(response.body, { firstByteMs, idleMs }, startedMs, silence, release) }
    } catch (error) {
      release()
      throw error
    }
  }
}

async function* watched(
  body: AsyncIterable<Uint8Array>,
  { firstByteMs, idleMs }: Limits,
  startedMs: number,
  silence: AbortController,
  release: () => void,
): AsyncGenerator<Uint8Array> {
  let waiting = true
  const start = (ms: number, expire: () => void): NodeJS.Timeout => {
    const timer = setTimeout(() => (waiting ? expire() : timer.refresh()), ms)
    return timer
  }
  // A head is quickly sent: the patience for a first byte lasts until there is one of the body.
  let timer = start(Math.max(1, firstByteMs - (performance.now() - startedMs)), () =>
    silence.abort(silent(`did not begin to answer within ${firstByteMs / 1000} s`, 'first_byte')),
  )
  let begun = false
  try {
    for await (const chunk of body) {
      waiting = false
      if (!begun) {
        begun = true
        clearTimeout(timer)
        // One timer from here on, pushed back by each chunk: cheaper than one a chunk.
        timer = start(idleMs, () =>
          silence.abort(silent(`fell silent for ${idleMs / 1000} s in the middle of its answer`, 'idle')),
        )
      }
      yield chunk
      waiting = true
      timer.refresh()
    }
  } finally {
    clearTimeout(timer)
    release()
  }
}

function silent(what: string, cause: string): Fault {
  return new Fault('timeout', `it ${what} (TIMEOUT, or the provider's own timeout, moves this limit)`, {
    cause,
    retryable: true,
  })
}
