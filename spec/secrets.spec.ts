import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import fc from 'fast-check'
import { createSecrets, type KeySource } from '../src/secrets.ts'

/** A key goes to its own origin and is found wherever it comes back. */

const key = 'sk-canary-0123456789abcdef'
const baseUrl = 'https://api.example.com/v1'
const holding = (source: KeySource, provider = 'p') => createSecrets([{ provider, baseUrl, source }])
const { redact } = holding({ value: key })

function fileFor(t: TestContext, text?: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'secrets-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'key')
  if (text !== undefined) writeFileSync(file, text)
  return file
}

const origins: [string, boolean][] = [
  ['https://api.example.com/v1/chat/completions', true],
  ['https://api.example.com/other', true],
  ['https://api.example.com:443/v1', true],
  ['https://API.EXAMPLE.COM/v1', true],
  ['http://api.example.com/v1', false],
  ['https://api.example.com:8443/v1', false],
  ['https://evil.example.com/v1', false],
  ['https://api.example.com.evil.example.com/v1', false],
  ['https://api.example.com@evil.example.com/v1', false],
  ['https://evil.example.com/https://api.example.com/v1', false],
]
for (const [url, goes] of origins) {
  test(`the key ${goes ? 'goes' : 'does not go'} to ${url}`, () => {
    assert.equal(holding({ value: key }).keyFor('p', url), goes ? key : undefined)
  })
}

test('another provider’s key is another provider’s, even at the same origin', () => {
  const secrets = createSecrets([
    { provider: 'a', baseUrl, source: { value: 'key-of-a-0123' } },
    { provider: 'b', baseUrl, source: { value: 'key-of-b-0123' } },
  ])
  assert.equal(secrets.keyFor('a', baseUrl), 'key-of-a-0123')
  assert.equal(secrets.keyFor('b', baseUrl), 'key-of-b-0123')
  assert.equal(secrets.keyFor('c', baseUrl), undefined)
  assert.equal(secrets.redact('key-of-a-0123 key-of-b-0123'), '[redacted] [redacted]')
})

const sources: [string, string, string | undefined][] = [
  ['a line end', `${key}\n`, key],
  ['a Windows line end and spaces', `  ${key}\r\n`, key],
  ['a byte order mark', `\ufeff${key}`, key],
  ['nothing', '', undefined],
  ['only white space', ' \n\t', undefined],
]
for (const [name, text, expected] of sources) {
  test(`a key with ${name} around it`, (t) => {
    assert.equal(holding({ value: text }).keyFor('p', baseUrl), expected)
    assert.equal(holding({ file: fileFor(t, text), setBy: 'P_FILE' }).keyFor('p', baseUrl), expected)
  })
}

test('a file that is not there is no key, and no fault', (t) => {
  const secrets = holding({ file: fileFor(t), setBy: 'P_FILE' })
  assert.equal(secrets.keyFor('p', baseUrl), undefined)
  assert.equal(secrets.reread('p', 0), false)
})

test('a key file that is replaced is read again, and both keys stay redacted', (t) => {
  const file = fileFor(t, key)
  const secrets = holding({ file, setBy: 'P_FILE' })
  assert.equal(secrets.reread('p', 0), false, 'nothing has changed')
  writeFileSync(file, 'sk-rotated-9876543210\n')
  assert.equal(secrets.keyFor('p', baseUrl), key, 'read only when asked')
  assert.equal(secrets.reread('p', 0), true)
  assert.equal(secrets.keyFor('p', baseUrl), 'sk-rotated-9876543210')
  assert.equal(secrets.redact(`${key} sk-rotated-9876543210`), '[redacted] [redacted]')
  assert.equal(secrets.keyFor('p', 'https://evil.example.com/'), undefined)
  writeFileSync(file, '')
  assert.equal(secrets.reread('p', 0), true, 'for a call that has used the key before')
  assert.equal(secrets.generation('p'), 1)
  assert.equal(secrets.reread('p', 1), false, 'an empty file is one that is just being written')
  assert.equal(secrets.keyFor('p', baseUrl), 'sk-rotated-9876543210')
})

test('a file that appears later is found', (t) => {
  const file = fileFor(t)
  const secrets = holding({ file, setBy: 'P_FILE' })
  writeFileSync(file, key)
  assert.equal(secrets.reread('p', 0), true)
  assert.equal(secrets.keyFor('p', baseUrl), key)
})

test('only a file can be read again', () => {
  assert.equal(holding({ value: key }).reread('p', 0), false)
  assert.equal(holding({ value: key }).reread('unknown', 0), false)
})

const odd = 'sk-caf+/=&?#%"\\\'<>0123456789'
const shapes: [string, string, (key: string) => string][] = [
  ['plain', key, (k) => k],
  ['in a sentence', key, (k) => `wrong key ${k}, twice ${k}!`],
  ['as a bearer token', key, (k) => `Bearer ${k}`],
  ['in JSON', odd, (k) => JSON.stringify({ message: k })],
  ['URL-encoded', odd, (k) => `?key=${encodeURIComponent(k)}&x=1`],
  ['in base64 alone', key, (k) => Buffer.from(k).toString('base64')],
  ['in base64, a byte in', key, (k) => Buffer.from(`x${k}y`).toString('base64')],
  ['in base64, two bytes in', key, (k) => Buffer.from(`xx${k}yy`).toString('base64')],
  ['as basic authentication', key, (k) => `Basic ${Buffer.from(`user:${k}`).toString('base64')}`],
  [
    'in base64 of a document',
    odd,
    (k) =>
      Buffer.from(
        JSON.stringify({ authorization: 'Bearer', raw: `..${k}..` }).replaceAll(JSON.stringify(k).slice(1, -1), k),
      ).toString('base64'),
  ],
]
for (const [name, secret, shape] of shapes) {
  test(`a key is redacted ${name}`, () => {
    const text = shape(secret)
    const clean = holding({ value: secret }).redact(text)
    assert.ok(clean.includes('[redacted]'), clean)
    assert.ok(!clean.includes(secret) && !clean.includes(encodeURIComponent(secret)))
    for (let offset = 0; offset < 3; offset++) {
      // What base64 makes of the middle of the key, at each of the three places.
      const inner = Buffer.from(' '.repeat(offset) + secret)
        .toString('base64')
        .slice(4, -8)
      assert.ok(!clean.includes(inner), `base64 at offset ${offset}`)
    }
  })
}

test('base64 of any text that holds the key is redacted, at any place', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 20 }), fc.uint8Array({ maxLength: 20 }), (before, after) => {
      const clean = redact(Buffer.concat([before, Buffer.from(key), after]).toString('base64'))
      assert.ok(clean.includes('[redacted]'))
    }),
  )
})

test('a line of JSON stays JSON', () => {
  fc.assert(
    fc.property(fc.json(), fc.string({ minLength: 8, maxLength: 20 }), (json, secret) => {
      fc.pre(secret.trim().length >= 8)
      const line = JSON.stringify({ jsonrpc: '2.0', result: { text: `a${secret}b`, json } })
      const clean = holding({ value: secret }).redact(line)
      assert.doesNotThrow(() => JSON.parse(clean))
      assert.ok(
        !JSON.stringify((JSON.parse(clean) as { result: { text: string } }).result.text).includes(
          JSON.stringify(secret.trim()).slice(1, -1),
        ),
      )
    }),
    { numRuns: 200 },
  )
})

test('text without a key is left as it is, and so are dummies that are too short to be one', () => {
  const text = 'The quick brown fox says none, ollama, sk-other-key.'
  assert.equal(redact(text), text)
  assert.equal(createSecrets([]).redact(text), text)
  for (const dummy of ['none', 'x', 'ollama', '']) assert.equal(holding({ value: dummy }).redact(text), text)
  assert.equal(holding({ value: 'none' }).keyFor('p', baseUrl), 'none')
})

test('the name of a provider is no secret, though it may be its key', () => {
  const dummy = holding({ value: 'llamacpp' }, 'llamacpp')
  assert.equal(dummy.redact('llamacpp/qwen'), 'llamacpp/qwen')
  assert.equal(dummy.keyFor('llamacpp', baseUrl), 'llamacpp')
  assert.equal(holding({ value: 'llamacpp' }).redact('llamacpp/qwen'), '[redacted]/qwen')
})

test('a key that is part of another is no hiding place for the rest of it', () => {
  const secrets = createSecrets([
    { provider: 'a', baseUrl, source: { value: 'sk-canary' } },
    { provider: 'b', baseUrl, source: { value: 'sk-canary-and-more' } },
  ])
  assert.equal(secrets.redact('sk-canary-and-more'), '[redacted]')
})

test('a key that comes in pieces is redacted as it would be in one, and nothing else is changed or kept back for good', () => {
  const text = fc.array(fc.oneof(fc.constant(key), fc.constant(key.slice(0, 9)), fc.string({ maxLength: 6 })), {
    maxLength: 6,
  })
  fc.assert(
    fc.property(text, fc.array(fc.nat(120), { maxLength: 8 }), (words, places) => {
      const whole = words.join('')
      const ends = [...places.filter((at) => at < whole.length).toSorted((a, b) => a - b), whole.length]
      const stream = holding({ value: key }).redactStream()
      const pieces = ends.map((end, at) => stream.push(whole.slice(ends[at - 1] ?? 0, end)))
      assert.equal([...pieces, stream.end()].join(''), redact(whole))
      assert.equal(stream.found(), whole.includes(key))
    }),
    { numRuns: 500 },
  )
})

test('a key that is part of another hides nothing of it in pieces either', () => {
  const [part, whole] = ['sk-canary', 'my-sk-canary-and-more']
  for (const keys of [
    [part, whole],
    [part, whole.slice(3)],
  ]) {
    const secrets = createSecrets([], keys)
    const longest = keys[1] as string
    for (const text of [`a ${longest} b`, longest, `${longest}${longest}`, `a ${part} b`, `a ${part}`]) {
      for (let first = 0; first <= text.length; first++) {
        for (let second = first; second <= text.length; second++) {
          const stream = secrets.redactStream()
          const pieces = [text.slice(0, first), text.slice(first, second), text.slice(second)].map(stream.push)
          assert.equal([...pieces, stream.end()].join(''), secrets.redact(text))
          assert.ok(stream.found())
        }
      }
    }
  }
})

test('a text that could not be the beginning of a key is passed on at once', () => {
  const stream = holding({ value: key }).redactStream()
  assert.equal(stream.push('Hello'), 'Hello')
  assert.equal(stream.push(' world'), ' world')
  assert.equal(stream.push(` ${key.slice(0, 5)}`), ' ')
  assert.equal(stream.push('!'), `${key.slice(0, 5)}!`)
  assert.equal(stream.end(), '')
})

test('further secrets, the values of headers say, are redacted like keys', () => {
  const secrets = createSecrets([], ['header-value-0123'])
  assert.equal(secrets.redact('a header-value-0123 b'), 'a [redacted] b')
})
