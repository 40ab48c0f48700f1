import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { constants } from 'node:os'
import { describe, type TestContext, test } from 'node:test'
import { beginStream, chatScript, type Line, streamEnd } from '../harness/chat-script.ts'
import { type Gateway, type Json, modernMeta, program } from '../harness/gateway.ts'
import { at, gate, gatewayFor, heard, pointedAt, progressOf, repliesTo, until, upstreamFor } from '../harness/scope.ts'
import { chatChunk, sendJson, type Upstream } from '../harness/upstream.ts'

const megabyte = 1_000_000

const call = (id: string | number, prompt: string, progressToken?: unknown) => ({
  jsonrpc: '2.0',
  id,
  method: 'tools/call',
  params: {
    name: 'createCompletion',
    arguments: { prompt },
    _meta: { ...modernMeta, ...(progressToken === undefined ? {} : { progressToken }) },
  },
})
const listen = (id: string | number) => ({
  jsonrpc: '2.0',
  id,
  method: 'subscriptions/listen',
  params: { notifications: {}, _meta: modernMeta },
})
const cancel = (requestId: string | number) => ({
  jsonrpc: '2.0',
  method: 'notifications/cancelled',
  params: { requestId },
})
const textOf = (answer: unknown) => at(answer, 'result', 'content', 0, 'text')
const codeOf = (answer: unknown) => at(answer, 'result', '_meta', 'genai-gateway/error', 'code')
const joined = (gateway: Gateway, token: unknown) =>
  progressOf(gateway, token)
    .map(({ message = '' }) => message)
    .join('')
const answerTo = (gateway: Gateway, id: string | number) =>
  gateway.find((message) => message.id === id && message.method === undefined)

async function startBoth(t: TestContext, lines: Record<string, Line>, more: Record<string, string> = {}) {
  const upstream = await upstreamFor(t, chatScript(lines))
  return { upstream, gateway: gatewayFor(t, pointedAt(upstream, more)) }
}

/** Writes as fast as the reader takes it, until it is gone. */
async function pour(response: ServerResponse, text: string, pieces: number): Promise<void> {
  beginStream(response)
  for (let piece = 0; piece < pieces && !response.destroyed; piece++) {
    if (response.write(chatChunk({ content: text }))) continue
    await new Promise<void>((resolve) => {
      const goOn = () => {
        response.off('drain', goOn).off('close', goOn)
        resolve()
      }
      response.once('drain', goOn).once('close', goOn)
    })
  }
  response.end(streamEnd)
}

/** Waits until a number stands still, because neither side can do anything before the client reads. */
async function untilStill(read: () => number): Promise<number> {
  for (let seen = -1; ; ) {
    if (seen === read()) return seen
    seen = read()
    await new Promise((resolve) => setTimeout(resolve, 250))
  }
}

function assertIncreasing(gateway: Gateway, token: unknown): void {
  const steps = progressOf(gateway, token).map(({ progress }) => progress)
  for (const [index, step] of steps.entries()) assert.ok(index === 0 || step > (steps[index - 1] ?? step), `${steps}`)
}

/** Runs the code in the gateway's process before the gateway itself. */
const before = (code: string) => ['--import', `data:text/javascript,${encodeURIComponent(code)}`, program]

/** Runs the code inside the gateway once it serves, as a careless dependency would. */
const inside = (code: string) =>
  before(`const begun = setInterval(() => {
    if (process.listenerCount('SIGTERM') === 0) return
    clearInterval(begun)
    ${code}
  }, 1)`)

describe('stdout holds messages and nothing else', () => {
  test('what else is printed goes to stderr', async (t) => {
    const gateway = gatewayFor(
      t,
      {},
      inside(`console.log('stray', 1); console.info('stray 2'); process.stdout.write('stray 3\\n')`),
    )
    assert.deepEqual((await gateway.request('ping')).result, {})
    await until(() => gateway.stderr().includes('stray 3'))
    assert.match(gateway.stderr(), /stray 1\nstray 2\nstray 3\n/)
    assert.deepEqual(await gateway.end(), { code: 0, signal: null })
    assert.deepEqual(gateway.garbage, [])
    assert.equal(gateway.messages.length, 1)
  })

  test('in between calls too', async (t) => {
    const upstream = await upstreamFor(t, (_, response) => pour(response, 'x', 50))
    const gateway = gatewayFor(t, pointedAt(upstream), inside(`setInterval(() => console.log('stray'), 1)`))
    for (const id of [1, 2, 3]) gateway.send(call(id, 'any', id))
    for (const id of [1, 2, 3]) assert.equal(textOf(await answerTo(gateway, id)), 'x'.repeat(50))
    await until(() => gateway.stderr().includes('stray'))
    assert.deepEqual(gateway.garbage, [])
  })

  test('nor do Node’s own debug logs get there', async (t) => {
    const gateway = gatewayFor(t, { NODE_DEBUG: '*', DEBUG: '*', LOG_LEVEL: 'debug' })
    assert.equal(codeOf(await gateway.request('tools/call', call(1, 'x').params, 1)), 'configuration')
    await gateway.end()
    assert.deepEqual(gateway.garbage, [])
  })

  test('a message ends with one newline and nothing before it', async (t) => {
    const gateway = gatewayFor(t)
    let raw = ''
    gateway.child.stdout.on('data', (text: string) => (raw += text))
    await gateway.request('ping', {}, 'a')
    await gateway.request('ping', {}, 'b')
    assert.equal(raw, '{"jsonrpc":"2.0","id":"a","result":{}}\n{"jsonrpc":"2.0","id":"b","result":{}}\n')
  })

  const faults = {
    'before the first call': `
      const fs = process.getBuiltinModule('node:fs')
      const { read } = fs
      fs.read = (...args) => {
        const done = args.pop()
        read(...args, (...answer) => {
          done(...answer)
          throw new Error('kaboom')
        })
      }`,
    'behind a call': `process.stdin.once('resume', () =>
      process.stdin.on('data', () => { throw new Error('kaboom') }))`,
  }
  for (const [when, fault] of Object.entries(faults)) {
    test(`a fault inside, ${when}, ends the program, with what was answered delivered first`, async (t) => {
      const gateway = gatewayFor(t, {}, before(fault))
      if (when === 'behind a call') await gateway.request('tools/call', { name: 'listModels', _meta: modernMeta }, 0)
      gateway.send({ jsonrpc: '2.0', id: 1, method: 'ping' })
      assert.deepEqual(await gateway.exited, { code: 70, signal: null })
      await until(() => gateway.child.stdout.readableEnded && gateway.child.stderr.readableEnded)
      assert.deepEqual(repliesTo(gateway, 1), [{ jsonrpc: '2.0', id: 1, result: {} }])
      assert.match(gateway.stderr(), /kaboom/)
      assert.deepEqual(gateway.garbage, [])
    })
  }

  test('taking a key out of a message leaves a message', async (t) => {
    const upstream = await upstreamFor(t, (_, response) =>
      sendJson(response, 200, { object: 'list', data: [{ id: 'tiny', created: 1_712_345_678 }] }),
    )
    // What people set for a server that wants any key at all.
    const gateway = gatewayFor(t, pointedAt(upstream, { OPENAI_API_KEY: '12345678' }))
    gateway.send({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'listModels', _meta: modernMeta } })
    await until(() => gateway.messages.length + gateway.garbage.length > 0)
    assert.deepEqual(gateway.garbage, [])
  })
})

describe('many at once', () => {
  test('a thousand requests have a thousand answers', async (t) => {
    const gateway = gatewayFor(t)
    const ids = Array.from({ length: 1_000 }, (_, index) => (index % 2 ? index : `s${index}`))
    gateway.send(ids.map((id) => `${JSON.stringify({ jsonrpc: '2.0', id, method: 'ping' })}\n`).join(''))
    await answerTo(gateway, 999)
    await gateway.end()
    assert.deepEqual(
      gateway.messages.flat().map(({ id }) => id),
      ids,
    )
  })

  test('a hundred streams do not mix', async (t) => {
    const upstream = await upstreamFor(t, async (received, response) => {
      const name = String(at(received.json, 'messages', 0, 'content'))
      await pour(response, `${name} `, 20)
    })
    const busy = gatewayFor(t, pointedAt(upstream))
    const names = Array.from({ length: 100 }, (_, index) => `call-${index}`)
    for (const name of names) busy.send(call(name, name, name))
    for (const name of names) assert.equal(textOf(await answerTo(busy, name)), `${name} `.repeat(20))
    for (const name of names) {
      assert.equal(joined(busy, name), `${name} `.repeat(20))
      assertIncreasing(busy, name)
      assert.equal(repliesTo(busy, name).length, 1)
    }
  })

  test('a slow call holds nobody up', async (t) => {
    const { gateway } = await startBoth(t, { slow: () => {} })
    gateway.send(call(1, 'slow'))
    await gateway.request('ping')
    const startedMs = performance.now()
    await gateway.request('tools/list', { _meta: modernMeta })
    await gateway.request('ping')
    const elapsedMs = performance.now() - startedMs
    t.diagnostic(`${elapsedMs.toFixed(1)} ms for two answers`)
    assert.ok(elapsedMs < 250)
  })
})

describe('a client that does not read', () => {
  test('gets everything when it reads again: whole, in order, progress coalesced', { timeout: 30_000 }, async (t) => {
    const pieces = 3_000
    const text = 'é'.repeat(500)
    const streams = [1, 2, 3, 4]
    let written = 0
    const upstream = await upstreamFor(t, async (_, response) => {
      response.on('drain', () => (written += 1))
      await pour(response, text, pieces)
    })
    const gateway = gatewayFor(t, pointedAt(upstream))
    await gateway.request('ping')
    gateway.child.stdout.pause()
    for (const id of streams) gateway.send(call(id, 'any', id))
    await until(() => upstream.requests.length === streams.length)
    await untilStill(() => written)
    gateway.child.stdout.resume()

    const whole = text.repeat(pieces)
    for (const id of streams) {
      const answer = await answerTo(gateway, id)
      assert.ok(textOf(answer) === whole, 'the text is whole')
      assert.ok(at(answer, 'result', 'structuredContent', 'text') === whole, 'and so is its copy')
      assert.ok(joined(gateway, id) === whole, 'the messages make up the text')
      assertIncreasing(gateway, id)
      const reports = progressOf(gateway, id).length
      t.diagnostic(`${pieces} pieces came in ${reports} reports`)
      assert.ok(reports < pieces / 4)
    }
    assert.deepEqual(gateway.garbage, [])
    assert.deepEqual(await gateway.end(), { code: 0, signal: null })
  })

  test('is not listened to without end, and still gets all its answers in order', { timeout: 30_000 }, async (t) => {
    const gateway = gatewayFor(t)
    await gateway.request('ping')
    gateway.child.stdout.pause()
    const requests = 16_000
    for (let id = 0; id < requests; id++) {
      gateway.send({ jsonrpc: '2.0', id, method: 'tools/list', params: { _meta: modernMeta } })
    }
    const residentMib = () => {
      const status = process.platform === 'linux' ? readFileSync(`/proc/${gateway.child.pid}/status`, 'utf8') : ''
      return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024
    }
    const untaken = await untilStill(() => gateway.child.stdin.writableLength)
    t.diagnostic(`${Math.round(residentMib())} MiB resident, ${untaken} bytes of input not taken`)
    assert.ok(untaken > 0, 'what is asked for is left in the pipe')
    assert.ok(residentMib() < 300)
    gateway.child.stdout.resume()
    await until(() => gateway.messages.length === requests + 1, 20_000)
    for (const [index, message] of gateway.messages.flat().slice(1).entries()) assert.equal(message.id, index)
    assert.deepEqual(await gateway.end(), { code: 0, signal: null })
  })

  test('is not listened to without end behind a long answer either', { timeout: 30_000 }, async (t) => {
    const { gateway } = await startBoth(t, { long: (response) => pour(response, 'x'.repeat(100_000), 20) })
    await gateway.request('ping')
    gateway.child.stdout.pause()
    gateway.send(call('long', 'long'))
    await until(() => gateway.child.stdout.readableLength > 0)
    const requests = 16_000
    let taken = 0
    const write = async () => {
      for (let id = 0; id < requests; id++, taken++) {
        const request = { jsonrpc: '2.0', id, method: 'tools/list', params: { _meta: modernMeta } }
        await new Promise((resolve) => gateway.child.stdin.write(`${JSON.stringify(request)}\n`, resolve))
      }
    }
    const written = write()
    await untilStill(() => taken)
    t.diagnostic(`${taken} requests taken`)
    assert.ok(taken < requests, 'what is asked for is left in the pipe')
    gateway.child.stdout.resume()
    await written
    await until(() => gateway.messages.length === requests + 2, 20_000)
    const [, long, ...listed] = gateway.messages.flat()
    assert.equal(String(textOf(long)).length, 2 * megabyte)
    for (const [index, message] of listed.entries()) assert.equal(message.id, index)
    assert.deepEqual(await gateway.end(), { code: 0, signal: null })
  })

  test('slows the provider down, and can still cancel', async (t) => {
    let written = 0
    let finished = false
    const { gateway, upstream } = await startBoth(t, {
      async flood(response) {
        response.on('drain', () => (written += 1)).on('finish', () => (finished = true))
        await pour(response, 'x'.repeat(1_000), 50_000)
      },
    })
    await gateway.request('ping')
    gateway.child.stdout.pause()
    gateway.send(call(1, 'flood', 1))
    await until(() => upstream.requests.length === 1)
    await untilStill(() => written)
    assert.equal(finished, false, 'what cannot be passed on is not asked for')
    gateway.send(cancel(1))
    await upstream.closed(0)
    gateway.child.stdout.resume()
    await gateway.request('ping')
    assert.deepEqual(repliesTo(gateway, 1), [])
  })
})

describe('progress', () => {
  for (const token of [0, '', -1, 'a', 9007199254740991]) {
    test(`token ${JSON.stringify(token)} is a token`, async (t) => {
      const release = gate()
      const { gateway } = await startBoth(t, {
        async two(response) {
          beginStream(response, 'one ')
          await release.opened
          response.write(chatChunk({ content: 'two' }))
          response.end(streamEnd)
        },
      })
      gateway.send(call(1, 'two', token))
      // The first piece goes out at once: the second does not come before it has arrived.
      const first = await gateway.find(({ method }) => method === 'notifications/progress')
      assert.equal(first.params?.['progressToken'], token)
      assert.equal(first.params?.['message'], 'one ')
      release.open()
      const answer = await answerTo(gateway, 1)
      assert.equal(textOf(answer), 'one two')
      assert.equal(joined(gateway, token), 'one two')
      assertIncreasing(gateway, token)
      await gateway.end()
      assert.equal(gateway.messages.at(-1), answer, 'nothing comes after the result')
    })
  }

  for (const token of [1.5, true, null, {}, ['a'], 1e300]) {
    test(`token ${JSON.stringify(token)} is none`, async (t) => {
      const { gateway } = await startBoth(t, { two: (response) => pour(response, 'x', 2) })
      const messages = await heard(gateway, call(1, 'two', token), 1)
      assert.deepEqual(messages.map(textOf), ['xx'])
    })
  }

  test('without a token there is none', async (t) => {
    const { gateway } = await startBoth(t, { two: (response) => pour(response, 'x', 2) })
    const messages = await heard(gateway, call(1, 'two'), 1)
    assert.deepEqual(messages.map(textOf), ['xx'])
  })

  test('a token in use is refused, and the first call goes on', async (t) => {
    const release = gate()
    const { gateway, upstream } = await startBoth(t, {
      async held(response) {
        beginStream(response, 'one')
        await release.opened
        response.end(streamEnd)
      },
    })
    gateway.send(call(1, 'held', 't'))
    await gateway.find(({ method }) => method === 'notifications/progress')
    const refused = await gateway.request('tools/call', call(2, 'held', 't').params, 2)
    assert.equal(refused.error?.code, -32602)
    release.open()
    assert.equal(textOf(await answerTo(gateway, 1)), 'one')
    assert.equal(upstream.requests.length, 1)
    gateway.send(call(3, 'held', 't'))
    assert.equal(textOf(await answerTo(gateway, 3)), 'one')
  })

  test('a token is free again as soon as its call is cancelled', async (t) => {
    const { gateway, upstream } = await startBoth(t, { endless: (response) => beginStream(response, 'one') })
    gateway.send(call(1, 'endless', 't'))
    await gateway.find(({ method }) => method === 'notifications/progress')
    gateway.send(`${JSON.stringify(cancel(1))}\n${JSON.stringify(call(2, 'endless', 't'))}\n`)
    await Promise.race([until(() => upstream.requests.length === 2), answerTo(gateway, 2)])
    assert.deepEqual(repliesTo(gateway, 2), [])
  })

  test('at most 20 a second, joined they are the text, none after the result', async (t) => {
    const pieces = Array.from({ length: 240 }, (_, index) => `${index} `)
    const { gateway } = await startBoth(t, {
      async drip(response) {
        beginStream(response)
        for (const piece of pieces) {
          response.write(chatChunk({ content: piece }))
          await new Promise((resolve) => setTimeout(resolve, 5))
        }
        response.end(streamEnd)
      },
    })
    const startedMs = performance.now()
    gateway.send(call('drip', 'drip', 'drip'))
    const answer = await answerTo(gateway, 'drip')
    const elapsedMs = performance.now() - startedMs
    await gateway.end()
    assert.equal(joined(gateway, 'drip'), pieces.join(''))
    assert.equal(textOf(answer), pieces.join(''))
    assertIncreasing(gateway, 'drip')
    assert.equal(gateway.messages.at(-1), answer)
    const reports = progressOf(gateway, 'drip').length
    t.diagnostic(`${reports} reports in ${Math.round(elapsedMs)} ms`)
    // The first goes out at once and the last with the result.
    assert.ok(reports <= elapsedMs / 50 + 2)
    assert.ok(reports >= 5)
  })

  test('reasoning moves it and adds no text', async (t) => {
    const { gateway } = await startBoth(t, {
      async think(response) {
        beginStream(response)
        response.write(chatChunk({ reasoning_content: 'hm ' }))
        await gateway.find(({ method }) => method === 'notifications/progress')
        response.write(chatChunk({ content: 'yes' }))
        response.end(streamEnd)
      },
    })
    gateway.send(call(1, 'think', 't'))
    assert.equal(textOf(await answerTo(gateway, 1)), 'yes')
    const [first, ...more] = progressOf(gateway, 't')
    assert.ok(first && !('message' in first))
    assert.equal(more.map(({ message }) => message).join(''), 'yes')
    assertIncreasing(gateway, 't')
  })

  test('what was streamed before a failure has all been told', async (t) => {
    const { gateway } = await startBoth(t, {
      async breaks(response) {
        beginStream(response, 'one ', 'two ')
        await gateway.find(({ method }) => method === 'notifications/progress')
        response.write(chatChunk({ content: 'three' }), () => response.destroy())
      },
    })
    gateway.send(call(1, 'breaks', 't'))
    const answer = await answerTo(gateway, 1)
    assert.equal(codeOf(answer), 'truncated')
    assert.equal(at(answer, 'result', 'content', 1, 'text'), joined(gateway, 't'))
    assert.match(joined(gateway, 't'), /^one two /)
    await gateway.end()
    assert.equal(gateway.messages.at(-1), answer)
  })
})

describe('cancellation', () => {
  const moments: {
    name: string
    line: Line
    slack?: number
    begun(gateway: Gateway, upstream: Upstream): Promise<unknown>
  }[] = [
    {
      name: 'before the first byte',
      line: () => {},
      begun: (_, upstream) => until(() => upstream.requests.length === 1),
    },
    {
      name: 'in the middle of the answer',
      line: (response) => beginStream(response, 'one'),
      begun: (gateway) => gateway.find(({ method }) => method === 'notifications/progress'),
    },
    {
      name: 'while the answer pours in',
      line: (response) => pour(response, 'x'.repeat(1_000), 100_000),
      begun: (gateway) => gateway.find(({ method }) => method === 'notifications/progress'),
      // This process is busy pouring, and sees its own sockets late.
      slack: 800,
    },
  ]
  for (const { name, line, begun, slack = 0 } of moments) {
    test(`${name}: the socket closes, and nothing more is said`, async (t) => {
      const { gateway, upstream } = await startBoth(t, { line })
      gateway.send(call(0, 'line', 'token'))
      await begun(gateway, upstream)
      const startedMs = performance.now()
      gateway.send(cancel(0))
      await upstream.closed(0)
      const elapsedMs = performance.now() - startedMs
      t.diagnostic(`${elapsedMs.toFixed(1)} ms until the socket closed; promised are 50`)
      assert.ok(elapsedMs < 200 + slack)

      // What was on its way may have come before this answer; nothing may come behind it.
      await gateway.request('ping')
      const told = progressOf(gateway, 'token').length
      // The id is free: the same one can be used at once.
      assert.deepEqual((await gateway.request('ping', {}, 0)).result, {})
      await gateway.end()
      assert.equal(progressOf(gateway, 'token').length, told)
      assert.equal(repliesTo(gateway, 0).length, 1)
    })
  }

  test('while it waits to try again: no further attempt', async (t) => {
    const upstream = await upstreamFor(t, (_, response) =>
      sendJson(response, 429, { error: { message: 'slow down', code: 'rate_limit_exceeded' } }, { 'retry-after': '1' }),
    )
    const gateway = gatewayFor(t, pointedAt(upstream, { MAX_RETRIES: '3' }))
    gateway.send(call(1, 'any', 't'))
    await upstream.closed(0)
    gateway.send(cancel(1))
    await gateway.request('ping')
    // The program has nothing left to do, so it ends at once instead of after the wait.
    const startedMs = performance.now()
    assert.deepEqual(await gateway.end(), { code: 0, signal: null })
    assert.ok(performance.now() - startedMs < 800)
    assert.equal(upstream.requests.length, 1)
    assert.deepEqual(repliesTo(gateway, 1), [])
  })

  test('in the same breath as the call', async (t) => {
    const { gateway } = await startBoth(t, { endless: (response) => beginStream(response, 'one') })
    gateway.send(`${JSON.stringify(call(1, 'endless', 't'))}\n${JSON.stringify(cancel(1))}\n`)
    await gateway.request('ping')
    assert.deepEqual(await gateway.end(), { code: 0, signal: null })
    assert.deepEqual(repliesTo(gateway, 1), [])
    assert.deepEqual(progressOf(gateway, 't'), [])
  })

  test('of a hundred calls, all at once', async (t) => {
    const { gateway, upstream } = await startBoth(t, { endless: (response) => beginStream(response, 'one') })
    const ids = Array.from({ length: 100 }, (_, index) => index)
    for (const id of ids) gateway.send(call(id, 'endless', id))
    for (const id of ids) await gateway.find(({ params }) => params?.['progressToken'] === id)
    for (const id of ids) gateway.send(cancel(id))
    await Promise.all(ids.map((id) => upstream.closed(id)))
    await gateway.request('ping')
    assert.deepEqual(await gateway.end(), { code: 0, signal: null })
    for (const id of ids) assert.deepEqual(repliesTo(gateway, id), [])
  })
})

describe('the end', { concurrency: 4 }, () => {
  const lines = (release: Promise<void>): Record<string, Line> => ({
    async held(response) {
      beginStream(response, 'one ')
      await release
      response.write(chatChunk({ content: 'two' }))
      response.end(streamEnd)
    },
    hangs: (response) => beginStream(response, 'begun'),
    silent: () => {},
    async big(response) {
      await pour(response, 'y'.repeat(100_000), 50)
    },
  })
  const big = 'y'.repeat(5 * megabyte)
  const endings: { name: string; code: number; begin(gateway: Gateway): void }[] = [
    { name: 'end of input', code: 0, begin: (gateway) => gateway.child.stdin.end() },
    ...(['SIGTERM', 'SIGINT', 'SIGHUP'] as const).map((signal) => ({
      name: signal,
      code: 128 + constants.signals[signal],
      begin: (gateway: Gateway) => void gateway.child.kill(signal),
    })),
  ]
  assert.deepEqual(
    endings.map(({ code }) => code),
    [0, 143, 130, 129],
  )

  for (const { name, code, begin } of endings) {
    test(`${name}, idle: ends at once`, async (t) => {
      const gateway = gatewayFor(t, { OPENAI_API_KEY: 'sk-0123456789' })
      await gateway.request('ping')
      const startedMs = performance.now()
      begin(gateway)
      assert.deepEqual(await gateway.exited, { code, signal: null })
      assert.ok(performance.now() - startedMs < 1_500)
      assert.equal(gateway.stderr(), '')
    })

    test(`${name}, a call in flight: it finishes and is delivered`, async (t) => {
      const release = gate()
      const { gateway } = await startBoth(t, lines(release.opened))
      gateway.send(listen('end'))
      gateway.send(call(1, 'held', 't'))
      await gateway.find(({ method }) => method === 'notifications/progress')
      begin(gateway)
      // A subscription is ended by the beginning of the end, so its answer tells that this has come.
      await answerTo(gateway, 'end')
      const startedMs = performance.now()
      release.open()
      assert.deepEqual(await gateway.exited, { code, signal: null })
      assert.ok(performance.now() - startedMs < 2_000)
      await until(() => repliesTo(gateway, 1).length === 1)
      assert.equal(textOf(repliesTo(gateway, 1)[0]), 'one two')
      assert.equal(joined(gateway, 't'), 'one two')
      assert.deepEqual(gateway.garbage, [])
    })

    test(`${name}, five megabytes unread: a slow reader gets them whole`, async (t) => {
      const { gateway } = await startBoth(t, lines(Promise.resolve()))
      await gateway.request('ping')
      gateway.child.stdout.pause()
      gateway.send(call(1, 'big'))
      gateway.send(listen('end'))
      // The answer has begun to come out, and does not fit into the pipe.
      await until(() => gateway.child.stdout.readableLength > 0)
      begin(gateway)
      gateway.child.stdout.on('data', () => {
        gateway.child.stdout.pause()
        setTimeout(() => gateway.child.stdout.resume(), 2)
      })
      gateway.child.stdout.resume()
      const answer = await answerTo(gateway, 1)
      assert.ok(textOf(answer) === big)
      assert.deepEqual(await gateway.exited, { code, signal: null })
    })
  }

  test('end of input, and SIGTERM while five megabytes are still unread: they are delivered', async (t) => {
    const { gateway, upstream } = await startBoth(t, lines(Promise.resolve()))
    await gateway.request('ping')
    gateway.child.stdout.pause()
    gateway.send(call(1, 'big'))
    await upstream.closed(0)
    await until(() => gateway.child.stdout.readableLength > 0)
    gateway.child.stdin.end()
    // An SDK's client ends the input, and sends the signal two seconds later.
    await new Promise((resolve) => setTimeout(resolve, 500))
    gateway.child.kill('SIGTERM')
    await Promise.race([gateway.exited, new Promise((resolve) => setTimeout(resolve, 300))])
    gateway.child.stdout.resume()
    await gateway.exited
    await until(() => gateway.child.stdout.readableEnded)
    const [answer] = repliesTo(gateway, 1)
    assert.ok(textOf(answer) === big, 'the answer that was there before the signal')
  })

  test('end of input, calls that hang: interrupted and answered, in less than the 5 s that a host gives', async (t) => {
    const { gateway, upstream } = await startBoth(t, lines(gate().opened))
    gateway.send(call(1, 'hangs', 't'))
    gateway.send(call(2, 'silent'))
    await gateway.find(({ method }) => method === 'notifications/progress')
    await until(() => upstream.requests.length === 2)
    const startedMs = performance.now()
    assert.deepEqual(await gateway.end(), { code: 0, signal: null })
    const elapsedMs = performance.now() - startedMs
    t.diagnostic(`${Math.round(elapsedMs)} ms`)
    assert.ok(elapsedMs > 3_000 && elapsedMs < 4_900)
    await until(() => repliesTo(gateway, 2).length === 1)
    for (const id of [1, 2]) {
      const [answer, ...more] = repliesTo(gateway, id)
      assert.deepEqual(more, [])
      assert.equal(at(answer, 'result', 'isError'), true)
      assert.equal(codeOf(answer), 'unavailable')
      assert.equal(at(answer, 'result', '_meta', 'genai-gateway/error', 'cause'), 'cancelled')
      assert.equal(at(answer, 'result', '_meta', 'genai-gateway/error', 'retryable'), true)
    }
    assert.equal(at(repliesTo(gateway, 1)[0], 'result', 'content', 1, 'text'), 'begun')
    await Promise.all([upstream.closed(0), upstream.closed(1)])
  })

  test('end of input, a call that hangs behind a client that reads late: answered all the same', async (t) => {
    const { gateway, upstream } = await startBoth(t, {
      flood: (response) => pour(response, 'x'.repeat(1_000), 10_000),
    })
    await gateway.request('ping')
    gateway.child.stdout.pause()
    gateway.send(call(1, 'flood', 1))
    await until(() => upstream.requests.length === 1)
    gateway.child.stdin.end()
    // The grace is over and the call is interrupted while nobody reads.
    await upstream.closed(0)
    await new Promise((resolve) => setTimeout(resolve, 400))
    gateway.child.stdout.resume()
    assert.deepEqual(await gateway.exited, { code: 0, signal: null })
    await until(() => gateway.child.stdout.readableEnded)
    assert.equal(repliesTo(gateway, 1).length, 1)
  })

  test('a second signal does not wait', async (t) => {
    const { gateway } = await startBoth(t, lines(gate().opened))
    gateway.send(listen('end'))
    gateway.send(call(1, 'hangs', 't'))
    await gateway.find(({ method }) => method === 'notifications/progress')
    gateway.child.kill('SIGTERM')
    await answerTo(gateway, 'end')
    const startedMs = performance.now()
    gateway.child.kill('SIGINT')
    const { code } = await gateway.exited
    assert.ok(performance.now() - startedMs < 1_500)
    assert.ok(code === 130 || code === 143)
  })

  test('the reader closes stdout: a quiet end', async (t) => {
    const { gateway, upstream } = await startBoth(t, lines(gate().opened))
    gateway.send(call(1, 'hangs', 't'))
    await gateway.find(({ method }) => method === 'notifications/progress')
    gateway.child.stdout.destroy()
    const startedMs = performance.now()
    gateway.send({ jsonrpc: '2.0', id: 2, method: 'ping' })
    assert.deepEqual(await gateway.exited, { code: 0, signal: null })
    const elapsedMs = performance.now() - startedMs
    t.diagnostic(`${Math.round(elapsedMs)} ms`)
    assert.ok(elapsedMs < 1_000)
    await upstream.closed(0)
    assert.equal(gateway.stderr(), '')
  })

  test('the reader closes stdout while answers pour out', async (t) => {
    const { gateway, upstream } = await startBoth(t, {
      flood: (response) => pour(response, 'x'.repeat(1_000), 100_000),
    })
    for (const id of [1, 2, 3]) gateway.send(call(id, 'flood', id))
    await gateway.find(({ method }) => method === 'notifications/progress')
    const startedMs = performance.now()
    gateway.child.stdout.destroy()
    assert.deepEqual(await gateway.exited, { code: 0, signal: null })
    assert.ok(performance.now() - startedMs < 1_000)
    await Promise.all(upstream.requests.map((_, index) => upstream.closed(index)))
    assert.equal(gateway.stderr(), '')
  })

  test('stderr that nobody reads any more is no fault', async (t) => {
    const { gateway } = await startBoth(t, lines(Promise.resolve()), { LOG_LEVEL: 'debug', DEFAULT_MODEL: '<UNKNOWN>' })
    gateway.child.stderr.destroy()
    await gateway.request('ping')
    const params = call(1, 'held').params
    const named = { ...params, arguments: { ...params.arguments, model: 'tiny' } as Json }
    assert.equal(textOf(await gateway.request('tools/call', named)), 'one two')
    assert.deepEqual(await gateway.end(), { code: 0, signal: null })
  })

  test('both are closed', async (t) => {
    const gateway = gatewayFor(t, { LOG_LEVEL: 'debug' })
    await gateway.request('ping')
    gateway.child.stderr.destroy()
    gateway.child.stdout.destroy()
    gateway.send(call(1, 'any'))
    assert.deepEqual(await gateway.exited, { code: 0, signal: null })
  })

  test('the parent is killed and the pipe stays open: ends by itself', async (t) => {
    const holder = `process.stdout.write('{"jsonrpc":"2.0","id":"a","method":"ping"}\\n'); setInterval(() => {}, 1000)`
    const wrapper = `
      const { spawn } = require('node:child_process')
      const holder = spawn(process.execPath, ['-e', ${JSON.stringify(holder)}], { stdio: ['ignore', 'pipe', 'ignore'] })
      const gateway = spawn(process.execPath, [process.argv[1]], { stdio: [holder.stdout, 'inherit', 'inherit'] })
      process.stderr.write(\`pids \${holder.pid} \${gateway.pid} .\`)`
    const gateway = gatewayFor(t, {}, ['-e', wrapper, program])
    await answerTo(gateway, 'a')
    await until(() => /pids \d+ \d+ \./.test(gateway.stderr()))
    const [holderPid = 0, gatewayPid = 0] = (/pids (\d+) (\d+)/.exec(gateway.stderr()) ?? []).slice(1).map(Number)
    t.after(() => {
      for (const pid of [holderPid, gatewayPid]) if (isAlive(pid)) process.kill(pid, 'SIGKILL')
    })
    assert.ok(isAlive(gatewayPid))
    const startedMs = performance.now()
    gateway.child.kill('SIGKILL')
    await until(() => !isAlive(gatewayPid))
    const elapsedMs = performance.now() - startedMs
    t.diagnostic(`${Math.round(elapsedMs)} ms`)
    assert.ok(elapsedMs < 5_000)
    assert.ok(isAlive(holderPid), 'the pipe was open all the time')
  })
})

/** Whether the process runs; one that has ended and was not waited for does not. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' && process.platform !== 'linux'
  }
}
