import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import fc from 'fast-check'
import { Fault } from '../../src/errors.ts'
import type { HttpRequest, Send } from '../../src/http/message.ts'
import { bytesOf, createPlayer, createRecorder, type Exchange } from '../../src/http/tape.ts'
import { createSecrets } from '../../src/secrets.ts'

/** What is recorded is played again to the byte, and holds no secret. */

const key = 'sk-canary-0123456789abcdef'
const secrets = createSecrets([{ provider: 'p', baseUrl: 'https://api.example.com/v1', source: { value: key } }])

const request: HttpRequest = {
  method: 'POST',
  url: 'https://api.example.com/v1/chat/completions?x=1',
  headers: { 'content-type': 'application/json', authorization: `Bearer ${key}`, 'api-key': key, 'x-custom': 'mine' },
  body: '{"model":"m"}',
  limits: { firstByteMs: 1000, idleMs: 1000 },
}
const never = () => new AbortController().signal

function answering(chunks: readonly Uint8Array[], headers: Record<string, string> = {}, fault?: Error): Send {
  return async () => ({
    status: 200,
    headers,
    body: (async function* () {
      yield* chunks
      if (fault) throw fault
    })(),
  })
}

function folderFor(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'tape-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

async function chunksOf(send: Send): Promise<Uint8Array[]> {
  const chunks: Uint8Array[] = []
  for await (const chunk of (await send(request, never())).body) chunks.push(chunk)
  return chunks
}

const textsIn = (folder: string) =>
  readdirSync(folder)
    .toSorted()
    .map((name) => readFileSync(join(folder, name), 'utf8'))
const read = (folder: string) => textsIn(folder).map((text) => JSON.parse(text) as Exchange)
const bytes = (text: string) => Buffer.from(text, 'utf8')

test('an exchange is kept with its request, its head, and its chunks as they came', async (t) => {
  const folder = folderFor(t)
  const headers = {
    'content-type': 'text/event-stream',
    'x-request-id': 'r',
    'set-cookie': 'session=1',
    server: 'mine',
  }
  await chunksOf(
    createRecorder(answering([bytes('data: a\n\n'), bytes('data: b\n\n')], headers), folder, secrets, assert.fail),
  )
  const [exchange, ...others] = read(folder)
  assert.equal(others.length, 0)
  assert.deepEqual(exchange?.request, {
    method: 'POST',
    path: '/v1/chat/completions?x=1',
    headers: { 'content-type': 'application/json' },
    body: { model: 'm' },
  })
  assert.equal(exchange.response.status, 200)
  assert.deepEqual(exchange.response.headers, { 'content-type': 'text/event-stream', 'x-request-id': 'r' })
  assert.deepEqual(
    exchange.response.chunks.map((chunk) => 'text' in chunk && chunk.text),
    ['data: a\n\n', 'data: b\n\n'],
  )
  for (const { afterMs } of exchange.response.chunks) assert.ok(Number.isInteger(afterMs) && afterMs >= 0)
  assert.ok(Number.isInteger(exchange.response.firstByteMs))
})

test('rate headers are kept, whatever else may be secret is not', async (t) => {
  const folder = folderFor(t)
  const kept = {
    'retry-after': '1',
    'retry-after-ms': '250',
    date: 'Sun, 22 Nov 2026 10:00:00 GMT',
    'x-ratelimit-remaining-requests': '9',
    'anthropic-ratelimit-tokens-reset': '2026-11-22T10:00:00Z',
    'x-should-retry': 'false',
  }
  const dropped = { 'set-cookie': 'a', 'openai-organization': 'b', 'cf-ray': 'c', 'www-authenticate': 'd' }
  await chunksOf(createRecorder(answering([], { ...kept, ...dropped }), folder, secrets, assert.fail))
  assert.deepEqual(read(folder)[0]?.response.headers, kept)
})

test('a character that a boundary cuts is kept in base64, on both sides', async (t) => {
  const folder = folderFor(t)
  const whole = bytes('data: €\n\n')
  const cut = [whole.subarray(0, 7), whole.subarray(7)]
  const recorded = await chunksOf(createRecorder(answering(cut), folder, secrets, assert.fail))
  assert.deepEqual(recorded.map(Buffer.from), cut)
  const [exchange] = read(folder)
  assert.deepEqual(
    exchange?.response.chunks.map((chunk) => Object.keys(chunk).toSorted()),
    [
      ['afterMs', 'base64'],
      ['afterMs', 'base64'],
    ],
  )
  assert.deepEqual(
    exchange.response.chunks.map((chunk) => Buffer.from(bytesOf(chunk))),
    cut,
  )
})

test('any bytes in any chunks are recorded, kept and played without a change', async (t) => {
  const folder = folderFor(t)
  let current: readonly Uint8Array[] = []
  const send = createRecorder((...args) => answering(current)(...args), folder, createSecrets([]), assert.fail)
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof(fc.uint8Array({ maxLength: 40 }), fc.string({ unit: 'binary', maxLength: 20 }).map(bytes)), {
        maxLength: 6,
      }),
      async (chunks) => {
        const before = new Set(readdirSync(folder))
        current = chunks
        const came = await chunksOf(send)
        assert.deepEqual(came.map(Buffer.from), chunks.map(Buffer.from))
        const [name = ''] = readdirSync(folder).filter((file) => !before.has(file))
        const exchange = JSON.parse(readFileSync(join(folder, name), 'utf8')) as Exchange
        const played = await chunksOf(createPlayer([exchange]))
        assert.deepEqual(played.map(Buffer.from), chunks.map(Buffer.from))
      },
    ),
    { numRuns: 60 },
  )
})

test('the key is nowhere in what is kept, wherever the provider echoes it', async (t) => {
  const folder = folderFor(t)
  const echo = [
    bytes(`data: {"error":"wrong key ${key}"}\n\n`),
    bytes(encodeURIComponent(`Bearer ${key}`)),
    ...[0, 1, 2].map((offset) => bytes(Buffer.from(`${'x'.repeat(offset)}${key} and more`).toString('base64'))),
    // Not UTF-8, so that it is kept in base64.
    ...[1, 2, 3].map((lead) => Buffer.concat([Buffer.alloc(lead, 0xff), bytes(key)])),
  ]
  const send = createRecorder(answering(echo, { 'x-request-id': `req-${key}` }), folder, secrets, assert.fail)
  for await (const _ of (
    await send({ ...request, url: `${request.url}&key=${key}`, body: JSON.stringify({ key }) }, never())
  ).body);
  const [text = ''] = textsIn(folder)
  assert.ok(text.length > 0)
  assert.ok(!text.includes(key) && !/authorization|api-key|canary/i.test(text))
  for (const offset of [0, 1, 2]) {
    const inner = Buffer.from(' '.repeat(offset) + key)
      .toString('base64')
      .slice(4, -4)
    assert.ok(!text.includes(inner), `base64 at offset ${offset}`)
  }
  JSON.parse(text)
})

test('a body that breaks off is kept with the name of the break, and breaks off again when it is played', async (t) => {
  const folder = folderFor(t)
  const fault = new Fault('truncated', 'words', { cause: 'reset' })
  await assert.rejects(
    chunksOf(createRecorder(answering([bytes('a')], {}, fault), folder, secrets, assert.fail)),
    (e) => e === fault,
  )
  const [exchange] = read(folder)
  assert.equal(exchange?.response.fault, 'reset')
  const played = createPlayer([exchange])
  await assert.rejects(chunksOf(played), (error) => error instanceof Fault && error.detail.cause === 'reset')
})

test('a reader that leaves early has what it read kept', async (t) => {
  const folder = folderFor(t)
  const send = createRecorder(answering([bytes('a'), bytes('b')]), folder, secrets, assert.fail)
  for await (const _ of (await send(request, never())).body) break
  assert.equal(read(folder)[0]?.response.chunks.length, 1)
})

test('each exchange is a file of its own, in order, readable by its owner alone', async (t) => {
  const folder = join(folderFor(t), 'made', 'on demand')
  const send = createRecorder(answering([bytes('a')]), folder, secrets, assert.fail)
  for (let at = 0; at < 12; at++) await chunksOf(send)
  const names = readdirSync(folder)
  assert.equal(names.length, 12)
  const name = names[0] as string
  assert.match(name, /^[a-z0-9TZ-]+post-v1-chat-completions-x-1\.json$/i)
  if (process.platform !== 'win32') assert.equal(statSync(join(folder, name)).mode & 0o077, 0)
})

test('a folder that cannot be written to costs no call and is complained about once', async (t) => {
  const file = join(folderFor(t), 'file')
  writeFileSync(file, '')
  const complaints: string[] = []
  const send = createRecorder(answering([bytes('a')]), join(file, 'folder'), secrets, (sentence) =>
    complaints.push(sentence),
  )
  for (let at = 0; at < 3; at++) assert.equal(Buffer.concat(await chunksOf(send)).toString(), 'a')
  assert.equal(complaints.length, 1)
  assert.match(complaints[0] ?? '', /GATEWAY_RECORD/)
})

test('a request that fails is thrown on as it is', async (t) => {
  const fault = new Fault('network', 'words')
  const refusing: Send = async () => {
    throw fault
  }
  await assert.rejects(
    createRecorder(refusing, folderFor(t), secrets, assert.fail)(request, never()),
    (error) => error === fault,
  )
})

test('the player answers a request with the exchange that had it, wherever it stands', async () => {
  const exchange = (path: string, status: number): Exchange => ({
    request: { method: 'POST', path, headers: {} },
    response: { status, firstByteMs: 1, headers: {}, chunks: [] },
  })
  const { pathname, search } = new URL(request.url)
  const send = createPlayer([exchange('/other', 500), exchange(pathname + search, 200)])
  assert.equal((await send(request, never())).status, 200)
  assert.equal((await send(request, never())).status, 500, 'the next one where there is none')
})

test('exchanges that overlap are kept in the order of their requests', async (t) => {
  const folder = folderFor(t)
  const answers = answering([bytes('a')])
  const waitsMs = [60, 0]
  const send = createRecorder(
    async (asked, signal) => {
      await new Promise((resolve) => setTimeout(resolve, waitsMs.shift()))
      return answers(asked, signal)
    },
    folder,
    secrets,
    assert.fail,
  )
  const drain = async (path: string) => {
    const { body } = await send({ ...request, url: `http://127.0.0.1:1/${path}` }, never())
    for await (const _ of body);
  }
  await Promise.all([drain('slow'), drain('fast')])
  assert.deepEqual(
    readdirSync(folder)
      .sort()
      .map((name) => /[a-z]+(?=\.json)/.exec(name)?.[0]),
    ['slow', 'fast'],
  )
})

test('the player answers in order and says when the tape has ended', async () => {
  const exchange = (status: number): Exchange => ({
    request: { method: 'GET', path: '/', headers: {} },
    response: {
      status,
      firstByteMs: 1,
      headers: { date: 'd' },
      chunks: [
        { afterMs: 5, text: 'é' },
        { afterMs: 0, base64: '/w==' },
      ],
    },
  })
  const send = createPlayer([exchange(200), exchange(429)])
  const response = await send(request, never())
  assert.deepEqual([response.status, response.headers], [200, { date: 'd' }])
  const chunks: Buffer[] = []
  for await (const chunk of response.body) chunks.push(Buffer.from(chunk))
  assert.deepEqual(chunks, [Buffer.from('é'), Buffer.from([0xff])])
  assert.equal((await send(request, never())).status, 429)
  await assert.rejects(send(request, never()), /ended/)
})

test('a key that is spread over two chunks is not kept', async (t) => {
  const folder = folderFor(t)
  const body = [bytes(`{"error":"bad key ${key.slice(0, 7)}`), bytes(`${key.slice(7)} é"}`)]
  const passedOn = await chunksOf(createRecorder(answering(body), folder, secrets, assert.fail))
  assert.deepEqual(passedOn.map(Buffer.from), body.map(Buffer.from))
  const kept = JSON.stringify(read(folder))
  assert.ok(!kept.includes(key.slice(0, 7)) && !kept.includes(key.slice(7)), kept)
  assert.match(kept, /\[redacted\] é/)
})

test('a reader that leaves while it waits, or before it has begun, ends the body at once', async (t) => {
  const folder = folderFor(t)
  for (const begins of [true, false]) {
    let ended = false
    const silent: Send = async () => {
      const body: AsyncIterableIterator<Uint8Array> = {
        next: () => new Promise(() => {}),
        async return() {
          ended = true
          return { done: true, value: undefined }
        },
        [Symbol.asyncIterator]: () => body,
      }
      return { status: 200, headers: {}, body }
    }
    const { body } = await createRecorder(silent, folder, secrets, assert.fail)(request, never())
    const chunks = body[Symbol.asyncIterator]()
    if (begins) void chunks.next()
    void chunks.return?.()
    await new Promise((resolve) => setImmediate(resolve))
    assert.ok(ended)
  }
  assert.equal(read(folder).length, 2)
})
