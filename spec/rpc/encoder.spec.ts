import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createTextGathering } from '../../src/pipeline/text-gathering.ts'
import { encodeLong, encodeMessage, type Redaction } from '../../src/rpc/encoder.ts'
import type { Outgoing } from '../../src/rpc/message.ts'
import { createSecrets } from '../../src/secrets.ts'

const same: Redaction = { text: (text) => text, pieces: (pieces) => pieces }
const answer = (result: object): Outgoing => ({ jsonrpc: '2.0', id: 1, result })

/** The same text as its gathering hands it on. */
function gathered(text: string) {
  const gathering = createTextGathering()
  for (let at = 0; at < text.length; at += 999) gathering.append(text.slice(at, at + 999))
  return gathering.text()
}

function lineOf(message: Outgoing, redaction = same): string {
  const long = encodeLong(message, redaction)
  assert.ok(long, 'it is a long one')
  const pieces = [...{ [Symbol.iterator]: () => long.pieces }]
  assert.ok(
    pieces.every((piece) => piece.length < 200_000),
    'no piece is long',
  )
  return pieces.join('')
}

describe('a message with a long text', () => {
  const long = 300_000
  const texts: Record<string, string> = {
    plain: 'x'.repeat(long),
    'full of escapes': '"\\\n\u0001'.repeat(long / 4),
    'beyond Latin': 'ä„語'.repeat(long / 3),
    'characters of two halves': '😀'.repeat(long / 2),
    'the same, one off': `.${'😀'.repeat(long / 2)}`,
    'halves alone': '\ud83d'.repeat(long),
    'a half alone before a whole, at the end of a piece': `${'x'.repeat(16_383)}\ud83d${'😀'.repeat(long / 2)}`,
    'the other halves': `\ude00${'\ud83d\ude00\ude00'.repeat(long / 3)}`,
  }
  for (const [name, text] of Object.entries(texts)) {
    test(`has the same line, piece by piece: ${name}`, () => {
      for (const message of [
        answer({ content: [{ type: 'text', text }], structuredContent: { text, left: undefined, none: null, n: 1.5 } }),
        answer({ content: [{ type: 'text', text: 'short' }, 7, undefined, { type: 'text', text }, []], isError: true }),
        answer({ content: [{ type: 'text', text: gathered(text) }], structuredContent: { text: gathered(text) } }),
        answer({ structuredContent: { text, deep: { in: { it: { all: [text.slice(0, 10)] } } } } }),
        { jsonrpc: '2.0', method: 'notifications/progress', params: { progress: 1, message: text } } as const,
        [answer({}), answer({ content: [{ type: 'text', text }] })] as Outgoing,
      ])
        assert.ok(lineOf(message) === `${encodeMessage(message, same.text)}\n`)
    })
  }

  test('of any length around the bounds', () => {
    for (let more = -3; more <= 3; more++) {
      for (const length of [262_144, 262_144 + 16_384]) {
        const message = answer({ text: '😀a'.repeat((length + 3) / 3).slice(0, length + more) })
        const line = `${encodeMessage(message, same.text)}\n`
        if (length + more < 262_144) assert.equal(encodeLong(message, same), undefined)
        else assert.ok(lineOf(message) === line)
      }
    }
  })

  test('holds no secret, wherever it stands', () => {
    const secret = 'sk-0123456789'
    const { redact, redactPieces: pieces } = createSecrets([], [secret])
    for (const at of [0, 1000, 16_384 - 5, 16_384, 262_144]) {
      const text = `${'x'.repeat(at)}${secret}${'y'.repeat(300_000)}`
      for (const long of [text, gathered(text)]) {
        const message = answer({ content: [{ type: 'text', text: long }], structuredContent: { text, short: secret } })
        const line = lineOf(message, { text: redact, pieces })
        assert.ok(!line.includes(secret))
        assert.ok(line === `${encodeMessage(message, redact)}\n`)
      }
    }
  })

  test('what cannot be written is told before the first piece', () => {
    const endless: { within?: object } = {}
    endless.within = endless
    const message = answer({ text: 'x'.repeat(300_000), endless })
    assert.throws(() => encodeLong(message, same), /circular/i)
  })
})

test('a message without a long text is no long line, however many short ones it has', () => {
  const texts = Array(100).fill('x'.repeat(100_000))
  assert.equal(encodeLong(answer({ texts }), same), undefined)
  assert.equal(encodeLong(answer({ embeddings: [Array(100_000).fill(0.5)] }), same), undefined)
})
