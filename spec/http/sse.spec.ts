import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Fault } from '../../src/errors.ts'
import { readEvents } from '../../src/http/sse.ts'

/** Bytes to server-sent events, as the WHATWG standard has it, however the bytes are cut. */

type Seen = { event?: string; data: string }

async function eventsOf(chunks: readonly Uint8Array[]): Promise<Seen[]> {
  const seen: Seen[] = []
  for await (const events of readEvents(stream(chunks))) {
    for (const { event, data } of events) seen.push(event === undefined ? { data } : { event, data })
  }
  return seen
}

async function* stream(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks
}

const bytes = (text: string) => Buffer.from(text, 'utf8')

/** The bytes cut behind each of the places. */
function cut(whole: Uint8Array, places: readonly number[]): Uint8Array[] {
  const ends = [...new Set(places.map((place) => Math.min(place, whole.length)))].sort((a, b) => a - b)
  return [0, ...ends].map((start, at) => whole.subarray(start, ends[at] ?? whole.length))
}

function pieces(whole: Uint8Array, size: number): Uint8Array[] {
  return Array.from({ length: Math.ceil(whole.length / size) }, (_, at) => whole.subarray(at * size, (at + 1) * size))
}

const isFault = (code: string, cause?: string) => (error: unknown) =>
  error instanceof Fault && error.code === code && (cause === undefined || error.detail.cause === cause)

const cases: { name: string; text: string; events: Seen[] }[] = [
  { name: 'one event', text: 'data: a\n\n', events: [{ data: 'a' }] },
  { name: 'no space behind the colon', text: 'data:a\n\n', events: [{ data: 'a' }] },
  { name: 'only one space is taken away', text: 'data:  a \n\n', events: [{ data: ' a ' }] },
  { name: 'lines of data are joined', text: 'data: a\ndata:\ndata: b\n\n', events: [{ data: 'a\n\nb' }] },
  { name: 'a field without a colon', text: 'data\n\n', events: [{ data: '' }] },
  { name: 'CRLF', text: 'data: a\r\n\r\ndata: b\r\n\r\n', events: [{ data: 'a' }, { data: 'b' }] },
  { name: 'CR', text: 'data: a\r\rdata: b\r\r', events: [{ data: 'a' }, { data: 'b' }] },
  {
    name: 'CR, LF and CRLF mixed',
    text: 'data: a\r\n\ndata: b\n\r\ndata: c\r\r',
    events: ['a', 'b', 'c'].map((data) => ({ data })),
  },
  { name: 'a comment', text: ': OPENROUTER PROCESSING\n\ndata: a\n\n', events: [{ data: 'a' }] },
  { name: 'a comment inside an event', text: 'data: a\n: keep-alive\ndata: b\n\n', events: [{ data: 'a\nb' }] },
  {
    name: 'unknown fields',
    text: 'foo: bar\nid: 1\nretry: 10\nretry: x\ndata: a\nDATA: b\n data: c\n\n',
    events: [{ data: 'a' }],
  },
  {
    name: 'a named event',
    text: 'event: error\ndata: {}\n\ndata: a\n\n',
    events: [{ event: 'error', data: '{}' }, { data: 'a' }],
  },
  { name: 'a name that comes last', text: 'data: {}\nevent: error\n\n', events: [{ event: 'error', data: '{}' }] },
  { name: 'an event without data is none', text: 'event: ping\n\ndata: a\n\n', events: [{ data: 'a' }] },
  { name: 'a byte order mark', text: '\ufeffdata: a\n\n', events: [{ data: 'a' }] },
  { name: 'many blank lines', text: '\n\n\ndata: a\n\n\n\n', events: [{ data: 'a' }] },
  { name: 'characters of two, three and four bytes', text: 'data: é€😀\n\n', events: [{ data: 'é€😀' }] },
  { name: 'spaces behind the JSON', text: 'data: {"a":1}   \n\n', events: [{ data: '{"a":1}   ' }] },
  { name: 'an event that lacks its blank line', text: 'data: a\n\ndata: b\n', events: [{ data: 'a' }] },
  { name: 'an event that lacks its line end', text: 'data: a\n\ndata: b', events: [{ data: 'a' }] },
  { name: 'an event that lacks the second CR', text: 'data: a\r\rdata: b\r', events: [{ data: 'a' }] },
  { name: 'an event that ends with CRLF and CR', text: 'data: a\r\n\r', events: [{ data: 'a' }] },
  { name: 'an event that lacks all but its name', text: 'data: a\n\neven', events: [{ data: 'a' }] },
]

for (const { name, text, events } of cases) {
  test(`${name}: whole, byte by byte, and cut in two at every place`, async () => {
    const whole = bytes(text)
    assert.deepEqual(await eventsOf([whole]), events)
    assert.deepEqual(await eventsOf(pieces(whole, 1)), events)
    for (let at = 0; at <= whole.length; at++) {
      assert.deepEqual(await eventsOf(cut(whole, [at])), events, `cut at ${at}`)
    }
  })
}

test('an empty chunk changes nothing', async () => {
  const empty = new Uint8Array()
  assert.deepEqual(await eventsOf([empty, bytes('data: a\r'), empty, bytes('\n\r\n'), empty]), [{ data: 'a' }])
})

const lineText = fc
  .string({ unit: 'binary', maxLength: 12 })
  .map((text) => text.replace(/[\r\n\ufeff]/g, '·').toWellFormed())
const eol = fc.constantFrom('\n', '\r', '\r\n')
const noise = fc.oneof(
  lineText.map((text) => `:${text}`),
  lineText.map((text) => `x-${text.replaceAll(':', '')}: ${text}`),
  fc.constantFrom('id: 7', 'retry: 100', 'DATA: no', 'data-more: no'),
)
const block = fc.record({
  name: fc.option(fc.constantFrom('error', 'message_start', 'ping'), { nil: undefined }),
  data: fc.array(lineText, { minLength: 1, maxLength: 3 }),
  noise: fc.array(noise, { maxLength: 2 }),
  spaced: fc.boolean(),
  end: eol,
})

test('any corpus, cut in any way, gives the same events', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(block, { maxLength: 6 }),
      fc.boolean(),
      fc.constantFrom('', 'data: never', 'event: x\ndata: never\n', ': comment'),
      fc.array(fc.nat(400), { maxLength: 12 }),
      async (blocks, marked, tail, places) => {
        const text = blocks
          .map(({ name, data, noise: extra, spaced, end }) =>
            [
              ...(name === undefined ? [] : [`event:${spaced ? ' ' : ''}${name}`]),
              ...extra,
              ...data.map((line) => `data:${spaced || line.startsWith(' ') ? ' ' : ''}${line}`),
              '',
              '',
            ].join(end),
          )
          .join('')
        const expected = blocks.map(({ name, data }) => ({
          ...(name === undefined ? {} : { event: name }),
          data: data.join('\n'),
        }))
        const whole = bytes(`${marked ? '\ufeff' : ''}${text}${tail}`)
        if (whole.length === 0) return
        assert.deepEqual(await eventsOf(cut(whole, places)), expected)
        assert.deepEqual(await eventsOf(pieces(whole, 1)), expected)
      },
    ),
    { numRuns: 200 },
  )
})

const mebibyte = 1024 * 1024

for (const size of [16 * 1024, 64 * 1024, mebibyte]) {
  test(`an event of 3 MiB passes, one of 6 MiB is too large, in pieces of ${size}`, async () => {
    const event = (length: number) => Buffer.concat([bytes('data: '), Buffer.alloc(length, 'x'), bytes('\n\n')])
    const [passed] = await eventsOf(pieces(event(3 * mebibyte), size))
    assert.equal(passed?.data.length, 3 * mebibyte)
    await assert.rejects(eventsOf(pieces(event(6 * mebibyte), size)), isFault('too_large'))
  })
}

test('an event of 6 MiB is too large in one piece as well', async () => {
  await assert.rejects(
    eventsOf([Buffer.concat([bytes('data: '), Buffer.alloc(6 * mebibyte, 'x'), bytes('\n\n')])]),
    isFault('too_large'),
  )
})

test('events that came before one that is too large are delivered, however the bytes are cut', async () => {
  const whole = Buffer.concat([bytes('data: a\n\ndata: '), Buffer.alloc(6 * mebibyte, 'x'), bytes('\n\ndata: b\n\n')])
  for (const chunks of [[whole], pieces(whole, mebibyte)]) {
    const seen: string[] = []
    await assert.rejects(async () => {
      for await (const events of readEvents(stream(chunks))) seen.push(...events.map(({ data }) => data))
    }, isFault('too_large'))
    assert.deepEqual(seen, ['a'])
  }
})

test('an event of many short lines is too large', async () => {
  const lines = Buffer.concat(Array.from({ length: 1024 }, () => bytes(`data: ${'x'.repeat(1017)}\n`)))
  await assert.rejects(eventsOf(Array.from({ length: 6 }, () => lines)), isFault('too_large'))
})

test('a line that never ends is too large, and costs linear time', async () => {
  const sixteen = bytes('x'.repeat(16))
  async function* endless() {
    yield bytes('data: ')
    for (let at = 0; at < 400_000; at++) yield sixteen
  }
  await assert.rejects(async () => {
    for await (const _ of readEvents(endless()));
  }, isFault('too_large'))
})

for (const [name, line] of [
  ['events', `data: ${'x'.repeat(1000)}\n\n`],
  ['comments', ': keep-alive\n'],
] as const) {
  test(`a stream of 65 MiB of ${name} is too large`, async () => {
    const chunk = Buffer.alloc(mebibyte, line)
    async function* much() {
      for (let at = 0; at < 65; at++) yield chunk
    }
    await assert.rejects(async () => {
      for await (const _ of readEvents(much()));
    }, isFault('too_large'))
  })
}

const broken: [string, number[]][] = [
  ['a byte that is in no UTF-8', [0xff]],
  ['a continuation that continues nothing', [0x80]],
  ['a sequence that is cut off by ASCII', [0xe2, 0x82, 0x41]],
  ['a slash spelled in two bytes', [0xc0, 0xaf]],
  ['half a surrogate pair', [0xed, 0xa0, 0x80]],
  ['a code point beyond the last', [0xf4, 0x90, 0x80, 0x80]],
]
for (const [name, bad] of broken) {
  test(`${name} is bad_encoding, never U+FFFD`, async () => {
    const whole = Buffer.concat([bytes('data: a\n\ndata: '), Buffer.from(bad), bytes('\n\n')])
    for (const chunks of [[whole], pieces(whole, 1)]) {
      await assert.rejects(eventsOf(chunks), isFault('invalid_response', 'bad_encoding'))
    }
  })
}

test('a stream that ends inside a character is bad_encoding', async () => {
  const chunks = [bytes('data: a\n\n'), bytes('data: €').subarray(0, -1)]
  await assert.rejects(eventsOf(chunks), isFault('invalid_response', 'bad_encoding'))
})

test('events that came before the broken bytes are delivered', async () => {
  const seen: string[] = []
  await assert.rejects(async () => {
    for await (const events of readEvents(stream([bytes('data: a\n\n'), Buffer.from([0xff])]))) {
      seen.push(...events.map(({ data }) => data))
    }
  }, isFault('invalid_response'))
  assert.deepEqual(seen, ['a'])
})

test('a fault of the body goes through, and a reader that leaves ends the body', async () => {
  let ended = false
  async function* body() {
    try {
      yield bytes('data: a\n\n')
      throw new Fault('truncated', 'cut', { cause: 'reset' })
    } finally {
      ended = true
    }
  }
  await assert.rejects(
    async () => {
      for await (const _ of readEvents(body()));
    },
    isFault('truncated', 'reset'),
  )
  ended = false
  for await (const _ of readEvents(body())) break
  assert.equal(ended, true)
})

test('nothing at all is no answer', async () => {
  for (const chunks of [[], [new Uint8Array()]]) {
    await assert.rejects(eventsOf(chunks), (fault) => fault instanceof Fault && fault.detail.cause === 'empty')
  }
})

test('an event that the end cuts off counts where it is the one that ends the answer, and only there', async () => {
  const isEnd = (data: string) => data === 'end'
  const whole = bytes('data: a\n\ndata: end')
  for (let at = 0; at <= whole.length; at++) {
    const seen: string[] = []
    for await (const events of readEvents(stream(cut(whole, [at])), isEnd)) seen.push(...events.map(({ data }) => data))
    assert.deepEqual(seen, ['a', 'end'])
  }
  for (const text of ['data: a\n\ndata: en', 'data: a\n\ndata: b', 'data: a\n\ndata: b\n']) {
    const seen: string[] = []
    for await (const events of readEvents(stream([bytes(text)]), isEnd)) seen.push(...events.map(({ data }) => data))
    assert.deepEqual(seen, ['a'])
  }
})

/** Chunks, and how often they were left; leaving them fails. */
function reluctant(chunks: readonly string[]) {
  const left = [...chunks]
  const noted = { left: 0 }
  const iterator: AsyncIterator<Uint8Array> = {
    async next() {
      const chunk = left.shift()
      return chunk === undefined
        ? { done: true, value: undefined }
        : { done: false, value: Buffer.from(chunk, 'latin1') }
    },
    async return() {
      noted.left += 1
      throw new Error('cannot be left')
    },
  }
  return { body: { [Symbol.asyncIterator]: () => iterator }, noted }
}

test('a fault is told where the body cannot even be left, and is the end', async () => {
  const { body, noted } = reluctant(['data: a\n\n\xff', 'data: b\n\n'])
  const events = readEvents(body)
  assert.deepEqual((await events.next()).value, [{ event: undefined, data: 'a' }])
  await assert.rejects(events.next(), /not UTF-8/)
  assert.deepEqual(await events.next(), { done: true, value: undefined })
  assert.equal(noted.left, 1)
})

test('who leaves the events gets no more of them', async () => {
  const { body } = reluctant(['data: a\n\n', 'data: b\n\n'])
  const events = readEvents(body)
  await events.next()
  await assert.rejects(async () => events.return?.(), /cannot be left/)
  assert.deepEqual(await events.next(), { done: true, value: undefined })
})

test('chunks without an event are passed over, however many', async () => {
  const count = 20_000
  const { body } = reluctant([...Array(count).fill(': still here\n\n'), 'data: a\n\n'])
  const events = readEvents(body)
  assert.deepEqual((await events.next()).value, [{ event: undefined, data: 'a' }])
  assert.equal((await events.next()).done, true)
})
