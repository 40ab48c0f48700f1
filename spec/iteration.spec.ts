import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ending, mapped, opening, rescued } from '../src/iteration.ts'

/** Values, and then the error, if one is given; notes that it was left. */
function source(values: readonly number[], error?: Error) {
  const noted = { left: 0, asked: 0 }
  const left = [...values]
  const iterator: AsyncIterator<number> = {
    async next() {
      noted.asked += 1
      const value = left.shift()
      if (value !== undefined) return { done: false, value }
      if (error) throw error
      return { done: true, value: undefined }
    },
    async return() {
      noted.left += 1
      return { done: true, value: undefined }
    },
  }
  return { iterator, noted }
}

async function collect<T>(values: AsyncIterable<T>) {
  const all: T[] = []
  try {
    for await (const value of values) all.push(value)
  } catch (error) {
    return { all, error }
  }
  return { all }
}

const fault = new Error('lost')
const odd = (value: number) => (value % 2 === 1 ? `${value}` : undefined)

describe('mapped', () => {
  const cases: [string, number[], Error | undefined, string | undefined, string[]][] = [
    ['leaves out what is mapped to nothing', [1, 2, 3, 4], undefined, undefined, ['1', '3']],
    ['says at the end what is left to say', [2, 3], undefined, 'rest', ['3', 'rest']],
    ['says it before an error, too', [1], fault, 'rest', ['1', 'rest']],
    ['has nothing to say before an error', [1, 2], fault, undefined, ['1']],
    ['is empty where nothing comes', [], undefined, undefined, []],
  ]
  for (const [name, values, error, rest, all] of cases) {
    test(name, async () => {
      const events = mapped(source(values, error).iterator, odd, () => rest)
      assert.deepEqual(await collect(events), error ? { all, error } : { all })
    })
  }

  test('does not ask again for what is over', async () => {
    const { iterator, noted } = source([1])
    const events = mapped(iterator, odd, () => 'rest')
    await collect(events)
    assert.equal(noted.asked, 2)
    assert.equal((await events.next()).done, true)
    assert.equal(noted.asked, 2)
  })

  test('leaves what it cannot map', async () => {
    const { iterator, noted } = source([1, 2])
    const events = mapped(
      iterator,
      () => {
        throw fault
      },
      () => 'rest',
    )
    assert.deepEqual(await collect(events), { all: [], error: fault })
    assert.deepEqual(noted, { asked: 1, left: 1 })
  })

  test('tells why it leaves, even where it cannot', async () => {
    const { iterator } = source([1])
    const reluctant = { ...iterator, return: () => Promise.reject(new Error('cannot be left')) }
    const events = mapped(
      reluctant,
      () => {
        throw fault
      },
      () => undefined,
    )
    assert.deepEqual(await collect(events), { all: [], error: fault })
  })

  test('is left with what it maps', async () => {
    const { iterator, noted } = source([1, 3])
    for await (const _ of mapped(iterator, odd, () => undefined)) break
    assert.deepEqual(noted, { asked: 1, left: 1 })
  })
})

describe('opening', () => {
  test('opens when the first value is asked for, once', async () => {
    let opened = 0
    const events = opening(async () => {
      opened += 1
      return source([1, 2]).iterator
    })
    assert.equal(opened, 0)
    assert.deepEqual(await collect(events), { all: [1, 2] })
    assert.equal(opened, 1)
  })

  test('fails as its opening does', async () => {
    assert.deepEqual(await collect(opening(() => Promise.reject(fault))), { all: [], error: fault })
  })

  test('is left with what was opened, if it was', async () => {
    const { iterator, noted } = source([1, 2])
    for await (const _ of opening(async () => iterator)) break
    assert.equal(noted.left, 1)
    assert.deepEqual(await opening(() => Promise.reject(fault)).return?.(), { done: true, value: undefined })
  })
})

describe('rescued', () => {
  test('puts another error in the place of one, and leaves values as they are', async () => {
    const other = new Error('found')
    const events = rescued(source([1, 2], fault).iterator, (error) => {
      assert.equal(error, fault)
      throw other
    })
    assert.deepEqual(await collect(events), { all: [1, 2], error: other })
  })

  test('is left with its values', async () => {
    const { iterator, noted } = source([1, 2])
    for await (const _ of rescued(iterator, () => assert.fail())) break
    assert.equal(noted.left, 1)
  })
})

test('ending tells of an end once the values are over, lost or left', async () => {
  let ends = 0
  const end = () => {
    ends += 1
  }
  assert.deepEqual(await collect(ending(source([1]).iterator, end)), { all: [1] })
  assert.equal(ends, 1)
  assert.deepEqual(await collect(ending(source([1], fault).iterator, end)), { all: [1], error: fault })
  assert.equal(ends, 2)
  for await (const _ of ending(source([1, 2]).iterator, end)) break
  assert.equal(ends, 3)
})
