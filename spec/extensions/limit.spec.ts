import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { type Config, type ProviderConfig, readConfig } from '../../src/config.ts'
import { Fault } from '../../src/errors.ts'
import { withLimits } from '../../src/extensions/limit.ts'
import type { Ask, Event, Events } from '../../src/gateway.ts'
import type { Route } from '../../src/pipeline/router.ts'
import { eventsIn } from '../harness/events.ts'
import { gate } from '../harness/scope.ts'

/** A provider's own limits: places, and requests a minute. */

function configOf(limits: object): Config {
  const place = { type: 'openai', baseUrl: 'https://llm.example.com/v1' }
  return readConfig({
    PROVIDER_CONFIG: JSON.stringify({ providers: { a: { ...place, ...limits }, b: { ...place, ...limits } } }),
  })
}

function build(limits: object) {
  const config = configOf(limits)
  const running: { end(): void; fail(error: Error): void }[] = []
  let most = 0
  let active = 0
  let nowMs = 0
  const translate = withLimits(
    async function* (): AsyncGenerator<Events> {
      const { opened, open } = gate()
      let failure: Error | undefined
      active += 1
      most = Math.max(most, active)
      running.push({
        end: open,
        fail(error) {
          failure = error
          open()
        },
      })
      try {
        yield [{ type: 'text-delta', text: 'a' }]
        await opened
        if (failure) throw failure
        yield [{ type: 'finish', reason: 'stop' }]
      } finally {
        active -= 1
      }
    },
    () => nowMs,
  )
  const ask: Ask = { kind: 'chat', messages: [] }
  const places: number[] = []
  const call = async (
    name: 'a' | 'b' = 'a',
    signal = new AbortController().signal,
    streaming = true,
  ): Promise<string> => {
    const provider = config.providers.get(name) as ProviderConfig
    const route: Route = { provider, target: { provider: name, model: 'm', baseUrl: provider.baseUrl, headers: {} } }
    const seen: string[] = []
    for await (const event of eventsIn(
      translate(ask, route, { signal, deadline: Number.POSITIVE_INFINITY, streaming }),
    ))
      if (event.type === 'queued') places.push(event.place)
      else seen.push(event.type)
    return seen.join()
  }
  return { call, running, places, most: () => most, active: () => active, advance: (ms: number) => (nowMs += ms) }
}

/** Lets everything happen that can. */
async function settled(): Promise<void> {
  for (let at = 0; at < 5; at++) await turn()
}

const isBusy = (error: unknown) =>
  error instanceof Fault &&
  error.code === 'busy' &&
  error.detail.retryable === true &&
  error.detail.provider === 'a' &&
  error.detail.model === 'm'

test('who does not watch waits as well, and is told no place', async () => {
  const { call, running, places, active } = build({ maxConcurrency: 1 })
  const calls = Array.from({ length: 3 }, () => call('a', undefined, false))
  await settled()
  assert.equal(active(), 1)
  for (let at = 0; at < 3; at++) {
    running[at]?.end()
    await settled()
  }
  assert.deepEqual(await Promise.all(calls), Array(3).fill('text-delta,finish'))
  assert.deepEqual(places, [])
})

test('without limits, calls run side by side', async () => {
  const { call, running, active } = build({})
  const calls = Array.from({ length: 20 }, () => call())
  await settled()
  assert.equal(active(), 20)
  for (const { end } of running) end()
  assert.deepEqual(new Set(await Promise.all(calls)), new Set(['text-delta,finish']))
})

test('maxConcurrency: no more at once, the others in turn, none lost', async () => {
  const { call, running, most } = build({ maxConcurrency: 3 })
  const calls = Array.from({ length: 10 }, () => call())
  for (let ended = 0; ended < 10; ended++) {
    await settled()
    assert.equal(running.length, Math.min(10, ended + 3))
    running[ended]?.end()
  }
  await Promise.all(calls)
  assert.equal(most(), 3)
})

test('each provider has places of its own', async () => {
  const { call, running } = build({ maxConcurrency: 1 })
  const calls = [call('a'), call('a'), call('b')]
  await settled()
  assert.equal(running.length, 2)
  for (const { end } of running) end()
  await settled()
  running[2]?.end()
  await Promise.all(calls)
})

test('a call that fails gives its place back', async () => {
  const { call, running } = build({ maxConcurrency: 1 })
  const failing = call()
  const next = call()
  await settled()
  running[0]?.fail(new Fault('network', 'down'))
  await assert.rejects(failing, Fault)
  await settled()
  running[1]?.end()
  assert.equal(await next, 'text-delta,finish')
})

test('a reader that leaves gives its place back', async () => {
  const config = configOf({ maxConcurrency: 1 })
  const provider = config.providers.get('a') as ProviderConfig
  const route: Route = { provider, target: { provider: 'a', model: 'm', baseUrl: '', headers: {} } }
  const translate = withLimits(
    async function* (): AsyncGenerator<Events> {
      for (;;) yield [{ type: 'text-delta', text: 'a' }]
    },
    () => 0,
  )
  for (let round = 0; round < 3; round++) {
    for await (const _ of translate({ kind: 'chat', messages: [] }, route, {
      signal: new AbortController().signal,
      deadline: 1,
      streaming: true,
    }))
      break
  }
})

test('a reader that leaves just as its place came free gives it back', async () => {
  const provider = configOf({ maxConcurrency: 1 }).providers.get('a') as ProviderConfig
  const route: Route = { provider, target: { provider: 'a', model: 'm', baseUrl: '', headers: {} } }
  const translate = withLimits(
    async function* (): AsyncGenerator<Events> {
      for (;;) yield [{ type: 'text-delta', text: 'a' }]
    },
    () => 0,
  )
  const begin = async () => {
    const { signal } = new AbortController()
    const events = translate({ kind: 'chat', messages: [] }, route, { signal, deadline: 1, streaming: true })
    return { events, first: (await events.next()).value?.[0]?.type }
  }
  const first = await begin()
  const second = await begin()
  assert.deepEqual([first.first, second.first], ['text-delta', 'queued'])
  await first.events.return?.()
  // The place is the second's by now, which has not asked for another event.
  await settled()
  await second.events.return?.()
  await settled()
  const third = await begin()
  assert.equal(third.first, 'text-delta')
  await third.events.return?.()
})

test('a call that is interrupted while it waits leaves at once, with the reason, and never runs', async () => {
  const { call, running } = build({ maxConcurrency: 1 })
  const first = call()
  await settled()
  const [byCaller, byDeadline] = [new AbortController(), new AbortController()]
  const waiting = [call('a', byCaller.signal), call('a', byDeadline.signal)]
  await settled()
  byCaller.abort()
  byDeadline.abort(new Fault('timeout', 'over', { cause: 'deadline' }))
  await assert.rejects(
    waiting[0] as Promise<string>,
    (error) => error instanceof Fault && error.code === 'unavailable' && error.detail.cause === 'cancelled',
  )
  await assert.rejects(waiting[1] as Promise<string>, (error) => error instanceof Fault && error.code === 'timeout')
  running[0]?.end()
  await first
  await settled()
  assert.equal(running.length, 1)
  const last = call()
  await settled()
  running[1]?.end()
  assert.equal(await last, 'text-delta,finish')
})

test('a call that was interrupted before it came does not run', async () => {
  const { call, running } = build({ maxConcurrency: 1 })
  await assert.rejects(call('a', AbortSignal.abort()), Fault)
  assert.equal(running.length, 0)
})

test('the queue is bounded: 256 wait, the next is busy and told when to come back', async () => {
  const { call, running } = build({ maxConcurrency: 1 })
  const calls = [call()]
  await settled()
  for (let at = 0; at < 256; at++) calls.push(call())
  await settled()
  await assert.rejects(call(), (error) => isBusy(error) && (error as Fault).detail.retryAfterMs !== undefined)
  for (let at = 0; at < calls.length; at++) {
    running[at]?.end()
    await settled()
  }
  assert.equal((await Promise.all(calls)).length, 257)
})

test('calls that come at once are let in where there are places for all of them', async () => {
  const { call, running } = build({ maxConcurrency: 1000 })
  const calls = Array.from({ length: 400 }, () => call())
  await settled()
  assert.equal(running.length, 400)
  for (const { end } of running) end()
  assert.equal((await Promise.all(calls)).length, 400)
})

test('callers that went away free the queue for others', async () => {
  const { call, running } = build({ maxConcurrency: 1 })
  const first = call()
  await settled()
  const controller = new AbortController()
  const gone = Array.from({ length: 256 }, () => call('a', controller.signal))
  await settled()
  controller.abort()
  await Promise.allSettled(gone)
  const next = call()
  next.catch(() => {})
  await settled()
  for (let at = 0; at < 2; at++) {
    running[at]?.end()
    await settled()
  }
  await first
  assert.equal(await next, 'text-delta,finish')
})

test('callers that come and go while one call lasts are not remembered without end', async () => {
  const { call, running } = build({ maxConcurrency: 1 })
  const first = call()
  await settled()
  const outcomes = new Set<string>()
  for (let round = 0; round < 50; round++) {
    const controller = new AbortController()
    const gone = Promise.allSettled(Array.from({ length: 250 }, () => call('a', controller.signal, false)))
    await turn()
    controller.abort()
    for (const outcome of await gone) if (outcome.status === 'rejected') outcomes.add((outcome.reason as Fault).code)
  }
  assert.deepEqual([...outcomes], ['unavailable', 'busy'])
  running[0]?.end()
  await first
  await settled()
  const next = call()
  await settled()
  running[1]?.end()
  assert.equal(await next, 'text-delta,finish')
})

test('requestsPerMinute: a burst of that many, then busy with the time until the next', async () => {
  const { call, running, advance } = build({ requestsPerMinute: 6 })
  const busyFor = (ms: number) => (error: unknown) =>
    isBusy(error) && Math.abs(((error as Fault).detail.retryAfterMs ?? 0) - ms) <= 1
  const calls = Array.from({ length: 6 }, () => call())
  await settled()
  await assert.rejects(call(), busyFor(10_000))
  advance(9_000)
  await assert.rejects(call(), busyFor(1_000))
  advance(1_001)
  calls.push(call())
  await settled()
  await assert.rejects(call(), isBusy)
  assert.equal(running.length, 7)
  // An hour of silence saves up no more than a minute's worth.
  advance(3_600_000)
  for (let at = 0; at < 6; at++) calls.push(call())
  await settled()
  await assert.rejects(call(), isBusy)
  for (const { end } of running) end()
  assert.equal((await Promise.all(calls)).length, 13)
})

test('each provider has requests of its own', async () => {
  const { call, running } = build({ requestsPerMinute: 1 })
  const calls = [call('a'), call('b')]
  await settled()
  await assert.rejects(call('a'), isBusy)
  for (const { end } of running) end()
  await Promise.all(calls)
})

test('who waits is told its place, and each time that it changes', async () => {
  const { call, running, places } = build({ maxConcurrency: 1 })
  const calls = [call()]
  await settled()
  calls.push(call())
  await settled()
  calls.push(call())
  await settled()
  for (let at = 0; at < 3; at++) {
    running[at]?.end()
    await settled()
  }
  await Promise.all(calls)
  assert.deepEqual(places, [1, 2, 1])
})

test('tokensPerMinute: counted by length before, by the provider after', async () => {
  const config = configOf({ tokensPerMinute: 100 })
  const provider = config.providers.get('a') as ProviderConfig
  const route: Route = { provider, target: { provider: 'a', model: 'm', baseUrl: provider.baseUrl, headers: {} } }
  let totalTokens = 10
  let nowMs = 0
  const translate = withLimits(
    async function* (): AsyncGenerator<Events> {
      yield [{ type: 'usage', usage: { promptTokens: 1, completionTokens: totalTokens - 1, totalTokens } }]
    },
    () => nowMs,
  )
  const attempted = { signal: new AbortController().signal, deadline: Number.POSITIVE_INFINITY, streaming: false }
  const call = async (chars: number, maxTokens?: number) => {
    const messages = [{ role: 'user' as const, content: [{ type: 'text' as const, text: 'a'.repeat(chars) }] }]
    for await (const _ of translate({ kind: 'chat', messages, maxTokens }, route, attempted));
  }
  // Estimated at 80, charged 10: ninety are left.
  await call(200, 30)
  await assert.rejects(call(364), (error) => isBusy(error) && (error as Fault).detail.retryAfterMs === 600)
  totalTokens = 150
  await call(4)
  // More was used than there was: it must be earned before anything else may go.
  await assert.rejects(call(4), (error) => isBusy(error) && (error as Fault).detail.retryAfterMs === 36_600)
  nowMs += 36_600
  totalTokens = 1
  await call(4)
  nowMs += 3_600_000
  // What alone is more than a minute's worth goes out when all is there, or never would.
  await call(4000)
})

/** A provider of limits whose calls come to what the test says. */
function scripted(limits: object, answer: (ask: Ask) => Event | Fault) {
  const provider = configOf(limits).providers.get('a') as ProviderConfig
  const route: Route = { provider, target: { provider: 'a', model: 'm', baseUrl: provider.baseUrl, headers: {} } }
  const translate = withLimits(
    async function* (ask): AsyncGenerator<Events> {
      const outcome = answer(ask)
      if (outcome instanceof Fault) throw outcome
      yield [outcome]
    },
    () => 0,
  )
  return async (ask: Ask = { kind: 'chat', messages: [] }, signal = new AbortController().signal): Promise<string> => {
    try {
      for await (const _ of translate(ask, route, { signal, deadline: 1, streaming: false }));
      return 'fine'
    } catch (error) {
      return (error as Fault).code
    }
  }
}

test('requestsPerMinute counts every request of a call, and none of a call that never left', async () => {
  const served: Event = { type: 'served', provider: 'a', model: 'm', attempts: 3 }
  const outcomes: (Event | Fault)[] = [
    new Fault('configuration', 'no key', { attempts: 0 }),
    served,
    new Fault('provider_error', 'down', { attempts: 2 }),
    served,
    served,
  ]
  const call = scripted({ requestsPerMinute: 8, tokensPerMinute: 100 }, () => outcomes.shift() as Event | Fault)
  const large: Ask = { kind: 'chat', messages: [], maxTokens: 100 }
  assert.equal(await call(large), 'configuration')
  assert.equal(await call(), 'fine')
  assert.equal(await call(), 'provider_error')
  assert.equal(await call(), 'fine')
  assert.equal(await call(), 'busy', 'after eight requests')
})

test('a call that is interrupted in the queue gives back what it has not used', async () => {
  const { call, running } = build({ maxConcurrency: 1, requestsPerMinute: 2 })
  const first = call()
  await settled()
  const controller = new AbortController()
  const gone = call('a', controller.signal)
  await settled()
  controller.abort()
  await assert.rejects(gone, Fault)
  const next = call()
  await settled()
  for (let at = 0; at < 2; at++) {
    running[at]?.end()
    await settled()
  }
  assert.deepEqual(await Promise.all([first, next]), Array(2).fill('text-delta,finish'))
})

test('a list of models waits for no place and uses nothing up', async () => {
  const listing = scripted({ maxConcurrency: 1, requestsPerMinute: 1 }, () => ({ type: 'finish', reason: 'stop' }))
  for (let at = 0; at < 3; at++) assert.equal(await listing({ kind: 'models', provider: 'a' }), 'fine')
  assert.equal(await listing(), 'fine')
  assert.equal(await listing(), 'busy')
})
