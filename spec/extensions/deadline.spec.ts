import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { test } from 'node:test'
import { systemClock } from '../../src/clock.ts'
import { Fault } from '../../src/errors.ts'
import { withDeadline } from '../../src/extensions/deadline.ts'
import type { Ask } from '../../src/gateway.ts'
import type { Call, Handle } from '../../src/handle.ts'

/** The hard end of a call, in its own words and with whatever ended it. */

const ask: Ask = { kind: 'text', prompt: 'hi' }

/** Says a word and then waits for the end. */
const endless: Handle = async function* (_, { signal }) {
  yield [{ type: 'text-delta', text: 'begun' }]
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve()
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
  throw signal.reason
}

async function run(handle: Handle, asked: Ask, signal: AbortSignal): Promise<{ events: number; fault: unknown }> {
  let events = 0
  try {
    for await (const _ of handle(asked, { signal, streaming: false })) events += 1
  } catch (fault) {
    return { events, fault }
  }
  return { events, fault: undefined }
}

test('a call that takes too long is told with the time that it was given', async () => {
  const { signal } = new AbortController()
  const { events, fault } = await run(
    withDeadline({ ...systemClock, now: () => 0 })(endless),
    { ...ask, timeoutMs: 40 },
    signal,
  )
  assert.equal(events, 1)
  assert.ok(fault instanceof Fault)
  assert.deepEqual([fault.code, fault.detail.cause, fault.detail.retryable], ['timeout', 'deadline', true])
  assert.match(fault.message, /within 0\.04 s in all .*argument timeout/)
  assert.equal(getEventListeners(signal, 'abort').length, 0)
})

test('what is inside knows when the call must have ended: its own time, or ten minutes', async () => {
  const seen: Call[] = []
  const handle = withDeadline({ ...systemClock, now: () => 1000 })(async function* (_, call) {
    seen.push(call)
    yield [{ type: 'step' }]
  })
  const { signal } = new AbortController()
  await run(handle, { ...ask, timeoutMs: 40 }, signal)
  await run(handle, ask, signal)
  assert.deepEqual(
    seen.map(({ deadline }) => deadline),
    [1040, 601_000],
  )
})

test('a client that cancels is told as such, before and in the middle', async () => {
  const controller = new AbortController()
  const running = run(withDeadline({ ...systemClock, now: () => 0 })(endless), ask, controller.signal)
  controller.abort()
  for (const { fault } of [
    await running,
    await run(withDeadline({ ...systemClock, now: () => 0 })(endless), ask, controller.signal),
  ]) {
    assert.ok(fault instanceof Fault)
    assert.deepEqual([fault.code, fault.detail.cause], ['unavailable', 'cancelled'])
  }
})

test('a lookup inside a call ends with the reason of that call', async () => {
  const reason = new Fault('timeout', 'the call', { cause: 'deadline' })
  const { fault } = await run(withDeadline({ ...systemClock, now: () => 0 })(endless), ask, AbortSignal.abort(reason))
  assert.equal(fault, reason)
})

test('a call that has ended is not timed out afterwards', async () => {
  let inner: AbortSignal | undefined
  const handle = withDeadline({ ...systemClock, now: () => 0 })(async function* (_, { signal }) {
    inner = signal
    yield [{ type: 'step' }]
  })
  await run(handle, { ...ask, timeoutMs: 20 }, new AbortController().signal)
  await new Promise((resolve) => setTimeout(resolve, 60))
  assert.equal(inner?.aborted, false)
})
