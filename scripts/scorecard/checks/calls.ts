import type { Check } from '../check.ts'
import { messagesOf } from '../history.ts'
import { inShort, repliesTo } from '../replies.ts'
import { endless, ok } from '../scenes.ts'
import { delay, patiently, sideBySide } from '../stage.ts'
import { answer } from '../wire.ts'

/** Calls that collide, are cancelled, stream, or bring arguments that nobody expected. */

const wrongArguments: Readonly<Record<string, [args: object, named: string]>> = {
  'no prompt': [{ prompt: undefined }, 'prompt'],
  'prompt as a number': [{ prompt: 5 }, 'prompt'],
  'prompt and messages': [{ prompt: 'x', messages: [{ role: 'user', content: 'x' }] }, 'messages'],
  'messages as a text': [{ prompt: undefined, messages: 'x' }, 'messages'],
  'a role of no one': [{ prompt: undefined, messages: [{ role: 'wizard', content: 'x' }] }, 'role'],
  'maxTokens as a text': [{ maxTokens: 'many' }, 'maxTokens'],
  'maxTokens below one': [{ maxTokens: -1 }, 'maxTokens'],
  'temperature as a text': [{ temperature: 'hot' }, 'temperature'],
  'stop as numbers': [{ stop: [1] }, 'stop'],
  'seed as a fraction': [{ seed: 1.5 }, 'seed'],
  'an unknown mode': [{ mode: 'song' }, 'mode'],
  'timeout below zero': [{ timeout: -5 }, 'timeout'],
  'tools as a text': [{ tools: 'x' }, 'tools'],
  'a tool without a name': [{ tools: [{ inputSchema: {} }] }, 'tools'],
  'model as a list': [{ model: ['x'] }, 'model'],
  'an unknown property': [{ temprature: 1 }, 'temperature'],
  'responseSchema as a text': [{ responseSchema: 'x' }, 'responseSchema'],
}

/** A character of each row of each plane but the surrogates, and the last ones of Unicode. */
const everyBlock = Array.from({ length: 0x110000 / 128 }, (_, row) => row * 128 + (row === 0 ? 65 : 1))
  .filter((code) => code < 0xd800 || code > 0xdfff)
  .map((code) => String.fromCodePoint(code))
  .join('')

export const calls: readonly Check[] = [
  {
    id: 'C10',
    what: 'an id that is in flight already, an id used again, 1 000 calls at once',
    async run(stage) {
      let release = () => {}
      const released = new Promise<void>((resolve) => (release = resolve))
      const upstream = await stage.upstream(async (exchange) => {
        if (exchange.prompt === 'held') await released
        return ok(exchange, [`for ${exchange.prompt}`])
      })
      const gateway = await stage.gateway({ providers: { a: { at: upstream } } })
      const first = gateway.ask({ prompt: 'held' }, { id: 'twice' })
      await patiently(() => upstream.calls().length === 1, 5000)
      const from = gateway.history.lines.length
      // The driver gives each answer to the last request of its id: the first one's is read from the lines.
      const second = await gateway.request('tools/list', {}, { id: 'twice' })
      stage.equal(second.message?.error?.code, -32600, 'the second of one id')
      release()
      await patiently(() => gateway.history.lines.length > from + 1, 5000)
      const said = gateway.history.lines.slice(from).flatMap(messagesOf)
      stage.equal(said.filter(({ id }) => id === 'twice').length, 2, 'answers with that id')
      stage.equal(
        said.filter(({ id, result }) => id === 'twice' && result !== undefined).length,
        1,
        'results of the first',
      )
      void first
      stage.equal((await gateway.ask({}, { id: 'twice' })).isError, false, 'the id used again')
      const many = await Promise.all(Array.from({ length: 1000 }, (_, at) => gateway.ask({ prompt: `many ${at}` })))
      stage.equal(
        many.filter(({ text }, at) => text === `for many ${at}`).length,
        1000,
        'right answers of 1 000 at once',
      )
      return undefined
    },
  },
  {
    id: 'C11',
    what: 'cancelled: unknown, finished, malformed, in the queue, and 1 000 times in mid-stream',
    alone: true,
    heavy: true,
    async run(stage) {
      const upstream = await stage.upstream((exchange) =>
        exchange.prompt.startsWith('prompt') || exchange.prompt.startsWith('queued') ? endless(exchange) : ok(exchange),
      )
      const gateway = await stage.gateway({
        providers: { a: { at: upstream }, narrow: { at: upstream, maxConcurrency: 2 } },
        era: '2025-11-25',
      })
      await gateway.ask({ prompt: 'warm' }, { id: 'done' })
      const notice = (params: unknown) =>
        `${JSON.stringify({ jsonrpc: '2.0', method: 'notifications/cancelled', params })}\n`
      const odd = [
        { requestId: 'unknown' },
        { requestId: 'done' },
        {},
        { requestId: null },
        { requestId: { a: 1 } },
        'x',
        null,
        [1],
      ]
      for (const reply of await repliesTo(gateway, odd.map(notice)))
        stage.equal(inShort(reply), '', 'a reply to a cancellation')

      const places = ['a', 'b', 'c', 'd'].map((name) => ({
        id: `place ${name}`,
        answer: gateway.ask(
          { model: 'narrow/tiny', prompt: `queued ${name}` },
          { id: `place ${name}`, patienceMs: 100 },
        ),
      }))
      await patiently(() => upstream.calls().length >= 3, 5000)
      for (const { id } of places.toReversed()) gateway.cancel(id)
      await Promise.all(places.map(({ answer }) => answer))
      stage.equal(
        (await gateway.ask({ model: 'narrow/tiny', prompt: 'after' })).text,
        'fine thanks',
        'a place after the queue was cancelled',
      )

      const slow: number[] = []
      let midway = 0
      let worst = 0
      await sideBySide(Array(1000).fill(0), 5, async (_, at) => {
        const prompt = `prompt cancelled ${at}`
        const id = `cancelled ${at}`
        void gateway.ask({ prompt }, { id, patienceMs: 50, token: `token ${at}` })
        await delay(stage.random.below(30))
        const cancelledMs = performance.now()
        gateway.cancel(id)
        // Answered right behind the cancellation: whatever is said of the call after that is too late.
        void gateway.ping()
        await delay(1)
        const exchange = upstream.calls().find((one) => one.prompt === prompt)
        await exchange?.gone
        if (exchange) midway += 1
        const tookMs = exchange ? performance.now() - cancelledMs : 0
        worst = Math.max(worst, tookMs)
        if (tookMs > 50) slow.push(tookMs)
      })
      stage.expect(
        slow.length === 0,
        `${slow.length} of 1000 connections closed later than 50 ms, the latest after ${Math.round(worst)} ms`,
      )
      stage.expect(midway >= 500, `only ${midway} of 1000 calls had reached the upstream when they were cancelled`)
      await gateway.ping()
      await patiently(
        () => upstream.calls().every(({ socket, prompt }) => socket.destroyed || !prompt.startsWith('prompt')),
        500,
      )
      const open = upstream
        .calls()
        .filter(({ socket, prompt }) => prompt.startsWith('prompt') && !socket.destroyed).length
      stage.equal(open, 0, 'connections of cancelled calls that stay open')
      return `${midway} in mid-stream, the slowest closed ${Math.round(worst)} ms after its cancellation`
    },
  },
  {
    id: 'C12',
    what: 'progress: tokens of each type, one given twice, 100 000 events',
    heavy: true,
    async run(stage) {
      const words = Array.from({ length: 100_000 }, (_, at) => `w${at} `)
      const long = answer('openai', words)
      const upstream = await stage.upstream(async (exchange) => {
        if (exchange.prompt === 'endless') return endless(exchange)
        if (exchange.prompt !== 'long') return ok(exchange)
        exchange.owe(words.join(''))
        await exchange.send(long)
      })
      const gateway = await stage.gateway({ providers: { a: { at: upstream } } })
      for (const token of ['text', '', 0, 42, -1]) {
        await gateway.ask({}, { token })
        const notices = gateway.history.lines
          .flatMap(messagesOf)
          .filter(({ params }) => params?.['progressToken'] === token)
        stage.expect(notices.length > 0, `no progress for the token ${JSON.stringify(token)}`)
      }
      const held = gateway.ask({ prompt: 'endless' }, { id: 'held', token: 'same', patienceMs: 100 })
      await patiently(() => upstream.calls().some(({ prompt }) => prompt === 'endless'), 5000)
      const again = await gateway.ask({}, { id: 'again' })
      stage.equal(again.isError, false, 'a call beside it')
      const twice = await gateway.request('tools/call', { name: 'listModels', arguments: {} }, { token: 'same' })
      stage.equal(twice.message?.error?.code, -32602, 'a token that is in use')
      gateway.cancel('held')
      await held
      await gateway.ping()
      const startMs = performance.now()
      const result = await gateway.ask({ prompt: 'long' }, { token: 'long' })
      const tookMs = performance.now() - startMs
      const notices = gateway.history.lines
        .flatMap(messagesOf)
        .filter(({ params }) => params?.['progressToken'] === 'long')
      stage.equal(
        notices.map(({ params }) => params?.['message'] ?? '').join('') === result.text,
        true,
        'the messages joined are the text',
      )
      const most = Math.ceil((tookMs / 1000) * 20) + 2
      stage.expect(notices.length <= most, `${notices.length} notices in ${Math.round(tookMs)} ms, at most ${most}`)
      return `${notices.length} notices for 100 000 events in ${Math.round(tookMs)} ms`
    },
  },
  {
    id: 'C13',
    what: 'arguments that break the schema, __proto__, a prompt of 10 MB, every block of Unicode',
    async run(stage) {
      const upstream = await stage.upstream((exchange) => {
        const said = exchange.prompt.length > 100_000 ? `${exchange.prompt.length} characters` : exchange.prompt
        exchange.owe(said)
        return exchange.send(answer('openai', [said]))
      })
      const gateway = await stage.gateway({ providers: { a: { at: upstream } } })
      for (const [what, [args, named]] of Object.entries(wrongArguments)) {
        const { isError, code, message } = await gateway.ask({ prompt: 'x', ...args })
        const sentence = JSON.stringify(message?.result?.['content'] ?? message)
        stage.equal([isError, code], [true, 'invalid_request'], what)
        stage.expect(
          sentence.toLowerCase().includes(named.toLowerCase()),
          `${what} is not named in ${sentence.slice(0, 120)}`,
        )
      }
      stage.equal(upstream.exchanges.length, 0, 'requests for wrong arguments')
      for (const key of ['__proto__', 'constructor', 'prototype']) {
        const args = JSON.parse(`{"prompt":"x","${key}":{"polluted":true}}`) as Record<string, unknown>
        const { isError } = await gateway.tool('createCompletion', args)
        stage.expect(isError || key === '__proto__', `${key} as an argument was taken`)
        const seen = Buffer.concat(upstream.bytes).includes('polluted')
        stage.expect(!seen, `${key} reached the upstream`)
      }
      const large = await gateway.ask({ prompt: 'p'.repeat(10_000_000) })
      stage.equal(large.text, '10000000 characters', 'a prompt of 10 MB')
      const odd = `\u0001\u001b[31m\u007f\u0080\u2028\ufeff${everyBlock}`
      stage.equal((await gateway.ask({ prompt: odd })).text === odd, true, 'every block of Unicode came back as it was')
      return `${Object.keys(wrongArguments).length} violations`
    },
  },
  {
    id: 'C14',
    what: 'keys in other case, and keys given twice: the one that counts acts alone',
    async run(stage) {
      const upstream = await stage.upstream((exchange) => ok(exchange))
      const gateway = await stage.gateway({ providers: { a: { at: upstream } }, era: '2025-11-25' })
      const call = (params: string, more = '') =>
        `{"jsonrpc":"2.0","id":7,"method":"tools/call"${more},"params":{${params}}}\n`
      const inputs = [
        call('"Name":"evil","name":"createCompletion","arguments":{"model":"a/tiny","prompt":"good"}'),
        call(
          '"name":"createCompletion","NAME":"evil","arguments":{"model":"a/tiny","prompt":"good"},"Arguments":{"prompt":"evil"}',
        ),
        call('"name":"createCompletion","arguments":{"model":"a/tiny","prompt":"evil","prompt":"good"}'),
        call(
          '"name":"createCompletion","arguments":{"model":"a/tiny","prompt":"good"}',
          ',"Method":"evil","evil":{"a":1}',
        ),
        call('"name":"createCompletion","arguments":{"model":"a/tiny","prompt":"good","Prompt":"evil"}'),
      ]
      for (const input of inputs) {
        const from = gateway.history.lines.length
        await gateway.write(input)
        await patiently(
          () =>
            gateway.history.lines
              .slice(from)
              .flatMap(messagesOf)
              .some(({ id }) => id === 7),
          5000,
        )
      }
      stage.expect(upstream.calls().length >= 4, `${upstream.calls().length} calls went through`)
      stage.equal(
        upstream.calls().filter(({ body }) => /evil/i.test(body.toString())).length,
        0,
        'requests with what should not count',
      )
      const bodies = new Set(upstream.calls().map(({ body }) => body.toString()))
      stage.equal(bodies.size, 1, 'different requests')
      return undefined
    },
  },
]
