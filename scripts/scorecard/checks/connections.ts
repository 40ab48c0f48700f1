import { writeFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { openBlackHole } from '../black-hole.ts'
import { selfSigned } from '../certificates.ts'
import type { Check } from '../check.ts'
import type { Answer } from '../driver.ts'
import { expectFault, expectWithin, ok } from '../scenes.ts'
import { delay, type Stage, sideBySide } from '../stage.ts'
import type { Exchange } from '../upstream.ts'
import { head, openaiEvent, whole } from '../wire.ts'

/** Faults before and around the answer: names, connections, certificates, silence, and dripping. */

async function unusedOrigin(): Promise<string> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return `http://127.0.0.1:${port}`
}

/** What servers of plain HTTP say to the beginning of a TLS handshake. */
function refuseInHttp(socket: Socket): void {
  socket.once('data', () => socket.end(whole(400, 'bad request')))
}

/** Name servers that never answer need a network of their own; a look-up that never returns is the same to the gateway. */
const hangingDns = `import dns from 'node:dns';import{syncBuiltinESMExports}from'node:module';
const lookup=dns.lookup;dns.lookup=(name,...rest)=>name.startsWith('hang.')?undefined:lookup(name,...rest);syncBuiltinESMExports()`

export const connections: readonly Check[] = [
  {
    id: 'U01',
    what: 'an unknown host, a name server that never answers',
    timed: true,
    async run(stage) {
      const well = await stage.upstream((exchange) => ok(exchange))
      const gateway = await stage.gateway({
        providers: {
          well: { at: well },
          unknown: { at: { origin: 'http://nobody.invalid' }, maxRetries: 0 },
          hang: { at: { origin: 'http://hang.invalid' }, maxRetries: 0, timeout: 30 },
        },
        node: ['--import', `data:text/javascript,${encodeURIComponent(hangingDns)}`],
      })
      await gateway.warm()
      const stuck = gateway.ask({ model: 'hang/tiny', timeout: 2 })
      const unknown = await gateway.ask({ model: 'unknown/tiny' })
      expectFault(stage, 'unknown host', unknown, 'network', 'dns')
      expectWithin(stage, 'unknown host', unknown.tookMs, 0, 1000)
      stage.equal((await gateway.ask({ model: 'well/tiny' })).text, 'fine thanks', 'another provider meanwhile')
      const hung = await stuck
      expectFault(stage, 'silent name server', hung, 'timeout', 'deadline')
      expectWithin(stage, 'silent name server', hung.tookMs, 1500, 2500)
      return `unknown ${Math.round(unknown.tookMs)} ms`
    },
  },
  {
    id: 'U02',
    what: 'a refused connection, a black hole, a TLS handshake that hangs',
    timed: true,
    heavy: true,
    async run(stage) {
      const hole = await openBlackHole()
      stage.after(hole.close)
      const mute = await stage.upstream(() => {}, { onConnection: () => {} })
      const gateway = await stage.gateway({
        providers: {
          refused: { at: { origin: await unusedOrigin() }, maxRetries: 0 },
          again: { at: { origin: await unusedOrigin() }, maxRetries: 2 },
          hole: { at: hole, maxRetries: 0, timeout: 60 },
          mute: { at: { origin: mute.origin.replace('http:', 'https:') }, maxRetries: 0, timeout: 60 },
        },
      })
      await gateway.warm()
      const [refused, again, swallowed, unshaken] = await Promise.all(
        ['refused', 'again', 'hole', 'mute'].map((name) => gateway.ask({ model: `${name}/tiny` })),
      )
      expectFault(stage, 'refused', refused as Answer, 'network', 'connect_refused', 1)
      expectWithin(stage, 'refused', (refused as Answer).tookMs, 0, 200)
      expectFault(stage, 'refused with two retries', again as Answer, 'network', 'connect_refused', 3)
      for (const [what, seen] of [
        ['black hole', swallowed],
        ['hanging handshake', unshaken],
      ] as const) {
        expectFault(stage, what, seen as Answer, 'timeout', 'connect', 1)
        expectWithin(stage, what, (seen as Answer).tookMs, 9000, 11_000)
      }
      stage.equal(
        mute.bytes.some((bytes) => bytes.includes('authorization')),
        false,
        'a key before the handshake',
      )
      return `refused ${Math.round((refused as Answer).tookMs)} ms, black hole ${Math.round((swallowed as Answer).tookMs)} ms`
    },
  },
  {
    id: 'U03',
    what: 'certificates: self-signed, wrong name, expired; https to a port that speaks http',
    async run(stage) {
      const [strange, misnamed, expired, good] = [
        selfSigned('127.0.0.1'),
        selfSigned('other.example.com'),
        selfSigned('127.0.0.1', -10, -2),
        selfSigned('127.0.0.1'),
      ]
      const servers = await Promise.all(
        [strange, misnamed, expired, good].map((tls) => stage.upstream((e) => ok(e), { tls })),
      )
      const plain = await stage.upstream(() => {}, { onConnection: refuseInHttp })
      const trusted = join(stage.folder(), 'authorities.pem')
      writeFileSync(trusted, [misnamed, expired, good].map(({ cert }) => cert).join(''))
      const names = ['strange', 'misnamed', 'expired', 'good', 'plain']
      const origins = [...servers.map(({ origin }) => origin), plain.origin.replace('http:', 'https:')]
      const gateway = await stage.gateway({
        providers: Object.fromEntries(names.map((name, at) => [name, { at: { origin: origins[at] as string } }])),
        env: { NODE_EXTRA_CA_CERTS: trusted },
      })
      for (const name of ['strange', 'misnamed', 'expired', 'plain']) {
        expectFault(stage, name, await gateway.ask({ model: `${name}/tiny` }), 'tls', undefined, 1)
      }
      stage.equal((await gateway.ask({ model: 'good/tiny' })).text, 'fine thanks', 'a certificate that is trusted')
      stage.equal(
        servers.slice(0, 3).map(({ exchanges }) => exchanges.length),
        [0, 0, 0],
        'requests over untrusted connections',
      )
      stage.equal(
        /authorization|sk-/i.test(Buffer.concat(plain.bytes).toString('latin1')),
        false,
        'a key in plain http',
      )
      return undefined
    },
  },
  {
    id: 'U04',
    what: 'the connection breaks before the head, then all is well',
    async run(stage) {
      for (const fault of ['finish', 'reset'] as const) {
        const upstream = await stage.upstream((exchange) => (exchange.attempt === 0 ? exchange[fault]() : ok(exchange)))
        const gateway = await stage.gateway({ providers: { a: { at: upstream, maxRetries: 2 } } })
        const { text, structured } = await gateway.ask()
        stage.equal([text, structured['attempts'], upstream.calls().length], ['fine thanks', 2, 2], fault)
      }
      return undefined
    },
  },
  {
    id: 'U05',
    what: 'the connection always breaks before the head',
    async run(stage) {
      for (const [fault, cause] of [
        ['finish', 'closed_early'],
        ['reset', 'reset'],
      ] as const) {
        const upstream = await stage.upstream((exchange) => exchange[fault]())
        const gateway = await stage.gateway({ providers: { a: { at: upstream, maxRetries: 2 } } })
        expectFault(stage, fault, await gateway.ask(), 'network', cause, 2)
        stage.equal(upstream.calls().length, 2, `${fault}: requests`)
      }
      return undefined
    },
  },
  {
    id: 'U06',
    what: 'a kept connection is closed just as it is used again, 1 000 times',
    heavy: true,
    async run(stage) {
      const upstream = await stage.upstream((exchange) =>
        exchange.onConnection > 0 ? exchange.finish() : ok(exchange),
      )
      const gateway = await stage.gateway({ providers: { a: { at: upstream } } })
      let well = 0
      const faults = new Set<string>()
      await sideBySide(Array(1000).fill(0), 8, async () => {
        const seen = await gateway.ask()
        if (seen.text === 'fine thanks') well += 1
        else faults.add(`${seen.code} ${seen.cause}`)
      })
      stage.expect(well === 1000, `${well} of 1000 calls succeeded, the others: ${[...faults]}`)
      stage.expect(upstream.calls().length <= 2000, `${upstream.calls().length} requests, at most 2000`)
      return `${well} of 1000, ${upstream.calls().length} requests`
    },
  },
  {
    id: 'U07',
    what: 'a silent upstream, and another that is well; calls spread over two by each strategy',
    timed: true,
    async run(stage) {
      const silent = await stage.upstream(() => {})
      const well = await stage.upstream((exchange) => ok(exchange))
      const gateway = await stage.gateway({
        providers: { silent: { at: silent, timeout: 1 }, well: { at: well } },
        routes: { safe: { strategy: 'failover', targets: [{ model: 'silent/tiny' }, { model: 'well/tiny' }] } },
        model: 'safe',
      })
      await gateway.warm()
      const seen = await gateway.ask()
      stage.equal(seen.text, 'fine thanks', 'the answer of the second')
      expectWithin(stage, 'the answer of the second', seen.tookMs, 900, 2000)
      const spread = await spreadByStrategy(stage)
      return `${Math.round(seen.tookMs)} ms; ${spread}`
    },
  },
  {
    id: 'U08',
    what: 'dripping: the head, early hints, comments, the body',
    timed: true,
    heavy: true,
    async run(stage) {
      const drip = (piece: string, everyMs: number) => async (exchange: Exchange) => {
        for (let at = 0; !exchange.socket.destroyed; at++) {
          await exchange.send(piece.length > 1 && everyMs < 100 ? (piece[at % piece.length] as string) : piece)
          await delay(everyMs)
        }
      }
      const begun = (piece: string, everyMs: number) => async (exchange: Exchange) => {
        await exchange.send(`${head(200, { 'content-type': 'text/event-stream' })}${openaiEvent({ content: 'begun' })}`)
        exchange.owe('begun')
        await drip(piece, everyMs)(exchange)
      }
      const headDrip = await stage.upstream(drip(`HTTP/1.1 200 OK\r\n${'x-filler: y\r\n'.repeat(1000)}`, 40))
      const hints = await stage.upstream(drip('HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n', 120))
      const comments = await stage.upstream(begun(': keep-alive\n\n', 150))
      const slow = await stage.upstream(begun(openaiEvent({ content: '' }), 45))
      const gateway = await stage.gateway({
        providers: {
          head: { at: headDrip, timeout: 1.5, maxRetries: 0 },
          hints: { at: hints, timeout: 1.5, maxRetries: 0 },
          comments: { at: comments, timeout: 1.5, maxRetries: 0 },
          slow: { at: slow, timeout: 1.5, maxRetries: 0 },
        },
      })
      await gateway.warm()
      const names = ['head', 'hints', 'comments', 'slow'] as const
      const seen = await Promise.all(names.map((name) => gateway.ask({ model: `${name}/tiny`, timeout: 4 })))
      const rules = {
        head: ['first_byte', 1500],
        hints: ['first_byte deadline', 1500],
        comments: ['idle deadline', 1500],
        slow: ['deadline', 4000],
      } as const
      for (const [at, name] of names.entries()) {
        const one = seen[at] as Answer
        const [causes, leastMs] = rules[name]
        stage.equal(one.code, 'timeout', `${name}: code`)
        stage.expect(causes.split(' ').includes(one.cause ?? ''), `${name}: the timer was ${one.cause}, not ${causes}`)
        expectWithin(stage, name, one.tookMs, leastMs - 100, 5000)
      }
      return names.map((name, at) => `${name} ${seen[at]?.cause}`).join(', ')
    },
  },
]

/** Of so many calls to a route of two, how many the first of them gets, least and most. */
const shares: Readonly<Record<string, [least: number, most: number]>> = {
  failover: [60, 60],
  'round-robin': [30, 30],
  weighted: [33, 57],
  'least-latency': [48, 60],
}

async function spreadByStrategy(stage: Stage): Promise<string> {
  const quick = await stage.upstream((exchange) => ok(exchange))
  const slow = await stage.upstream((exchange) => delay(25).then(() => ok(exchange)))
  const targets = [
    { model: 'quick/tiny', weight: 3 },
    { model: 'slow/tiny', weight: 1 },
  ]
  const gateway = await stage.gateway({
    providers: { quick: { at: quick }, slow: { at: slow } },
    routes: Object.fromEntries(Object.keys(shares).map((strategy) => [strategy, { strategy, targets }])),
  })
  const seen: string[] = []
  for (const [strategy, [least, most]] of Object.entries(shares)) {
    const before = quick.calls().length
    for (let call = 0; call < 60; call++) await gateway.ask({ model: strategy })
    const share = quick.calls().length - before
    stage.expect(
      share >= least && share <= most,
      `${strategy}: ${share} of 60 calls went to the first, not ${least} to ${most}`,
    )
    seen.push(`${strategy} ${share}`)
  }
  return `of 60 calls the first of two got by ${seen.join(', ')}`
}
