import { Agent, request } from 'node:http'
import type { Check } from '../check.ts'
import { messagesOf } from '../history.ts'
import { ok } from '../scenes.ts'
import { delay, type Stage, sideBySide } from '../stage.ts'
import type { Exchange } from '../upstream.ts'
import { answer, bytesOf, head, piecesOf, refusal } from '../wire.ts'

/** More than fits: slow readers, crowds, and a long day. */

/** An answer of so many bytes, in pieces of 4 KB that are all different. */
const volume = (bytes: number) =>
  Array.from({ length: Math.ceil(bytes / 4096) }, (_, at) => `${String(at).padStart(8, '0')} ${'é'.repeat(2043)} `)

const large = (exchange: Exchange, bytes: number) => {
  const texts = volume(bytes)
  exchange.owe(texts.join(''))
  return exchange.send(answer('openai', texts))
}

export const load: readonly Check[] = [
  {
    id: 'L01',
    what: '100 streams for a client that reads nothing for 60 s, and then reads',
    heavy: true,
    async run(stage) {
      const upstream = await stage.upstream((exchange) =>
        exchange.prompt === 'warm' ? ok(exchange) : large(exchange, 100_000),
      )
      const gateway = await stage.gateway({ providers: { a: { at: upstream, timeout: 120 } } })
      await gateway.ask({ prompt: 'warm' })
      const before = gateway.rssMb()
      gateway.pause()
      const calls = Array.from({ length: 100 }, (_, at) =>
        gateway.ask({ prompt: `stream ${at}` }, { token: `t${at}`, patienceMs: 100_000 }),
      )
      await delay(60_000)
      const grown = gateway.peakRssMb() - before
      stage.expect(grown <= 150, `memory grew by ${Math.round(grown)} MB, 150 are allowed`)
      gateway.resume()
      const answers = await Promise.all(calls)
      stage.equal(
        answers.filter(({ message, isError }) => message !== undefined && !isError).length,
        100,
        'whole answers',
      )
      const notices = gateway.history.lines
        .flatMap(messagesOf)
        .filter(({ method }) => method === 'notifications/progress').length
      stage.expect(notices < 100 * 25, `${notices} notices for 100 streams of 25 events: nothing was coalesced`)
      return `memory +${Math.round(grown)} MB, ${notices} notices of 2500 events`
    },
  },
  {
    id: 'L02',
    what: 'an answer of 20 MB for a client that reads 1 KB/s for 10 s, and then 10 MB/s',
    heavy: true,
    async run(stage) {
      const upstream = await stage.upstream((exchange) => large(exchange, 20_000_000))
      const gateway = await stage.gateway({ providers: { a: { at: upstream, timeout: 120 } } })
      gateway.pause()
      let open = true
      const asked = gateway
        .ask({ prompt: 'large' }, { token: 'large', patienceMs: 90_000 })
        .finally(() => (open = false))
      for (let at = 0; at < 10; at++) {
        await delay(1000)
        gateway.take(1024)
      }
      while (open) {
        gateway.take(1024 * 1024)
        await delay(open ? 5 : 0)
      }
      gateway.resume()
      const { isError, text } = await asked
      stage.equal([isError, text.length], [false, volume(20_000_000).join('').length], 'the answer')
      return undefined
    },
  },
  {
    id: 'L06',
    what: '2 000 calls at four times of what the provider takes; more a minute than it may be asked',
    alone: true,
    heavy: true,
    async run(stage) {
      const places = 16
      // Slow enough that four times as much is no work for a small machine: it is the queue that is measured.
      const serviceMs = 150
      const upstream = await stage.upstream(async (exchange) => {
        await delay(serviceMs)
        await ok(exchange)
      })
      const gateway = await stage.gateway({ providers: { a: { at: upstream, maxConcurrency: places, maxRetries: 0 } } })
      await gateway.ask()
      // What the same upstream gives to clients without a gateway between: the machine's own slowness is not the gateway's.
      const capacity = await capacityOf(upstream.origin, places)
      const startedMs = performance.now()
      let lastMs = startedMs
      let served = 0
      const refused: number[] = []
      const strange = new Set<string>()
      const calls: Promise<void>[] = []
      while (calls.length < 2000) {
        const due = Math.min(2000, Math.floor(((performance.now() - startedMs) / 1000) * capacity * 4))
        while (calls.length < due) {
          calls.push(
            gateway.ask().then(({ isError, code, tookMs }) => {
              if (!isError) {
                served += 1
                lastMs = performance.now()
              } else if (code === 'busy') refused.push(tookMs)
              else strange.add(String(code))
            }),
          )
        }
        await delay(4)
      }
      await Promise.all(calls)
      const rate = served / ((lastMs - startedMs) / 1000)
      stage.expect(
        rate >= capacity * 0.9,
        `${Math.round(rate)} answers a second, the provider gives ${Math.round(capacity)}`,
      )
      stage.equal([...strange], [], 'other failures')
      const late = refused.filter((ms) => ms >= 50).length
      stage.expect(
        late === 0,
        `${late} of ${refused.length} calls were turned away later than 50 ms, the latest after ${Math.round(Math.max(0, ...refused))} ms`,
      )
      stage.expect(refused.length > 0, 'no call was turned away: the queue has no bound')
      await expectRate(stage)
      return `${served} served, ${Math.round(rate)} of ${Math.round(capacity)} a second; ${refused.length} turned away within ${Math.round(Math.max(0, ...refused))} ms`
    },
  },
  {
    id: 'L07',
    what: 'a long day: 100 000 calls of all kinds, with faults and cancellations',
    long: true,
    async run(stage) {
      const rounds = 20
      const perRound = Number(process.env['SOAK_CALLS'] ?? 100_000) / rounds
      const upstream = await stage.upstream(async (exchange) => {
        const kind = stage.random.below(20)
        if (kind === 0) return exchange.reset()
        if (kind === 1) return exchange.send(refusal(400, {}))
        if (kind === 2) return exchange.send(refusal(500, {}))
        if (kind === 3) {
          await exchange.send(
            head(200, { 'content-type': 'text/event-stream' }) +
              bytesOf(piecesOf('openai', ['cut ', 'short']).slice(0, 2)),
          )
          return exchange.finish()
        }
        if (kind === 4) return large(exchange, 50_000)
        return exchange.send(answer('openai', ['fine', ' thanks']))
      })
      const gateway = await stage.gateway({ providers: { a: { at: upstream, maxRetries: 1 } }, era: '2026-07-28' })
      let slowest = 0
      const marks: { rss: number; sockets: number; p99: number }[] = []
      for (let round = 0; round < rounds; round++) {
        const times: number[] = []
        await sideBySide(Array(perRound).fill(0), 8, async (_, at) => {
          const id = gateway.nextId()
          const asked = gateway.ask({}, { id, patienceMs: 60_000, ...(at % 7 === 0 ? { token: id } : {}) })
          if (at % 50 === 49) {
            await delay(1)
            gateway.cancel(id)
            return
          }
          const { tookMs, structured, message } = await asked
          stage.expect(message !== undefined, 'a call was not answered')
          slowest = Math.max(slowest, tookMs)
          if (structured['attempts'] === 1) times.push(tookMs)
        })
        await gateway.ping()
        times.sort((a, b) => a - b)
        marks.push({
          rss: gateway.rssMb(),
          sockets: gateway.sockets(),
          p99: times[Math.floor(times.length * 0.99)] ?? 0,
        })
        // Histories of a day do not fit: what has been checked is let go.
        upstream.exchanges.length = 0
        upstream.bytes.length = 0
      }
      const half = marks.slice(rounds / 2)
      const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
      const [middle, last] = [mean(half.slice(0, 3).map(({ rss }) => rss)), mean(half.slice(-3).map(({ rss }) => rss))]
      stage.expect(
        last < middle * 1.15,
        `memory went from ${Math.round(middle)} to ${Math.round(last)} MB in the second half`,
      )
      stage.expect((half.at(-1)?.sockets ?? 0) <= (half[0]?.sockets ?? 0) + 8, 'sockets pile up')
      const [early, late] = [mean(half.slice(0, 3).map(({ p99 }) => p99)), mean(half.slice(-3).map(({ p99 }) => p99))]
      stage.expect(late < early * 2 + 5, `the slowest hundredth went from ${early.toFixed(1)} to ${late.toFixed(1)} ms`)
      return `${rounds * perRound} calls, the slowest ${Math.round(slowest)} ms; memory ${marks.map(({ rss }) => Math.round(rss)).join(' ')} MB; slowest hundredth ${early.toFixed(1)} to ${late.toFixed(1)} ms`
    },
  },
]

/** Requests a second that so many clients get answered by an upstream, one after the other each. */
async function capacityOf(origin: string, clients: number): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: clients })
  const requests = clients * 10
  const startedMs = performance.now()
  await sideBySide(Array(requests).fill(0), clients, () => {
    return new Promise<void>((resolve, reject) => {
      const asked = request(
        `${origin}/v1/chat/completions`,
        { agent, method: 'POST', headers: { 'content-length': 2 } },
        (response) => {
          response.resume().on('end', resolve)
        },
      )
      asked.on('error', reject)
      asked.end('{}')
    })
  })
  agent.destroy()
  return requests / ((performance.now() - startedMs) / 1000)
}

/** The calls of a minute, and the next ones at once. */
async function expectRate(stage: Stage): Promise<void> {
  const upstream = await stage.upstream((exchange) => ok(exchange))
  const gateway = await stage.gateway({ providers: { a: { at: upstream, requestsPerMinute: 10 } } })
  await gateway.warm()
  const answers = await Promise.all(Array.from({ length: 30 }, () => gateway.ask()))
  const refused = answers.filter(({ code }) => code === 'busy')
  stage.equal([upstream.calls().length, refused.length], [10, 20], 'requests, and calls turned away, at ten a minute')
  const waits = refused.map(({ fault }) => Number(fault['retryAfterMs']))
  stage.expect(
    waits.every((ms) => ms > 0 && ms <= 60_000),
    `turned away until ${waits.join(', ')} ms`,
  )
  const slowest = Math.max(0, ...refused.map(({ tookMs }) => tookMs))
  stage.expect(slowest < 100, `a call over the rate was turned away after ${Math.round(slowest)} ms, 100 are allowed`)
}
