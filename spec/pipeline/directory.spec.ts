import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Fault } from '../../src/errors.ts'
import type { Event, ModelsAsk } from '../../src/gateway.ts'
import { createDirectory } from '../../src/pipeline/directory.ts'
import { oneByOne } from '../harness/events.ts'
import { gate } from '../harness/scope.ts'

/** Which models there are: asked once, page by page, and remembered for a while. */

type Page = { names: string[]; after?: string } | Fault
const never = new AbortController().signal

function build(pages: (ask: ModelsAsk, number: number) => Page) {
  const asks: ModelsAsk[] = []
  let nowMs = 0
  const directory = createDirectory(
    oneByOne(async function* (ask): AsyncGenerator<Event> {
      const page = pages(ask, asks.push(ask) - 1)
      if (page instanceof Fault) throw page
      for (const name of page.names) yield { type: 'model', model: { name } }
      if (page.after !== undefined) yield { type: 'next-page', after: page.after }
    }),
    () => nowMs,
  )
  return { directory, asks, advance: (ms: number) => (nowMs += ms) }
}

test('pages are followed to the last one', async () => {
  const { directory, asks } = build(({ after }) =>
    after === undefined
      ? { names: ['a', 'b'], after: 'b' }
      : after === 'b'
        ? { names: ['c'], after: 'c' }
        : { names: ['d'] },
  )
  const models = await directory.list('p', never)
  assert.deepEqual(
    models.map(({ name }) => name),
    ['a', 'b', 'c', 'd'],
  )
  assert.deepEqual(
    asks.map(({ after }) => after),
    [undefined, 'b', 'c'],
  )
})

test('a page that leads back to itself is the last', async () => {
  const { directory, asks } = build(() => ({ names: ['a'], after: 'a' }))
  assert.equal((await directory.list('p', never)).length, 1)
  assert.equal(asks.length, 2)
})

test('pages without end come to one', async () => {
  const { directory, asks } = build((_, number) => ({ names: [`m${number}`], after: `m${number}` }))
  assert.equal((await directory.list('p', never)).length, 50)
  assert.equal(asks.length, 50)
})

test('a list is remembered for five minutes, and asked for again on demand', async () => {
  const { directory, asks, advance } = build(() => ({ names: ['a'] }))
  await directory.list('p', never)
  await directory.list('p', never)
  assert.equal(asks.length, 1)
  await directory.list('p', never, true)
  assert.equal(asks.length, 2)
  advance(300_000)
  await directory.list('p', never)
  assert.equal(asks.length, 3)
})

test('names that could pass for sentences are left out', async () => {
  const { directory } = build(() => ({
    names: ['good/model-1:free', 'ignore all that', 'x'.repeat(129), '\u202eevil', ''],
  }))
  assert.deepEqual(
    (await directory.list('p', never)).map(({ name }) => name),
    ['good/model-1:free'],
  )
})

test('one that cannot say what it has is not asked at every call', async () => {
  const { directory, asks, advance } = build(() => new Fault('network', 'down'))
  assert.equal(await directory.holds('p', 'a', never), false)
  assert.deepEqual(await directory.like('p', 'a', never), [])
  assert.equal(asks.length, 1)
  assert.equal(asks[0]?.timeoutMs, 5000)
  advance(30_000)
  assert.equal(await directory.holds('p', 'a', never), false)
  assert.equal(asks.length, 2)
  await assert.rejects(directory.list('p', never), Fault)
})

test('the names most like a wrong one', async () => {
  const { directory } = build(() => ({ names: ['whisper-1', 'gpt-4o', 'gpt-4o-mini', 'gpt-4.1', 'dall-e-3'] }))
  assert.deepEqual(await directory.like('p', 'gpt-4p', never), ['gpt-4o', 'gpt-4.1', 'gpt-4o-mini'])
})

test('what is known is known without asking', async () => {
  const { directory, asks } = build(() => ({ names: ['a'] }))
  assert.equal(directory.known('p', 'a'), undefined)
  await directory.list('p', never)
  assert.deepEqual(directory.known('p', 'a'), { name: 'a' })
  assert.equal(asks.length, 1)
})

test('calls that come together wait for one lookup, and one that goes away takes it from nobody', async () => {
  const { opened, open } = gate()
  let asks = 0
  const directory = createDirectory(
    oneByOne(async function* (): AsyncGenerator<Event> {
      asks += 1
      await opened
      yield { type: 'model', model: { name: 'beta' } }
    }),
    () => 0,
  )
  const controller = new AbortController()
  const gone = directory.holds('p', 'beta', controller.signal)
  const others = [directory.holds('p', 'beta', never), directory.like('p', 'betta', never)]
  controller.abort(new Fault('unavailable', 'interrupted', { cause: 'cancelled' }))
  await assert.rejects(gone, Fault)
  await assert.rejects(directory.holds('p', 'beta', controller.signal), Fault)
  open()
  assert.deepEqual(await Promise.all(others), [true, ['beta']])
  assert.equal(asks, 1)
})

test('a lookup that has many pages has one time for all', async () => {
  const { directory, asks, advance } = build((_, number) => {
    advance(2_000)
    return { names: [`m${number}`], after: number < 3 ? `m${number}` : '' }
  })
  await directory.holds('p', 'm0', never)
  assert.deepEqual(
    asks.slice(0, 3).map(({ timeoutMs }) => timeoutMs),
    [5_000, 3_000, 1_000],
  )
})

test('what else a list says is short, visible and little', async () => {
  const directory = createDirectory(
    oneByOne(async function* (): AsyncGenerator<Event> {
      yield {
        type: 'model',
        model: { name: 'a', ownedBy: 'x'.repeat(1000), capabilities: ['vision', 'a sentence', '\u001b[2J'] },
      }
      yield {
        type: 'model',
        model: { name: 'b', ownedBy: 'Some Body', capabilities: Array.from({ length: 99 }, (_, at) => `c${at}`) },
      }
    }),
    () => 0,
  )
  const [a, b] = await directory.list('p', never)
  assert.deepEqual(a, { name: 'a', capabilities: ['vision'] })
  assert.equal(b?.ownedBy, 'Some Body')
  assert.equal(b?.capabilities?.length, 32)
})
