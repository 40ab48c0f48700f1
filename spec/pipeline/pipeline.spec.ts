import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Clock, systemClock } from '../../src/clock.ts'
import { readConfig } from '../../src/config.ts'
import { Fault } from '../../src/errors.ts'
import { withDeadline } from '../../src/extensions/deadline.ts'
import type { ChatAsk, Event, Events } from '../../src/gateway.ts'
import type { HttpRequest, HttpResponse, Send } from '../../src/http/message.ts'
import { createDirectory } from '../../src/pipeline/directory.ts'
import { createPipeline } from '../../src/pipeline/pipeline.ts'
import { createRouter } from '../../src/pipeline/router.ts'
import { createTranslator } from '../../src/pipeline/translator.ts'
import { createSecrets } from '../../src/secrets.ts'
import { eventsIn } from '../harness/events.ts'
import { gate } from '../harness/scope.ts'
import { chatChunk, chatStream } from '../harness/upstream.ts'

/** Router and translator behind one handle, over a Send and a clock of the test's own. */

type Reply = { status?: number; headers?: Record<string, string>; body?: string | readonly string[]; fault?: Error }
type Script = (request: HttpRequest, number: number, signal: AbortSignal) => Reply | Promise<Reply>

const a = { type: 'openai', baseUrl: 'https://a.example.com/v1', apiKey: 'sk-key-of-a' }
const b = { type: 'openai', baseUrl: 'https://b.example.com/v1', apiKey: 'sk-key-of-b' }
const both = { best: { strategy: 'failover', targets: [{ model: 'a/one' }, { model: 'b/two' }] } }

function build(script: Script, file: object = { providers: { a, b }, routes: both }) {
  const config = readConfig({ PROVIDER_CONFIG: JSON.stringify(file) })
  assert.equal(config.problem, undefined)
  const secrets = createSecrets(
    [...config.providers.values()].flatMap(({ name, baseUrl, key }) =>
      key ? [{ provider: name, baseUrl, source: key }] : [],
    ),
  )
  const sent: HttpRequest[] = []
  const slept: number[] = []
  const released: number[] = []
  let nowMs = 0
  const clock: Clock = {
    now: () => nowMs,
    random: () => 0.5,
    timer: systemClock.timer,
    async sleep(ms, signal) {
      if (signal.aborted) throw signal.reason
      slept.push(ms)
      nowMs += ms
    },
  }
  const send: Send = async (request, signal): Promise<HttpResponse> => {
    const number = sent.push(request) - 1
    const {
      status = 200,
      headers = { 'content-type': 'text/event-stream' },
      body = '',
      fault,
    } = await script(request, number, signal)
    if (fault && body === '') throw fault
    async function* chunks() {
      try {
        for (const chunk of [body].flat()) yield Buffer.from(chunk)
        if (fault) throw fault
      } finally {
        released.push(number)
      }
    }
    return { status, headers, body: chunks() }
  }
  const translate = createTranslator({ send, secrets, clock })
  const directory = createDirectory(async function* () {}, clock.now)
  const router = createRouter(config, directory, clock.random)
  return { handle: createPipeline({ router, translate, directory, clock }), sent, slept, released, clock }
}

const ask = (more: Partial<ChatAsk> = {}): ChatAsk => ({
  kind: 'chat',
  model: 'a/one',
  messages: [{ role: 'user', content: [{ type: 'text', text: 'hi' }] }],
  ...more,
})

async function gather(events: AsyncIterable<Events>): Promise<{ text: string; events: Event[]; fault?: Fault }> {
  const seen: Event[] = []
  const text = () => seen.map((event) => (event.type === 'text-delta' ? event.text : '')).join('')
  try {
    for await (const event of eventsIn(events)) seen.push(event)
    return { text: text(), events: seen }
  } catch (error) {
    assert.ok(error instanceof Fault, String(error))
    return { text: text(), events: seen, fault: error }
  }
}

const run = (built: ReturnType<typeof build>, asked = ask(), signal = new AbortController().signal) =>
  gather(built.handle(asked, { signal, streaming: true }))
const fine: Reply = { body: chatStream(['Hel', 'lo']) }
const refusal = (status: number, error: object, headers: Record<string, string> = {}): Reply => ({
  status,
  headers,
  body: JSON.stringify({ error }),
})
const bodyOf = (request: HttpRequest | undefined) => JSON.parse(String(request?.body)) as Record<string, unknown>
const servedBy = (events: readonly Event[]) => events.find((event) => event.type === 'served')

test('one call: who serves it comes first, and the key goes to its own origin', async () => {
  const built = build(() => fine)
  const { text, events } = await run(built)
  assert.equal(text, 'Hello')
  assert.deepEqual(events[0], { type: 'served', provider: 'a', model: 'one', attempts: 1 })
  assert.equal(built.sent.length, 1)
  assert.equal(built.sent[0]?.url, 'https://a.example.com/v1/chat/completions')
  assert.equal(built.sent[0]?.headers['authorization'], 'Bearer sk-key-of-a')
  assert.equal(built.sent[0]?.headers['content-type'], 'application/json')
})

test('a configured header replaces ours, however it is spelled: none goes out twice', async () => {
  const headers = { Authorization: 'Bearer mine', 'Content-Type': 'application/json; charset=utf-8' }
  const built = build(() => fine, { providers: { a: { ...a, headers } } })
  await run(built)
  const sent = Object.entries(built.sent[0]?.headers ?? {}).map(([name, value]) => [name.toLowerCase(), value])
  assert.deepEqual(sent.filter(([name]) => name === 'authorization' || name === 'content-type').toSorted(), [
    ['authorization', 'Bearer mine'],
    ['content-type', 'application/json; charset=utf-8'],
  ])
})

test('a fault before the first piece is another attempt, and one after it is the end', async () => {
  const early = build((_, number) => (number < 2 ? refusal(503, { message: 'busy' }) : fine))
  const recovered = await run(early)
  assert.equal(recovered.text, 'Hello')
  const busy = { provider: 'a', model: 'one', code: 'overloaded', cause: undefined, status: 503, elapsedMs: 0 }
  assert.deepEqual(servedBy(recovered.events), {
    type: 'served',
    provider: 'a',
    model: 'one',
    attempts: 3,
    met: [busy, busy],
  })
  assert.deepEqual(early.slept, [750, 1500])

  const late = build(() => ({
    body: [chatChunk({ content: 'Hel' })],
    fault: new Fault('truncated', 'cut', { cause: 'reset', retryable: true }),
  }))
  const cut = await run(late)
  assert.equal(cut.text, 'Hel')
  assert.equal(cut.fault?.code, 'truncated')
  assert.equal(late.sent.length, 1)
})

test('an answer that says only who it is and then breaks is made again', async () => {
  const built = build((_, number) => (number === 0 ? { body: [chatChunk({ role: 'assistant' })] } : fine))
  const { text, events } = await run(built)
  assert.equal(text, 'Hello')
  assert.equal(built.sent.length, 2)
  assert.equal(events.filter(({ type }) => type === 'response').length, 1)
})

test('maxRetries of the provider holds', async () => {
  const built = build(() => refusal(500, { message: 'no' }), { providers: { a: { ...a, maxRetries: 1 } } })
  const { fault } = await run(built)
  assert.equal(built.sent.length, 2)
  assert.equal(fault?.detail.attempts, 2)
  assert.deepEqual([fault?.detail.provider, fault?.detail.model, fault?.detail.status], ['a', 'one', 500])
})

const finals: [string, Reply, string][] = [
  ['a wrong key', refusal(401, { message: 'wrong' }), 'authentication'],
  ['no money', refusal(429, { message: 'pay', code: 'insufficient_quota' }), 'quota'],
  ['a redirect', { status: 307, headers: { location: 'https://evil.example.com/' } }, 'configuration'],
  ['a bad request', refusal(400, { message: 'bad' }), 'invalid_request'],
  ['silence', { fault: new Fault('timeout', 'silent', { cause: 'first_byte', retryable: true }) }, 'timeout'],
]
for (const [name, reply, code] of finals) {
  test(`one request and no more: ${name}`, async () => {
    const built = build(() => reply)
    const { fault } = await run(built)
    assert.equal(fault?.code, code)
    assert.equal(fault?.detail.attempts, 1)
    assert.equal(built.sent.length, 1)
  })
}

// What another route would meet as well is not tried there.
const failovers: [string, Reply, boolean][] = [
  ['a wrong key', refusal(401, { message: 'wrong' }), true],
  ['no money', refusal(402, { message: 'pay' }), true],
  ['an unknown model', refusal(404, { message: 'The model `one` does not exist', code: 'model_not_found' }), true],
  [
    'a server that is down',
    { fault: new Fault('network', 'refused', { cause: 'connect_refused', retryable: true }) },
    true,
  ],
  [
    'a server that is silent',
    { fault: new Fault('timeout', 'silent', { cause: 'first_byte', retryable: true }) },
    true,
  ],
  ['an answer that is cut before its first piece', { body: '' }, true],
  ['a bad request', refusal(400, { message: 'bad' }), false],
  ['a filtered prompt', refusal(400, { message: 'no', code: 'content_filter' }), false],
]
for (const [name, reply, goesOn] of failovers) {
  test(`failover: ${name} ${goesOn ? 'leads to the next route' : 'is the answer'}`, async () => {
    const built = build(({ url }) => (url.startsWith('https://a.') ? reply : fine))
    const { text, fault, events } = await run(built, ask({ model: 'best' }))
    const toB = built.sent.filter(({ url }) => url.startsWith('https://b.'))
    assert.equal(toB.length, goesOn ? 1 : 0)
    assert.equal(text, goesOn ? 'Hello' : '')
    assert.equal(fault === undefined, goesOn)
    for (const request of toB) assert.equal(request.headers['authorization'], 'Bearer sk-key-of-b')
    if (!goesOn) return
    const served = servedBy(events)
    assert.partialDeepStrictEqual(served, { provider: 'b', model: 'two', attempts: built.sent.length })
    assert.deepEqual(
      served?.substituted?.map(({ model }) => model),
      ['a/one'],
    )
    assert.equal(served.met?.length, built.sent.length - 1)
    assert.ok(served.met.every(({ provider, code }) => provider === 'a' && code === served.substituted?.[0]?.code))
  })
}

for (const code of ['content_filter', 'context_length'] as const) {
  test(`failover: ${code} leads to the next route where the list says so`, async () => {
    const routes = { best: { ...both.best, failoverOn: [code] } }
    const built = build(({ url }) => (url.startsWith('https://a.') ? refusal(400, { message: 'no', code }) : fine), {
      providers: { a, b },
      routes,
    })
    const { events } = await run(built, ask({ model: 'best' }))
    assert.deepEqual(servedBy(events)?.substituted, [
      { model: 'a/one', code: code === 'content_filter' ? code : 'context_length' },
    ])
  })
}

test('what nobody has seen can be asked for again, up to its end', async () => {
  const cut = {
    body:
      chatStream(['Hel', 'lo'])
        .split('data: [DONE]')[0]
        ?.replace(/"stop"/, 'null') ?? '',
  }
  const built = build((_, number) => (number === 0 ? cut : fine))
  const call = { signal: new AbortController().signal, streaming: false }
  const { text, events } = await gather(built.handle(ask(), call))
  assert.equal(text, 'Hello')
  assert.equal(servedBy(events)?.attempts, 2)
})

test('what nobody has seen is kept when it cannot be asked for again', async () => {
  const cut = { body: [chatChunk({ content: 'Hel' })], fault: new Fault('truncated', 'cut', { retryable: true }) }
  const built = build(() => cut)
  const call = { signal: new AbortController().signal, streaming: false }
  const { text, fault } = await gather(built.handle(ask(), call))
  assert.deepEqual([text, fault?.detail.partialText, fault?.detail.attempts], ['', 'Hel', 2])
})

test('a target that keeps failing stands back, comes last, and is asked again after its rest', async () => {
  let aIsDown = true
  const down = { fault: new Fault('network', 'refused', { cause: 'connect_refused', retryable: true }) }
  const built = build(({ url }) => (url.startsWith('https://a.') && aIsDown ? down : fine), {
    providers: { a: { ...a, maxRetries: 0 }, b },
    routes: both,
  })
  const serve = async () => servedBy((await run(built, ask({ model: 'best' }))).events)
  for (let time = 0; time < 5; time++) assert.equal((await serve())?.attempts, 2)
  assert.partialDeepStrictEqual(await serve(), {
    provider: 'b',
    attempts: 1,
    substituted: [{ model: 'a/one', code: 'unavailable' }],
  })
  await built.clock.sleep(15_000, new AbortController().signal)
  aIsDown = false
  assert.deepEqual(await serve(), { type: 'served', provider: 'a', model: 'one', attempts: 1 })
})

test('when all stand back, the least recently failed is tried', async () => {
  const built = build(() => ({ fault: new Fault('network', 'gone', { cause: 'unreachable' }) }), {
    providers: { a: { ...a, maxRetries: 0 }, b: { ...b, maxRetries: 0 } },
    routes: both,
  })
  for (let time = 0; time < 5; time++) await run(built, ask({ model: 'best' }))
  await built.clock.sleep(1000, new AbortController().signal)
  await run(built, ask({ model: 'a/one' }))
  const before = built.sent.length
  await run(built, ask({ model: 'best' }))
  assert.ok(built.sent[before]?.url.startsWith('https://b.'))
})

test('a whole outage: a thousand calls make few requests, and one that is well again is found out', async () => {
  let isDown = true
  const built = build(() => (isDown ? refusal(503, { message: 'down' }) : fine))
  const codes = new Map<string | undefined, number>()
  for (let time = 0; time < 1000; time++) {
    const code = (await run(built)).fault?.code
    codes.set(code, (codes.get(code) ?? 0) + 1)
  }
  assert.ok(built.sent.length <= 1110, `${built.sent.length} requests`)
  assert.ok((codes.get('unavailable') ?? 0) > 900)
  isDown = false
  await built.clock.sleep(15_000, new AbortController().signal)
  assert.equal((await run(built)).text, 'Hello')
  assert.equal((await run(built)).text, 'Hello')
})

test('a fault of the request, of the client or of the deadline holds nothing against a target', async () => {
  const faults = [
    refusal(400, { message: 'bad' }),
    { fault: new Fault('timeout', 'over', { cause: 'deadline' }) },
    { fault: new Fault('unavailable', 'gone', { cause: 'cancelled' }) },
  ]
  const built = build((_, number) => (number < 90 ? (faults[number % 3] as Reply) : fine))
  for (let time = 0; time < 90; time++) await run(built)
  assert.equal((await run(built)).text, 'Hello')
})

test('failover: never after the first piece', async () => {
  const built = build(() => ({
    body: [chatChunk({ content: 'Hel' })],
    fault: new Fault('truncated', 'cut', { retryable: true }),
  }))
  const { text, fault } = await run(built, ask({ model: 'best' }))
  assert.equal(text, 'Hel')
  assert.equal(fault?.detail.provider, 'a')
  assert.equal(built.sent.length, 1)
})

test('failover: when all are down, the last fault is told with all the attempts', async () => {
  const built = build(() => refusal(401, { message: 'wrong' }))
  const { fault } = await run(built, ask({ model: 'best' }))
  assert.deepEqual([fault?.detail.provider, fault?.detail.attempts, built.sent.length], ['b', 2, 2])
})

const list = (...models: string[]) => ({
  best: { strategy: 'failover', targets: models.map((model) => ({ model })) },
})

test('a provider that cannot be called is told by the variable to set', async () => {
  const built = build(() => fine, { providers: { openai: { type: 'openai' }, a }, routes: list('openai/gpt-5') })
  for (const model of ['openai/gpt-5', 'best']) {
    const { fault } = await run(built, ask({ model }))
    assert.equal(fault?.code, 'configuration')
    assert.match(fault?.message ?? '', /OPENAI_API_KEY/)
  }
  assert.equal(built.sent.length, 0)
})

test('failover: a target that cannot be called is passed over, and that is told', async () => {
  const providers = { openai: { type: 'openai' }, a }
  const built = build(() => fine, { providers, routes: list('openai/gpt-5', 'a/one') })
  const { events } = await run(built, ask({ model: 'best' }))
  assert.deepEqual(servedBy(events), {
    type: 'served',
    provider: 'a',
    model: 'one',
    attempts: 1,
    substituted: [{ model: 'openai/gpt-5', code: 'configuration' }],
  })
})

test('failover: a target that cannot be called hides no other’s fault', async () => {
  const providers = { openai: { type: 'openai' }, a: { ...a, maxRetries: 0 } }
  const built = build(() => refusal(500, { message: 'down' }), { providers, routes: list('a/one', 'openai/gpt-5') })
  assert.equal((await run(built, ask({ model: 'best' }))).fault?.code, 'provider_error')
})

test('failover: who answers first has nobody in its place, whoever stands back behind it', async () => {
  const built = build(({ url }) => (url.startsWith('https://b.') ? refusal(500, { message: 'down' }) : fine), {
    providers: { a, b: { ...b, maxRetries: 0 } },
    routes: both,
  })
  for (let time = 0; time < 5; time++) await run(built, ask({ model: 'b/two' }))
  const { events } = await run(built, ask({ model: 'best' }))
  assert.deepEqual(servedBy(events), { type: 'served', provider: 'a', model: 'one', attempts: 1 })
})

test('failover: a model that stands twice in a list is not in its own place', async () => {
  const script: Script = (_, number) => (number === 0 ? refusal(500, { message: 'down' }) : fine)
  const built = build(script, { providers: { a: { ...a, maxRetries: 0 } }, routes: list('a/one', 'a/one') })
  const { events } = await run(built, ask({ model: 'best' }))
  assert.partialDeepStrictEqual(servedBy(events), { attempts: 2, met: [{ code: 'provider_error' }] })
  assert.equal(servedBy(events)?.substituted, undefined)
})

test('a call that was never sent says nothing of a target', async () => {
  const down = { type: 'anthropic', baseUrl: 'https://a.example.com', apiKey: 'sk-key-of-a', maxRetries: 0 }
  const built = build(({ url }) => (url.startsWith('https://a.') ? refusal(500, { message: 'down' }) : fine), {
    providers: { a: down, b },
    routes: both,
  })
  for (let time = 0; time < 4; time++) await run(built)
  const { signal } = new AbortController()
  const unsent = await gather(built.handle({ kind: 'text', model: 'a/one', prompt: 'x' }, { signal, streaming: true }))
  assert.equal(unsent.fault?.detail.attempts, 0)
  await run(built)
  const before = built.sent.length
  await run(built, ask({ model: 'best' }))
  assert.ok(built.sent[before]?.url.startsWith('https://b.'), 'it has failed five times in a row')
})

function keyFileFor(t: TestContext, key: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'pipeline-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'key')
  writeFileSync(file, key)
  return file
}

test('a key file that was replaced: one refusal, one more request, and both are counted', async (t) => {
  const file = keyFileFor(t, 'sk-old-key-0123')
  const built = build(
    (_, number) => {
      if (number > 0) return fine
      writeFileSync(file, 'sk-new-key-0123')
      return refusal(401, { message: 'expired' })
    },
    { providers: { a: { type: 'openai', baseUrl: 'https://a.example.com/v1', apiKeyFile: file } } },
  )
  const { text, events } = await run(built)
  assert.equal(text, 'Hello')
  assert.deepEqual(
    built.sent.map(({ headers }) => headers['authorization']),
    ['Bearer sk-old-key-0123', 'Bearer sk-new-key-0123'],
  )
  assert.partialDeepStrictEqual(servedBy(events), { provider: 'a', model: 'one', attempts: 2 })
})

test('a key file that was replaced while several calls were under way: each is made again', async (t) => {
  const file = keyFileFor(t, 'sk-old-key-0123')
  const { opened, open } = gate()
  const built = build(
    async ({ headers }) => {
      if (headers['authorization'] === 'Bearer sk-new-key-0123') return fine
      await opened
      return refusal(401, { message: 'expired' })
    },
    { providers: { a: { type: 'openai', baseUrl: 'https://a.example.com/v1', apiKeyFile: file } } },
  )
  const calls = [run(built), run(built), run(built)]
  writeFileSync(file, 'sk-new-key-0123')
  open()
  assert.deepEqual(
    (await Promise.all(calls)).map(({ text, fault }) => fault?.code ?? text),
    ['Hello', 'Hello', 'Hello'],
  )
  assert.equal(built.sent.length, 6)
})

test('a key file that is the same as before: one refusal is the answer', async (t) => {
  const file = keyFileFor(t, 'sk-old-key-0123')
  const built = build(() => refusal(401, { message: 'expired' }), {
    providers: { a: { type: 'openai', baseUrl: 'https://a.example.com/v1', apiKeyFile: file } },
  })
  assert.equal((await run(built)).fault?.code, 'authentication')
  assert.equal(built.sent.length, 1)
})

for (const key of ['sk-canary\nx', 'sk-canary é', 'sk canary']) {
  test(`a key that no header can carry, ${JSON.stringify(key)}, is told without a word of it`, async () => {
    const built = build(() => fine, { providers: { a: { ...a, apiKey: key } } })
    const { fault } = await run(built)
    assert.equal(fault?.code, 'configuration')
    assert.equal(fault?.detail.cause, 'bad_key')
    assert.doesNotMatch(`${fault?.message}${JSON.stringify(fault?.detail)}`, /canary/)
    assert.equal(built.sent.length, 0)
  })
}

// What a model refuses is learned from its refusal, mended, told and remembered.
const lessons: [string, Partial<ChatAsk>, object, string, string | undefined][] = [
  [
    'a parameter',
    { reasoningEffort: 'low' },
    {
      message: 'Unsupported parameter',
      type: 'invalid_request_error',
      param: 'reasoning_effort',
      code: 'unsupported_parameter',
    },
    'reasoning_effort',
    undefined,
  ],
  [
    'a value',
    { temperature: 0.5 },
    {
      message: "Unsupported value: 'temperature' does not support 0.5 with this model.",
      param: 'temperature',
      code: 'unsupported_value',
    },
    'temperature',
    undefined,
  ],
  [
    'a name',
    { maxTokens: 5 },
    {
      message:
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
      param: 'max_tokens',
      code: 'unsupported_parameter',
    },
    'max_tokens',
    'max_completion_tokens',
  ],
]
for (const [name, more, error, field, replacement] of lessons) {
  test(`${name} that a model refuses is mended once, told, and known from then on`, async () => {
    const built = build((request) => (Object.hasOwn(bodyOf(request), field) ? refusal(400, error) : fine))
    const first = await run(built, ask(more))
    assert.equal(first.text, 'Hello')
    assert.equal(built.sent.length, 2)
    if (replacement) assert.notEqual(bodyOf(built.sent[1])[replacement], undefined)
    const warned = (events: readonly Event[]) =>
      events.some((event) => event.type === 'warning' && event.message.includes(field))
    assert.ok(warned(first.events))
    const second = await run(built, ask(more))
    assert.equal(second.text, 'Hello')
    assert.equal(built.sent.length, 3)
    assert.ok(warned(second.events))
  })
}

const stubborn: [string, Partial<ChatAsk>, object][] = [
  [
    'what the caller passed through untouched',
    { options: { logit_bias: {} } },
    { message: 'no', param: 'logit_bias', code: 'unsupported_parameter' },
  ],
  [
    'what the call is about',
    { tools: [{ name: 'f', inputSchema: { type: 'object' } }] },
    { message: 'no', param: 'tools', code: 'unsupported_parameter' },
  ],
  ['what was never sent', {}, { message: 'no', param: 'seed', code: 'unsupported_parameter' }],
]
for (const [name, more, error] of stubborn) {
  test(`${name} is not taken away: the refusal is the answer`, async () => {
    const built = build(() => refusal(400, error))
    assert.equal((await run(built, ask(more))).fault?.code, 'invalid_request')
    assert.equal(built.sent.length, 1)
  })
}

test('a refusal that stays a refusal ends after one mending', async () => {
  const built = build(() => refusal(400, { message: 'no', param: 'temperature', code: 'unsupported_parameter' }))
  assert.equal((await run(built, ask({ temperature: 1 }))).fault?.code, 'invalid_request')
  assert.equal(built.sent.length, 2)
})

test('parameters refused one after the other are mended in the same call, each once', async () => {
  const given = { temperature: 1, topP: 0.5, seed: 7, stop: ['x'] }
  const names = ['seed', 'top_p', 'stop', 'temperature']
  const built = build((request) => {
    const param = names.find((name) => Object.hasOwn(bodyOf(request), name))
    return param ? refusal(400, { message: 'no', param, code: 'unsupported_parameter' }) : fine
  })
  const { text, events } = await run(built, ask(given))
  assert.equal(text, 'Hello')
  assert.equal(built.sent.length, names.length + 1)
  const warnings = events.flatMap((event) => (event.type === 'warning' ? [event.message] : []))
  assert.deepEqual(
    warnings,
    names.map((name) => `${name} was left out: one refuses it`),
  )
})

test('a parameter that is refused under its new name as well is left out', async () => {
  const built = build((request) => {
    const [old, other] = ['max_tokens', 'max_completion_tokens'].map((name) => Object.hasOwn(bodyOf(request), name))
    if (old)
      return refusal(400, { message: `Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.` })
    return other
      ? refusal(400, { message: `Unsupported parameter: 'max_completion_tokens'. Use 'max_tokens' instead.` })
      : fine
  })
  assert.equal((await run(built, ask({ maxTokens: 5 }))).text, 'Hello')
  assert.equal(built.sent.length, 3)
})

test('what two calls are refused at the same time is mended in both', async () => {
  const both = Promise.withResolvers<void>()
  const built = build(async (request, number) => {
    if (!Object.hasOwn(bodyOf(request), 'temperature')) return fine
    if (number === 1) both.resolve()
    await both.promise
    return refusal(400, { message: 'no', param: 'temperature', code: 'unsupported_parameter' })
  })
  const answers = await Promise.all([run(built, ask({ temperature: 1 })), run(built, ask({ temperature: 1 }))])
  assert.deepEqual(
    answers.map(({ text }) => text),
    ['Hello', 'Hello'],
  )
  assert.equal(built.sent.length, 4)
})

test('when the time of the call is up, no other route is tried', async () => {
  const over = new AbortController()
  const built = build(() => {
    over.abort(new Fault('timeout', 'over', { cause: 'deadline' }))
    return { fault: over.signal.reason as Fault }
  })
  const { fault } = await run(built, ask({ model: 'best' }), over.signal)
  assert.deepEqual([fault?.code, fault?.detail.cause], ['timeout', 'deadline'])
  assert.equal(built.sent.length, 1)
})

test('an interruption while the gateway waits to try again is told as one', async () => {
  const controller = new AbortController()
  const built = build(() => refusal(429, { message: 'slow down' }, { 'retry-after': '20' }))
  built.clock.sleep = (_, signal) =>
    new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true })
      controller.abort()
    })
  const handle = withDeadline(built.clock)(built.handle)
  const { fault } = await gather(handle(ask(), { signal: controller.signal, streaming: true }))
  assert.deepEqual([fault?.code, fault?.detail.cause], ['unavailable', 'cancelled'])
})

test('a reader that leaves ends the answer of the provider', async () => {
  const built = build(() => ({
    body: [chatChunk({ content: 'a' }), chatChunk({ content: 'b' }), chatChunk({ content: 'c' })],
  }))
  for await (const event of eventsIn(built.handle(ask(), { signal: new AbortController().signal, streaming: true }))) {
    if (event.type === 'text-delta') break
  }
  assert.deepEqual(built.released, [0])
})

test('a request that could not be made counts as no attempt', async () => {
  const built = build(() => fine)
  const { fault } = await run(built, ask({ tools: [{ name: 'not a name', inputSchema: { type: 'object' } }] }))
  assert.equal(fault?.code, 'invalid_request')
  assert.equal(fault?.detail.attempts, 0)
  assert.equal(built.sent.length, 0)
})
