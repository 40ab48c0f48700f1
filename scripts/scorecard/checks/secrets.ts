import { spellingsOf } from '../canaries.ts'
import { selfSigned } from '../certificates.ts'
import { type Check, play } from '../check.ts'
import { messagesOf } from '../history.ts'
import { createRandom } from '../random.ts'
import { expectFault, ok } from '../scenes.ts'
import { sideBySide } from '../stage.ts'
import { answer, head, json, openaiEvent, refusal, whole } from '../wire.ts'

/** Keys: what may come of odd ones, of upstreams that send them back, of redirects, arguments and proxies. */

/** Every switch that makes Node or a library talk. */
const debugEnv = { NODE_DEBUG: '*', DEBUG: '*', LOG_LEVEL: 'debug' }

/** Plays the other checks once more with every debug switch on, for what they leak alone. */
export function debugCheck(others: readonly Check[]): Check {
  return {
    id: 'S01',
    what: 'the checks of faults and bad input once more, with NODE_DEBUG=*, DEBUG=* and LOG_LEVEL=debug',
    heavy: true,
    async run(stage) {
      const chosen = others.filter(({ id, heavy, long, alone }) => /^[UC]/.test(id) && !heavy && !long && !alone)
      await sideBySide(chosen, 2, async (check) => {
        const { leaks, notes } = await play(check, createRandom(stage.random.below(2 ** 31)), debugEnv)
        if (leaks > 0) stage.leaked(`${check.id}: ${notes.filter((note) => note.startsWith('I8')).join('; ')}`)
      })
      return `${chosen.length} checks`
    },
  }
}

/** Where in an answer a hostile or careless upstream might put the key that it was given. */
const echoes: Readonly<Record<string, (key: string) => Buffer>> = {
  'an error of JSON': (key) =>
    refusal(400, { message: `Incorrect API key provided: ${key}.`, type: key, code: key, param: key }),
  'an error of 401': (key) => refusal(401, { message: `Bearer ${key} is wrong` }),
  'behind 490 characters': (key) => refusal(400, { message: `${'x'.repeat(490)} ${key} and so on` }),
  'behind 1 990 characters': (key) => refusal(400, { message: `${' '.repeat(1990)}${key} and so on` }),
  'split by a colour': (key) => refusal(400, { message: `${key.slice(0, 20)}\u001b[31m${key.slice(20)}` }),
  'split by zero-width characters': (key) =>
    refusal(400, { message: `key ${key.slice(0, 13)}\u200b${key.slice(13, 26)}\u200b${key.slice(26)}` }),
  'a header': (key) => refusal(400, {}, { 'x-request-id': encodeURIComponent(key), 'retry-after': key }),
  'a page': (key) => whole(500, `<html>${key}</html>`, { 'content-type': 'text/html' }),
  'plain text': (key) => whole(403, `no entry for ${key}`, { 'content-type': 'text/plain' }),
  'a page with 200': (key) => whole(200, `<html>${key}</html>`, { 'content-type': 'text/html' }),
  'no JSON': (key) => whole(200, `{"key": "${key}" oops`),
  'a redirect': (key) =>
    Buffer.from(
      head(302, {
        location: `http://${encodeURIComponent(key)}.example.com/${encodeURIComponent(key)}`,
        'content-length': 0,
      }),
    ),
  'no HTTP': (key) => Buffer.from(`${key}\r\n\r\n`),
  'an error in the stream': (key) =>
    whole(200, `data: ${JSON.stringify({ error: { message: key, type: key } })}\n\n`, {
      'content-type': 'text/event-stream',
    }),
  'an event that is no JSON': (key) => whole(200, `data: {"${key}\n\n`, { 'content-type': 'text/event-stream' }),
  'the finish reason': (key) =>
    whole(200, `${openaiEvent({ content: 'x' })}${openaiEvent({}, key, { model: key, id: key })}data: [DONE]\n\n`, {
      'content-type': 'text/event-stream',
    }),
  'a tool call': (key) =>
    whole(
      200,
      `${openaiEvent({ tool_calls: [{ index: 0, id: key, type: 'function', function: { name: key, arguments: JSON.stringify({ [key]: key }) } }] })}${openaiEvent({}, 'tool_calls')}data: [DONE]\n\n`,
      {
        'content-type': 'text/event-stream',
      },
    ),
  ...Object.fromEntries(
    ['plain', 'URL-encoded', 'JSON-escaped', 'twice escaped', 'base64', 'base64 + 1', 'base64 + 2', 'hex'].map(
      (name, at) => [
        `an error, ${name}`,
        (key: string) =>
          refusal(400, {
            message: `you sent ${spellingsOf(key)[name === 'hex' ? spellingsOf(key).length - 2 : at]} here`,
          }),
      ],
    ),
  ),
}

const oddKeys: Readonly<Record<string, { spell: (key: string) => string; sent?: true }>> = {
  'a newline behind': { spell: (key) => `${key}\n`, sent: true },
  'carriage return and newline behind': { spell: (key) => `${key}\r\n`, sent: true },
  'blanks around': { spell: (key) => `  ${key} `, sent: true },
  'a newline inside': { spell: (key) => `${key.slice(0, 20)}\n${key.slice(20)}` },
  'a character beyond ASCII': { spell: (key) => `${key}é` },
  'a control character': { spell: (key) => `${key}\u0007` },
  'quotes around': { spell: (key) => `"${key}"` },
  '10 KB': { spell: (key) => key.repeat(250) },
}

export const secrets: readonly Check[] = [
  {
    id: 'S02',
    what: 'keys with newlines, blanks, odd characters, quotes, of 10 KB, placeholders, none',
    async run(stage) {
      const upstream = await stage.upstream((exchange) => ok(exchange))
      await sideBySide(Object.entries(oddKeys), 2, async ([what, { spell, sent }]) => {
        const gateway = await stage.gateway({
          providers: { a: { at: upstream } },
          env: { CANARY_A: spell(stage.key('a')) },
        })
        const tools = (await gateway.request('tools/list')).message?.result?.['tools'] as unknown[] | undefined
        stage.equal(tools?.length, 4, `${what}: tools`)
        const seen = await gateway.ask({ prompt: what })
        if (sent)
          stage.equal(
            [seen.isError, upstream.calls().find(({ prompt }) => prompt === what)?.headers['authorization']],
            [false, `Bearer ${stage.key('a')}`],
            what,
          )
        else if (seen.isError) stage.equal(seen.code, 'configuration', what)
      })
      for (const value of ['<UNKNOWN>', '', '{{OPENAI_API_KEY}}', 'YOUR_KEY']) {
        const gateway = await stage.gateway({
          providers: {},
          config: {},
          env: { OPENAI_API_KEY: value },
          model: 'openai/tiny',
        })
        stage.equal((await gateway.ask()).code, 'configuration', `the key ${JSON.stringify(value)}`)
      }
      return undefined
    },
  },
  {
    id: 'S03',
    what: 'an upstream that sends the key back, in every place and spelling',
    async run(stage) {
      const key = stage.key('a')
      const listed = json(200, { data: [{ id: key }, { id: `x-${key}` }, { id: 'fine', owned_by: key }] })
      const upstream = await stage.upstream((exchange) => {
        if (exchange.method === 'GET') return exchange.send(listed)
        if (exchange.prompt === 'whole') return exchange.send(answer('openai', [`your key is ${key}, is it not`]))
        if (exchange.prompt === 'pieces')
          return exchange.send(answer('openai', ['your key is ', ...(key.match(/.{1,3}/g) ?? []), ', is it not']))
        return exchange.send(echoes[exchange.prompt]?.(key) ?? '')
      })
      const gateway = await stage.gateway({ providers: { a: { at: upstream, maxRetries: 0, timeout: 2 } } })
      for (const what of Object.keys(echoes)) {
        const from = gateway.history.lines.length
        const { message } = await gateway.ask({ prompt: what }, { token: what })
        stage.expect(message?.result !== undefined, `${what}: no result`)
        const bytes = Buffer.concat(gateway.history.lines.slice(from).map((line) => line.bytes))
        stage.scan(bytes, `came out after it came back in ${what}`)
      }
      for (const prompt of ['whole', 'pieces']) {
        const { text, structured } = await gateway.ask({ prompt }, { token: prompt })
        stage.equal(text, 'your key is [redacted], is it not', `the answer's text, ${prompt}`)
        stage.expect(
          JSON.stringify(structured['warnings'] ?? []).includes('key'),
          `the answer's text, ${prompt}: no warning`,
        )
        const said = gateway.history.lines
          .flatMap(messagesOf)
          .filter(({ params }) => params?.['progressToken'] === prompt)
        stage.equal(said.map(({ params }) => params?.['message'] ?? '').join(''), text, `its progress, ${prompt}`)
      }
      await gateway.tool('listModels', {})
      return `${Object.keys(echoes).length} places`
    },
  },
  {
    id: 'S04',
    what: 'redirects to another origin, by every status',
    async run(stage) {
      const other = await stage.upstream((exchange) => ok(exchange))
      const upstream = await stage.upstream((exchange) => {
        const status = Number(exchange.prompt || 302)
        return exchange.send(head(status, { location: `${other.origin}/v1/chat/completions`, 'content-length': 0 }))
      })
      const gateway = await stage.gateway({ providers: { a: { at: upstream } } })
      for (const status of [301, 302, 303, 307, 308]) {
        expectFault(
          stage,
          String(status),
          await gateway.ask({ prompt: String(status) }),
          'configuration',
          'redirect',
          1,
        )
      }
      await gateway.tool('listModels', {})
      stage.equal(other.connections(), 0, 'connections to the other origin')
      return undefined
    },
  },
  {
    id: 'S05',
    what: 'addresses, headers and proxies as arguments; proxies of the environment',
    async run(stage) {
      const attacker = await stage.upstream((exchange) => ok(exchange))
      const upstream = await stage.upstream((exchange) => ok(exchange))
      const gateway = await stage.gateway({ providers: { a: { at: upstream } } })
      const names = [
        'base_url',
        'baseUrl',
        'api_base',
        'endpoint',
        'host',
        'proxy',
        'url',
        'headers',
        'extra_headers',
        'apiKey',
        'api_key',
        'organization',
      ]
      for (const name of names) {
        const { isError } = await gateway.ask({
          [name]: /headers/.test(name) ? { host: attacker.origin } : attacker.origin,
        })
        stage.expect(isError, `${name} was taken as an argument`)
        await gateway.tool('listModels', { [name]: attacker.origin })
        await gateway.tool('callTool', { tool: 'moderate', arguments: { input: 'x', [name]: attacker.origin } })
        await gateway.ask({ options: { [name]: attacker.origin } })
      }
      for (const model of [`${attacker.origin}/tiny`, `a/${attacker.origin}`, `http:${attacker.origin.slice(5)}`])
        await gateway.ask({ model })
      stage.equal(attacker.connections(), 0, 'connections to an address of an argument')

      const tls = await stage.upstream((exchange) => ok(exchange), { tls: selfSigned('127.0.0.1') })
      const proxied = await stage.gateway({
        providers: { b: { at: tls, maxRetries: 0, timeout: 2 } },
        env: { HTTPS_PROXY: attacker.origin, ALL_PROXY: attacker.origin },
      })
      await proxied.ask()
      const heads = attacker.exchanges.map(({ method }) => method)
      stage.expect(
        heads.every((method) => method === 'CONNECT'),
        `a proxy of the environment was asked ${heads}`,
      )
      return undefined
    },
  },
]
