import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Fault } from '../../src/errors.ts'
import { readLines } from '../../src/http/ndjson.ts'

/** Bytes to JSON values, one a line, however the bytes are cut. */

async function valuesOf(chunks: readonly Uint8Array[]): Promise<unknown[]> {
  const seen: unknown[] = []
  for await (const values of readLines(stream(chunks))) {
    assert.ok(values.length > 0, 'an empty batch')
    seen.push(...values)
  }
  return seen
}

/** What came before a fault, and the fault. */
async function valuesAndFault(chunks: readonly Uint8Array[]): Promise<{ values: unknown[]; fault: unknown }> {
  const values: unknown[] = []
  try {
    for await (const batch of readLines(stream(chunks))) values.push(...batch)
  } catch (fault) {
    return { values, fault }
  }
  return { values, fault: undefined }
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

const cases: { name: string; text: string; values: unknown[] }[] = [
  { name: 'one line', text: '{"a":1}\n', values: [{ a: 1 }] },
  { name: 'two lines', text: '{"a":1}\n{"a":2}\n', values: [{ a: 1 }, { a: 2 }] },
  { name: 'CRLF', text: '{"a":1}\r\n{"a":2}\r\n', values: [{ a: 1 }, { a: 2 }] },
  { name: 'blank lines', text: '\n\r\n  \n{"a":1}\n\n\t\n{"a":2}\n\n', values: [{ a: 1 }, { a: 2 }] },
  { name: 'spaces around the JSON', text: ' {"a":1}\t \n', values: [{ a: 1 }] },
  { name: 'a byte order mark', text: '\ufeff{"a":1}\n', values: [{ a: 1 }] },
  {
    name: 'characters of two, three and four bytes',
    text: '{"a":"é€😀"}\n["é€😀"]\n',
    values: [{ a: 'é€😀' }, ['é€😀']],
  },
  { name: 'an escaped line feed', text: '{"a":"b\\nc"}\n', values: [{ a: 'b\nc' }] },
  { name: 'U+2028, which ends no line', text: '{"a":"b\u2028c"}\n', values: [{ a: 'b\u2028c' }] },
  { name: 'values that are no objects', text: 'null\n1\n"a"\n[]\nfalse\n', values: [null, 1, 'a', [], false] },
  { name: 'blank lines alone', text: '\n\r\n\n', values: [] },
  { name: 'a last line that lacks its end and is whole', text: '{"a":1}\n{"a":2}', values: [{ a: 1 }, { a: 2 }] },
  { name: 'a last line that is cut off', text: '{"a":1}\n{"a":', values: [{ a: 1 }] },
  { name: 'a last line that is cut off inside a word', text: '{"a":1}\ntru', values: [{ a: 1 }] },
  { name: 'a last line of spaces', text: '{"a":1}\n  ', values: [{ a: 1 }] },
]

for (const { name, text, values } of cases) {
  test(`${name}: whole, byte by byte, and cut in two at every place`, async () => {
    const whole = bytes(text)
    assert.deepEqual(await valuesOf([whole]), values)
    assert.deepEqual(await valuesOf(pieces(whole, 1)), values)
    for (let at = 0; at <= whole.length; at++) {
      assert.deepEqual(await valuesOf(cut(whole, [at])), values, `cut at ${at}`)
    }
  })
}

test('values of one chunk come together, and an empty chunk changes nothing', async () => {
  const empty = new Uint8Array()
  const batches: (readonly unknown[])[] = []
  for await (const values of readLines(stream([empty, bytes('1\n2\n3'), empty, bytes('4\n5'), bytes('\n')]))) {
    batches.push(values)
  }
  assert.deepEqual(batches, [[1, 2], [34], [5]])
})

test('any values, cut in any way, come out as they went in', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.jsonValue(), fc.constantFrom('\n', '\r\n', '\n\n', ' \n')), { maxLength: 8 }),
      fc.constantFrom('', '{"never', '"nev', '{"a":1,'),
      fc.array(fc.nat(400), { maxLength: 12 }),
      async (lines, tail, places) => {
        const texts = lines.map(([value, end]) => `${JSON.stringify(value)}${end}`)
        const expected = lines.map(([value]) => JSON.parse(JSON.stringify(value)))
        const whole = bytes(`${texts.join('')}${tail}`)
        if (whole.length === 0) return
        assert.deepEqual(await valuesOf(cut(whole, places)), expected)
        assert.deepEqual(await valuesOf(pieces(whole, 1)), expected)
      },
    ),
    { numRuns: 300 },
  )
})

const broken: { name: string; line: Uint8Array; code: string; cause: string }[] = [
  { name: 'half of an object', line: bytes('{"a":'), code: 'invalid_response', cause: 'bad_json' },
  { name: 'two values in a line', line: bytes('{} {}'), code: 'invalid_response', cause: 'bad_json' },
  { name: 'a server-sent event', line: bytes('data: {}'), code: 'invalid_response', cause: 'bad_json' },
  { name: 'a web page', line: bytes('<!DOCTYPE html>'), code: 'invalid_response', cause: 'bad_content_type' },
  {
    name: 'a byte that is in no UTF-8',
    line: Buffer.from([0x22, 0xff, 0x22]),
    code: 'invalid_response',
    cause: 'bad_encoding',
  },
  {
    name: 'half of a character',
    line: Buffer.from([0x22, 0xe2, 0x82, 0x22]),
    code: 'invalid_response',
    cause: 'bad_encoding',
  },
  {
    name: 'a character cut by the line',
    line: Buffer.from([0x22, 0xe2, 0x82]),
    code: 'invalid_response',
    cause: 'bad_encoding',
  },
  {
    name: 'half a surrogate pair',
    line: Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]),
    code: 'invalid_response',
    cause: 'bad_encoding',
  },
]

for (const { name, line, code, cause } of broken) {
  test(`${name} is ${cause}, behind the same values for every cut`, async () => {
    const whole = Buffer.concat([bytes('1\n2\n'), line, bytes('\n3\n')])
    for (const chunks of [[whole], pieces(whole, 1), ...Array.from(whole, (_, at) => cut(whole, [at]))]) {
      const { values, fault } = await valuesAndFault(chunks)
      assert.deepEqual(values, [1, 2])
      assert.ok(isFault(code, cause)(fault), String(fault))
    }
  })
}

test('a web page in a single line is told from an answer that was cut off', async () => {
  await assert.rejects(
    valuesOf([bytes('<html><body>Sign in</body></html>')]),
    isFault('invalid_response', 'bad_content_type'),
  )
})

test('a stream that ends inside a character is cut off like any other', async () => {
  assert.deepEqual(await valuesOf([bytes('1\n'), bytes('"€').subarray(0, -1)]), [1])
})

const mebibyte = 1024 * 1024
const quoted = (length: number) => Buffer.concat([bytes('"'), Buffer.alloc(length, 'x'), bytes('"')])

for (const size of [16 * 1024, 64 * 1024, mebibyte, 16 * mebibyte]) {
  test(`a line of 3 MiB passes, one of 6 MiB is too large, in pieces of ${size}`, async () => {
    const [passed] = await valuesOf(pieces(Buffer.concat([quoted(3 * mebibyte), bytes('\n')]), size))
    assert.equal((passed as string).length, 3 * mebibyte)
    for (const end of ['\n', '']) {
      const { values, fault } = await valuesAndFault(
        pieces(Buffer.concat([bytes('1\n'), quoted(6 * mebibyte), bytes(end)]), size),
      )
      assert.deepEqual(values, [1])
      assert.ok(isFault('too_large')(fault), String(fault))
    }
  })
}

test('long lines behind each other do not run into each other', async () => {
  const lines = ['x', 'y', 'x'].map((letter, at) => letter.repeat((3 - at) * 1500))
  assert.deepEqual(await valuesOf(pieces(bytes(lines.map((line) => `"${line}"\n`).join('')), 700)), lines)
})

test('a line that never ends is too large, and costs linear time', async () => {
  async function* endless() {
    yield bytes('"')
    for (let at = 0; at < 1_000_000; at++) yield bytes('xxxxxxxxxxxxxxxx')
  }
  await assert.rejects(async () => {
    for await (const _ of readLines(endless()));
  }, isFault('too_large'))
})

for (const [name, line] of [
  ['values', `"${'x'.repeat(125)}"\n`],
  ['blank lines', `${' '.repeat(127)}\n`],
] as const) {
  test(`a stream of 65 MiB of ${name} is too large`, async () => {
    const chunk = Buffer.alloc(mebibyte, line)
    async function* much() {
      for (let at = 0; at < 65; at++) yield chunk
    }
    await assert.rejects(async () => {
      for await (const _ of readLines(much()));
    }, isFault('too_large'))
  })
}

test('a fault of the body goes through, and a reader that leaves ends the body', async () => {
  let ended = false
  async function* body() {
    try {
      yield bytes('1\n')
      throw new Fault('network', 'cut', { cause: 'reset' })
    } finally {
      ended = true
    }
  }
  await assert.rejects(
    async () => {
      for await (const _ of readLines(body()));
    },
    isFault('network', 'reset'),
  )
  ended = false
  for await (const _ of readLines(body())) break
  assert.equal(ended, true)
})

test('nothing at all is no answer', async () => {
  for (const chunks of [[], [new Uint8Array()]]) {
    await assert.rejects(valuesOf(chunks), (fault) => fault instanceof Fault && fault.detail.cause === 'empty')
  }
})
