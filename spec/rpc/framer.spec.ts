import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { createFramer, type FramerLimits, parseFrame } from '../../src/rpc/framer.ts'

/** A frame as a test writes it: the value, or the code and the id that was saved. */
type Seen = { value: unknown } | { code: number; id?: string | number }

const kib = 1024
const mib = 1024 * kib
/** Small enough to be exceeded often, large enough for the 4 KiB in which an id is looked for. */
const small: FramerLimits = { maxLineBytes: 5_000, maxDepth: 8, maxMembers: 500 }

function read(chunks: readonly (string | Uint8Array)[], limits?: FramerLimits): Seen[] {
  const seen: Seen[] = []
  const framer = createFramer((frame) => {
    if ('value' in frame) seen.push({ value: frame.value })
    else seen.push({ code: frame.error.code, ...(frame.id === undefined ? {} : { id: frame.id }) })
  }, limits)
  // Copies: what is pushed belongs to the framer.
  for (const chunk of chunks) framer.push(bytes(chunk))
  framer.end()
  return seen
}

const bom = Uint8Array.of(0xef, 0xbb, 0xbf)
const nested = (depth: number, inner = '') => '['.repeat(depth) + inner + ']'.repeat(depth)
const raw = (...values: number[]) => Uint8Array.from(values)
const bytes = (...parts: (string | Uint8Array)[]) => Buffer.concat(parts.map((part) => Buffer.from(part)))

const cases: { name: string; input: string | Uint8Array; limits?: FramerLimits; expected: Seen[] }[] = [
  { name: 'nothing at all', input: '', expected: [] },
  { name: 'one message a line', input: '{"a":1}\n{"b":2}\n', expected: [{ value: { a: 1 } }, { value: { b: 2 } }] },
  { name: 'any JSON value is a frame', input: 'null\n42\n"x"\n[]\n', expected: [null, 42, 'x', []].map(asValue) },
  { name: 'CRLF', input: '{"a":1}\r\n{"b":2}\r\n', expected: [{ value: { a: 1 } }, { value: { b: 2 } }] },
  { name: 'blank lines are nothing', input: '\n\r\n \t \n{"a":1}\n\n', expected: [{ value: { a: 1 } }] },
  { name: 'spaces around a message', input: '  {"a":1}\t\n', expected: [{ value: { a: 1 } }] },
  {
    name: 'a lone CR ends no line',
    input: '{"a":1}\r{"b":2}\n{"c":3}\n',
    expected: [{ code: -32700 }, { value: { c: 3 } }],
  },
  { name: 'a lone CR is white space inside a message', input: '{"a":\r1}\n', expected: [{ value: { a: 1 } }] },
  {
    name: 'U+2028 and U+0085 end no line',
    input: '{"a":"\u2028\u0085"}\n',
    expected: [{ value: { a: '\u2028\u0085' } }],
  },
  {
    name: 'a last line without newline counts',
    input: '{"a":1}\n{"b":2}',
    expected: [{ value: { a: 1 } }, { value: { b: 2 } }],
  },
  { name: 'a last line that is cut off', input: '{"a":1}\n{"b":', expected: [{ value: { a: 1 } }, { code: -32700 }] },
  { name: 'a BOM at the start is taken off', input: bytes(bom, '{"a":1}\n'), expected: [{ value: { a: 1 } }] },
  { name: 'a BOM alone on the first line', input: bytes(bom, '\n{"a":1}\n'), expected: [{ value: { a: 1 } }] },
  {
    name: 'a second BOM at the start',
    input: bytes(bom, bom, '{"a":1}\n{}\n'),
    expected: [{ code: -32700 }, { value: {} }],
  },
  {
    name: 'a later BOM',
    input: bytes('{"a":1}\n', bom, '{"b":2}\n{}\n'),
    expected: [{ value: { a: 1 } }, { code: -32700 }, { value: {} }],
  },
  { name: 'a BOM inside a string stays', input: '{"a":"\ufeffb"}\n', expected: [{ value: { a: '\ufeffb' } }] },
  { name: 'garbage', input: 'hello\n{"a":1}\n', expected: [{ code: -32700 }, { value: { a: 1 } }] },
  { name: 'garbage that holds an id', input: '{"id":7,"method":\n', expected: [{ code: -32700 }] },
  { name: 'two messages on a line', input: '{"a":1}{"b":2}\n', expected: [{ code: -32700 }] },
  { name: 'NUL before a message', input: '\0{"a":1}\n', expected: [{ code: -32700 }] },
  { name: 'a control character in a string', input: '{"a":"\u0001"}\n', expected: [{ code: -32700 }] },
  {
    name: 'invalid UTF-8 in a string',
    input: bytes('{"id":1,"a":"', raw(0xff), '"}\n{}\n'),
    expected: [{ code: -32700 }, { value: {} }],
  },
  {
    name: 'a code point cut short by the newline',
    input: bytes('{"a":"', raw(0xe2, 0x82), '\n{}\n'),
    expected: [{ code: -32700 }, { value: {} }],
  },
  { name: 'an overlong spelling', input: bytes('{"a":"', raw(0xc0, 0xaf), '"}\n'), expected: [{ code: -32700 }] },
  {
    name: 'a surrogate as three bytes',
    input: bytes('{"a":"', raw(0xed, 0xa0, 0x80), '"}\n'),
    expected: [{ code: -32700 }],
  },
  { name: 'an escaped lone surrogate is JSON', input: '{"a":"\\ud800"}\n', expected: [{ value: { a: '\ud800' } }] },
  { name: 'duplicate keys: the last wins', input: '{"a":1,"a":2}\n', expected: [{ value: { a: 2 } }] },
  { name: 'the deepest message', input: `${nested(8)}\n`, limits: small, expected: [{ value: [[[[[[[[]]]]]]]] }] },
  {
    name: 'one level too deep',
    input: `${nested(9)}\n{}\n`,
    limits: small,
    expected: [{ code: -32600 }, { value: {} }],
  },
  {
    name: 'too deep, id saved',
    input: `{"id":"x","a":${nested(8)}}\n`,
    limits: small,
    expected: [{ code: -32600, id: 'x' }],
  },
  {
    name: 'objects count like arrays',
    input: `${'{"a":'.repeat(9)}1${'}'.repeat(9)}\n`,
    limits: small,
    expected: [{ code: -32600 }],
  },
  {
    name: 'brackets in strings do not count',
    input: `{"a":"${'[{'.repeat(99)}"}\n`,
    limits: small,
    expected: [{ value: { a: '[{'.repeat(99) } }],
  },
  {
    name: 'brackets behind escaped quotes do not count',
    input: `{"a":"\\"${'['.repeat(99)}\\\\","b":"${'x'.repeat(99)}\\\\\\"${'['.repeat(99)}"}\n`,
    limits: small,
    expected: [{ value: { a: `"${'['.repeat(99)}\\`, b: `${'x'.repeat(99)}\\"${'['.repeat(99)}` } }],
  },
  {
    name: 'a hundred thousand levels',
    input: `{"id":3,"params":${nested(100_000)}}\n{}\n`,
    expected: [{ code: -32600, id: 3 }, { value: {} }],
  },
  {
    name: 'a line of just the limit',
    input: `"${'x'.repeat(4_998)}"\n`,
    limits: small,
    expected: [{ value: 'x'.repeat(4_998) }],
  },
  {
    name: 'a line of one byte more',
    input: `"${'x'.repeat(4_999)}"\n{}\n`,
    limits: small,
    expected: [{ code: -32600 }, { value: {} }],
  },
  { name: 'too long and without newline', input: '['.repeat(9_999), limits: small, expected: [{ code: -32600 }] },
  {
    name: 'two long lines in a row',
    input: `${'x'.repeat(9_999)}\n${'y'.repeat(9_999)}\n{}`,
    limits: small,
    expected: [{ code: -32600 }, { code: -32600 }, { value: {} }],
  },
]

function asValue(value: unknown): Seen {
  return { value }
}

describe('bytes become frames', () => {
  for (const { name, input, limits, expected } of cases) {
    test(name, () => {
      assert.deepEqual(read([input], limits), expected)
      const whole = bytes(input)
      const single = whole.length > 20_000 ? [whole] : [...whole].map((byte) => Uint8Array.of(byte))
      assert.deepEqual(read(single, limits), expected)
    })
  }
})

describe('the id of a line that is too long is saved', () => {
  const long = 'x'.repeat(6_000)
  const saved: { name: string; line: string; id?: string | number }[] = [
    { name: 'number', line: `{"jsonrpc":"2.0","id":12,"method":"tools/call","params":{"a":"${long}"}}`, id: 12 },
    { name: 'zero', line: `{"id":0,"a":"${long}"}`, id: 0 },
    { name: 'negative', line: `{"id":-4,"a":"${long}"}`, id: -4 },
    { name: 'string', line: `{"id":"call-1","a":"${long}"}`, id: 'call-1' },
    { name: 'empty string', line: `{"id":"","a":"${long}"}`, id: '' },
    { name: 'string with escapes and other alphabets', line: `{"id":"\\u00e9 \\"ü 漢","a":"${long}"}`, id: 'é "ü 漢' },
    { name: 'white space around it', line: `  { "method" : "m" , "id" : 5 , "a":"${long}"}`, id: 5 },
    { name: 'behind other scalars', line: `{"a":1e3,"b":true,"c":null,"d":"e","id":6,"f":"${long}"}`, id: 6 },
    { name: 'just inside the 4 KiB', line: `{"a":"${'y'.repeat(4_000)}","id":8,"b":"${long}"}`, id: 8 },
    { name: 'null is none', line: `{"id":null,"a":"${long}"}` },
    { name: 'a fraction is none', line: `{"id":1.5,"a":"${long}"}` },
    { name: 'an unsafe integer is none', line: `{"id":9007199254740993,"a":"${long}"}` },
    { name: 'an inner id is none', line: `{"params":{"id":9},"a":"${long}"}` },
    { name: 'an id in a string is none', line: `{"a":"\\"id\\":9,","b":"${long}"}` },
    { name: 'beyond the 4 KiB', line: `{"a":"${'y'.repeat(4_096)}","id":8,"b":"${long}"}` },
    { name: 'none at all', line: long },
  ]
  for (const { name, line, id } of saved) {
    test(name, () => {
      const rejected = { code: -32600, ...(id === undefined ? {} : { id }) }
      assert.deepEqual(read([`${line}\n{"next":1}\n`], small), [rejected, { value: { next: 1 } }])
    })
  }
})

describe('the cut between chunks does not matter', () => {
  const text = fc.string({ unit: 'binary', maxLength: 40 })
  const line = fc.oneof(
    { weight: 6, arbitrary: fc.json({ maxDepth: 6, stringUnit: 'binary' }).map((json) => Buffer.from(json)) },
    { weight: 2, arbitrary: text.map((a) => Buffer.from(JSON.stringify({ id: a.length, a }))) },
    { weight: 1, arbitrary: fc.constantFrom('', ' ', '\t').map((blank) => Buffer.from(blank)) },
    { weight: 1, arbitrary: text.map((a) => Buffer.from(a.replaceAll('\n', ' '))) },
    {
      weight: 1,
      arbitrary: fc.uint8Array({ maxLength: 30 }).map((raw) => Buffer.from(raw.filter((byte) => byte !== 10))),
    },
    { weight: 1, arbitrary: fc.constant(Buffer.from(bom)) },
    { weight: 1, arbitrary: fc.nat(12).map((depth) => Buffer.from(nested(depth, '"]"'))) },
    { weight: 1, arbitrary: fc.nat(2_000).map((over) => Buffer.from(`{"id":4,"a":"${'é'.repeat(1_900 + over)}"}`)) },
  )
  const transcript = fc
    .tuple(fc.array(fc.tuple(line, fc.constantFrom('\n', '\n', '\r\n')), { maxLength: 12 }), line, fc.boolean())
    .map(([lines, last, open]) => bytes(...lines.flat(), ...(open ? [last] : [])))
  const cuts = fc.array(fc.nat(), { maxLength: 40 })

  test('the same frames for every chunking', () => {
    fc.assert(
      fc.property(transcript, cuts, (whole, places) => {
        const positions = places.map((place) => (whole.length === 0 ? 0 : place % whole.length)).sort((a, b) => a - b)
        const chunks = [0, ...positions].map((from, index) => whole.subarray(from, positions[index] ?? whole.length))
        assert.deepEqual(read(chunks, small), read([whole], small))
      }),
      { numRuns: 2_000 },
    )
  })

  test('the same frames as the plainest way of reading', () => {
    fc.assert(
      fc.property(transcript, (whole) => assert.deepEqual(read([whole], small), readPlainly(whole, small))),
      { numRuns: 2_000 },
    )
  })

  test('every JSON text arrives as JSON.parse reads it', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 20, stringUnit: 'binary' }), (json) => {
        assert.deepEqual(read([`${json}\n`]), [{ value: JSON.parse(json) }])
      }),
      { numRuns: 1_000 },
    )
  })
})

/** What a framer means, with no thought of cost. Ids are not saved from deep lines here: they stand behind none. */
function readPlainly(whole: Buffer, { maxLineBytes, maxDepth }: FramerLimits): Seen[] {
  const lines: Buffer[] = []
  let rest = whole
  for (let end = rest.indexOf(10); end !== -1; end = rest.indexOf(10)) {
    lines.push(rest.subarray(0, end))
    rest = rest.subarray(end + 1)
  }
  if (rest.length > 0) lines.push(rest)
  return lines.flatMap((line, index): Seen[] => {
    if (line.length > maxLineBytes) return [{ code: -32600, ...(line.includes('{"id":4,') ? { id: 4 } : {}) }]
    let text: string
    try {
      text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(line)
    } catch {
      return [{ code: -32700 }]
    }
    if (index === 0) text = text.replace(/^\ufeff/, '')
    if (depthOf(text) > maxDepth) return [{ code: -32600, ...savedIn(text) }]
    try {
      return [{ value: JSON.parse(text) }]
    } catch {
      return text.trim() === '' ? [] : [{ code: -32700 }]
    }
  })
}

function savedIn(text: string): { id?: number } {
  const id = /^\{"id":(\d+),/.exec(text)?.[1]
  return id === undefined ? {} : { id: Number(id) }
}

function depthOf(text: string): number {
  let depth = 0
  let deepest = 0
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\[\s\S])*(?:"|\\?$)|[[\]{}]/g)) {
    if (token === '[' || token === '{') deepest = Math.max(deepest, ++depth)
    else if (token === ']' || token === '}') depth--
  }
  return deepest
}

describe('cost', () => {
  /** Milliseconds a megabyte, the best of several runs. */
  const costOf = (megabytes: number, fill: string) => {
    const inner = fill.repeat(Math.floor((megabytes * 1_000_000) / Buffer.byteLength(fill)))
    const line = Buffer.from(`{"a":"${inner}"}\n`)
    const runs = Array.from({ length: 3 }, () => {
      const startedMs = performance.now()
      let frames = 0
      const framer = createFramer((frame) => (frames += 'value' in frame ? 1 : 0))
      for (let at = 0; at < line.length; at += 64 * kib) framer.push(line.subarray(at, at + 64 * kib))
      assert.equal(frames, 1)
      return performance.now() - startedMs
    })
    return Math.min(...runs) / megabytes
  }
  const fills = [
    { name: 'letters', fill: 'x', least: 3, most: 30 },
    { name: 'quotes', fill: '\\"', least: 1, most: 10 },
    { name: 'backslashes', fill: '\\\\', least: 1, most: 10 },
    { name: 'two bytes a letter', fill: 'é', least: 1, most: 10 },
    { name: 'brackets', fill: '[', least: 1, most: 10 },
  ]
  for (const { name, fill, least, most } of fills) {
    test(`is linear in the length of a line of ${name}`, (t) => {
      const [short, long] = [costOf(least, fill), costOf(most, fill)]
      t.diagnostic(`${short.toFixed(2)} ms a MB at ${least} MB, ${long.toFixed(2)} at ${most} MB`)
      // A framer that joins at every chunk, or searches again from the start, is some ten times dearer.
      assert.ok(long < short * 5 + 2, `${short} ms a MB became ${long}`)
    })
  }

  test('a line that is too long is not held', async () => {
    setFlagsFromString('--expose-gc')
    const collectGarbage = runInNewContext('gc') as () => void
    const seen: Seen[] = []
    const framer = createFramer(
      (frame) => {
        seen.push('value' in frame ? { value: frame.value } : { code: frame.error.code })
      },
      { ...small, maxLineBytes: mib },
    )
    const memories: WeakRef<ArrayBufferLike>[] = []
    for (let pushed = 0; pushed < 64; pushed++) {
      const chunk = Buffer.alloc(mib, 'x')
      memories.push(new WeakRef(chunk.buffer))
      framer.push(chunk)
    }
    const held = () => memories.filter((memory) => memory.deref()).length
    // A reference lives at least until the turn of the event loop that made it is over.
    for (let attempt = 0; attempt < 50 && held() > 1; attempt++) {
      await turn()
      collectGarbage()
    }
    assert.ok(held() <= 1, `${held()} of 64 MiB are held`)
    framer.push(Buffer.from('\n{"a":1}\n'))
    assert.deepEqual(seen, [{ code: -32600 }, { value: { a: 1 } }])
  })

  test('the memory of a line that is too long is given back at once, but for what holds other bytes as well', () => {
    const frames: unknown[] = []
    const framer = createFramer((frame) => frames.push(frame), { ...small, maxLineBytes: 3 * kib })
    const whole = Array.from({ length: 8 }, () => Buffer.from(new Uint8Array(kib).fill(0x78).buffer))
    const shared = Buffer.from(new Uint8Array(2 * kib).fill(0x78).buffer)
    for (const chunk of [...whole.slice(0, 4), shared.subarray(0, kib), ...whole.slice(4)]) framer.push(chunk)
    assert.deepEqual(
      whole.map(({ byteLength }) => byteLength),
      Array(8).fill(0),
    )
    assert.equal(shared.byteLength, 2 * kib)
    framer.push(Buffer.from('\n'))
    assert.equal(frames.length, 1)
  })

  test('a chunk may be written over once it has been taken, when its lines were whole', () => {
    const seen: unknown[] = []
    const framer = createFramer((frame) => seen.push('value' in frame ? frame.value : frame.error.code))
    const chunk = Buffer.from('{"a":1}\n{"b":2}\n')
    framer.push(chunk)
    chunk.fill(0)
    framer.push(Buffer.from('{"c":3}\n'))
    assert.deepEqual(seen, [{ a: 1 }, { b: 2 }, { c: 3 }])
  })
})

test('more members than anybody has a use for are refused before they are parsed', () => {
  const members = (count: number) =>
    `{"id":7,"a":{${Array.from({ length: count }, (_, at) => `"${at}":"a:b"`).join(',')}}}\n`
  assert.deepEqual(read([members(501)], small), [{ code: -32600, id: 7 }])
  const [seen] = read([members(400)], small)
  assert.ok(seen && 'value' in seen)
})

test('so are more objects and arrays, which take most of the memory when they are empty', () => {
  const empties = (empty: string, count: number) => `{"id":7,"a":[${Array(count).fill(empty).join(',')}]}\n`
  for (const empty of ['{}', '[]']) {
    assert.deepEqual(read([empties(empty, 499)], small), [{ code: -32600, id: 7 }])
    const [seen] = read([empties(empty, 498)], small)
    assert.ok(seen && 'value' in seen)
  }
})

const wholes: [name: string, bytes: string | Uint8Array, expected: unknown][] = [
  ['over several lines', '{\n"a":\r\n1\n}\n', { value: { a: 1 } }],
  ['behind a mark', '\ufeff{"a":1}', { value: { a: 1 } }],
  ['a newline in a text', '"a\nb"', -32700],
  ['two of them', '1\n2', -32700],
  ['no UTF-8', Buffer.from([0x22, 0xff, 0x22]), -32700],
  ['too deep', `${'['.repeat(257)}${']'.repeat(257)}`, -32600],
  ['white space', ' \r\n', undefined],
  ['nothing', '', undefined],
]
for (const [name, bytes, expected] of wholes) {
  test(`a message that is not a line: ${name}`, () => {
    const frame = parseFrame(Buffer.from(bytes))
    assert.deepEqual(frame && 'error' in frame ? frame.error.code : frame, expected)
  })
}
