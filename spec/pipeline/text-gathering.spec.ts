import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { createTextGathering } from '../../src/pipeline/text-gathering.ts'
import { isLongText, longTextLength, piecesOf } from '../../src/text.ts'

const parts: Readonly<Record<string, string>> = {
  'within Latin': 'a line of it ',
  'beyond Latin': 'ä„語 ',
  'characters of two halves': '😀',
  'a half alone': 'x\ud83d',
  'the other half alone': '\ude00y',
  'a mark of byte order': '\ufeff.',
}

/** A text as it comes, in parts of that many characters. */
function gatheringOf(text: string, step: number) {
  const gathering = createTextGathering()
  for (let at = 0; at < text.length; at += step) gathering.append(text.slice(at, at + step))
  return gathering
}

for (const [name, part] of Object.entries(parts)) {
  describe(`a long text: ${name}`, () => {
    const text = part.repeat(Math.ceil((longTextLength + 100_000) / part.length))

    for (const step of [1, 4096, 16_383, 100_001, text.length]) {
      test(`is the same when it came ${step} characters at a time`, () => {
        const long = gatheringOf(text, step).text()
        assert.ok(isLongText(long))
        assert.equal(long.length, text.length)
        assert.ok(long.toString() === text)
        assert.ok([...long.pieces()].join('') === text)
        assert.ok([...long.pieces()].join('') === text, 'and again')
        assert.ok(JSON.stringify({ long }) === JSON.stringify({ long: text }))
        assert.ok([...gatheringOf(text, step).drain()].join('') === text)
      })
    }

    test('comes in short pieces, none of which ends within a character', () => {
      const long = gatheringOf(text, 4096).text()
      assert.ok(isLongText(long))
      for (const pieces of [[...long.pieces()], [...piecesOf(text)]]) {
        assert.ok(pieces.every(({ length }) => length > 0 && length <= 32_768))
        for (const [at, piece] of pieces.entries()) {
          const joined = piece.slice(-1) + (pieces[at + 1] ?? '').slice(0, 1)
          assert.doesNotMatch(joined, /^[\ud800-\udbff][\udc00-\udfff]$/)
        }
      }
    })
  })
}

test('a text that is not long is a string', () => {
  for (const text of ['', 'a', 'x'.repeat(longTextLength - 1)]) {
    assert.ok(gatheringOf(text, 1000).text() === text)
    assert.ok([...gatheringOf(text, 1000).drain()].join('') === text)
  }
  assert.ok(isLongText(gatheringOf('x'.repeat(longTextLength), 1000).text()))
})

test('any text, however it is cut', () => {
  const any = fc.string({ unit: 'binary', minLength: 1, maxLength: 50 })
  fc.assert(
    fc.property(any, fc.integer({ min: 1, max: 50_000 }), (seed, step) => {
      const text = seed.repeat(Math.ceil(longTextLength / seed.length))
      const long = gatheringOf(text, step).text()
      assert.ok(isLongText(long) && long.toString() === text)
      assert.ok([...gatheringOf(text, step).drain()].join('') === text)
    }),
    { numRuns: 30 },
  )
})

test('it stands outside the heap, and what is drained gives its memory back at once', (t) => {
  const made = t.mock.method(Buffer, 'allocUnsafeSlow')
  const given = t.mock.method(ArrayBuffer.prototype, 'transfer')
  const gathering = gatheringOf('語'.repeat(4_000_000), 4096)
  for (const _ of gathering.drain());
  const buffers = made.mock.calls.map(({ result }) => result?.buffer)
  assert.ok(buffers.length > 200)
  assert.equal(given.mock.callCount(), buffers.length)
  assert.ok(buffers.every((buffer) => buffer?.byteLength === 0))
})
