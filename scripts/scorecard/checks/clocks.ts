import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Check } from '../check.ts'
import { expectFault, expectWithin, ok } from '../scenes.ts'
import { delay } from '../stage.ts'
import { refusal } from '../wire.ts'

/** Clocks that jump and run, a machine that sleeps, and days that pass in a second. */

/** A wall clock that is told by a formula of the true time `now` and the time `start` at which the program began. */
const wallClock = (formula: string) =>
  `data:text/javascript,${encodeURIComponent(`
    const True=Date,start=True.now();const told=()=>{const now=True.now();return ${formula}}
    globalThis.Date=class extends True{constructor(...a){a.length?super(...a):super(told())}static now(){return told()}}`)}`

const clocks: Readonly<Record<string, string>> = {
  'an hour forward': 'now-start>1200?now+3600000:now',
  'an hour back': 'now-start>1200?now-3600000:now',
  'a thousand times as fast': 'start+(now-start)*1000',
}

const simulation = fileURLToPath(new URL('../simulation.ts', import.meta.url))
const seeds = 10_000

export const clocksAndSeeds: readonly Check[] = [
  {
    id: 'L08',
    what: 'the clock jumps by an hour, or runs a thousand times as fast; the machine sleeps for 5 s',
    timed: true,
    heavy: true,
    async run(stage) {
      const upstream = await stage.upstream((exchange) => {
        if (exchange.prompt.startsWith('silent')) return
        if (exchange.prompt.startsWith('later') && exchange.attempt === 0)
          return exchange.send(refusal(429, {}, { 'retry-after': '2' }))
        return ok(exchange)
      })
      const play = async (what: string, node: readonly string[], sleepMs = 0) => {
        const gateway = await stage.gateway({ providers: { a: { at: upstream, maxRetries: 1, timeout: 3 } }, node })
        await gateway.ask({ prompt: `warm ${what}` })
        const calls = Promise.all([
          gateway.ask({ prompt: `silent ${what}` }),
          gateway.ask({ prompt: `later ${what}` }),
          gateway.ask({ prompt: `silent too ${what}`, timeout: 2 }, { limitMs: 2000 + sleepMs }),
        ])
        await delay(300)
        if (sleepMs > 0) {
          gateway.kill('SIGSTOP')
          await delay(sleepMs)
          gateway.kill('SIGCONT')
        }
        const [silent, later, limited] = await calls
        expectFault(stage, `${what}: silence`, silent, 'timeout', 'first_byte', 1)
        expectWithin(stage, `${what}: silence`, silent.tookMs, 2900, Math.max(3900, sleepMs + 1300))
        expectFault(stage, `${what}: a limit`, limited, 'timeout', 'deadline', 1)
        expectWithin(stage, `${what}: a limit`, limited.tookMs, 1900, Math.max(2900, sleepMs + 1300))
        stage.equal(later.text, 'fine thanks', `${what}: a wait of 2 s`)
        const [first, second] = upstream.calls().filter(({ prompt }) => prompt === `later ${what}`)
        expectWithin(
          stage,
          `${what}: a wait of 2 s`,
          (second?.atMs ?? 0) - (first?.atMs ?? 0),
          1990,
          Math.max(3500, sleepMs + 1300),
        )
        const after = await gateway.ask()
        stage.equal(after.isError ? `${after.code} ${after.cause}` : after.text, 'fine thanks', `${what}: afterwards`)
      }
      await Promise.all([
        ...Object.entries(clocks).map(([what, formula]) => play(what, ['--import', wallClock(formula)])),
        play('asleep', [], 5000),
      ])
      return undefined
    },
  },
  {
    id: 'L10',
    what: `${seeds} seeds of the chat tower in virtual time: faults, waits, queues, cancellations`,
    heavy: true,
    async run(stage) {
      const first = stage.random.below(1_000_000)
      const { stdout } = await promisify(execFile)(
        process.execPath,
        ['--import', 'tsx', simulation, String(first), String(seeds)],
        { maxBuffer: 16 * 1024 * 1024 },
      )
      const lines = stdout.trim().split('\n')
      for (const line of lines.slice(0, -1)) stage.expect(false, line)
      return lines.at(-1)
    },
  },
]
