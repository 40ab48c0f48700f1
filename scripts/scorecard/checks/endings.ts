import { openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Check, notRun } from '../check.ts'
import type { Driver } from '../driver.ts'
import { endless, nobody, ok } from '../scenes.ts'
import { delay, patiently, sideBySide } from '../stage.ts'
import { answer } from '../wire.ts'

/** How it ends: input, signals, readers and parents that go; disks that are full and files that run out. */

const ways: Readonly<Record<string, { by(driver: Driver): void; code: number }>> = {
  'the end of input': { by: (driver) => void driver.child.stdin?.end(), code: 0 },
  SIGTERM: { by: (driver) => driver.kill('SIGTERM'), code: 143 },
  SIGINT: { by: (driver) => driver.kill('SIGINT'), code: 130 },
  SIGHUP: { by: (driver) => driver.kill('SIGHUP'), code: 129 },
}

/** Starts what follows it with its own pipes, and waits. */
const parent = `require('node:child_process').spawn(process.argv[1], process.argv.slice(2), { stdio: 'inherit' }); setInterval(() => {}, 1000)`

export const endings: readonly Check[] = [
  {
    id: 'L03',
    what: 'the end of input and three signals, with 25 calls in flight and 5 MB unread',
    alone: true,
    heavy: true,
    async run(stage) {
      const text = 'é'.repeat(100_000)
      const times: string[] = []
      await sideBySide(Object.entries(ways), 4, async ([way, { by, code }]) => {
        const upstream = await stage.upstream((exchange) => {
          if (exchange.prompt.startsWith('endless')) return endless(exchange)
          exchange.owe(text)
          return exchange.send(answer('openai', [text]))
        })
        const gateway = await stage.gateway({ providers: { a: { at: upstream } } })
        stage.mayEnd(gateway)
        gateway.pause()
        const finished = Array.from({ length: 25 }, (_, at) => gateway.ask({ prompt: `${way} ${at}` }))
        const open = Array.from({ length: 25 }, (_, at) => gateway.ask({ prompt: `endless ${way} ${at}` }))
        await patiently(() => upstream.calls().length === 50, 5000)
        await delay(700)
        const startedMs = performance.now()
        by(gateway)
        gateway.resume()
        const end = await Promise.race([gateway.exited, delay(8000).then(() => undefined)])
        const tookMs = performance.now() - startedMs
        stage.equal(end?.code, code, `${way}: exit code`)
        stage.expect(tookMs <= 4500, `${way}: gone after ${Math.round(tookMs)} ms`)
        const whole = (await Promise.all(finished)).filter((one) => one.text === text).length
        stage.equal(whole, 25, `${way}: finished answers that were delivered whole`)
        const rest = await Promise.all(open)
        stage.equal(
          rest.filter(({ isError, cause }) => isError && cause === 'cancelled').length,
          25,
          `${way}: open calls that were told`,
        )
        times.push(`${way} ${(tookMs / 1000).toFixed(1)} s`)
      })
      return times.join(', ')
    },
  },
  {
    id: 'L04',
    what: 'the reader of stdout goes, or of stderr, or of both',
    timed: true,
    heavy: true,
    async run(stage) {
      for (const gone of [['stdout'], ['stderr'], ['stdout', 'stderr']] as const) {
        const upstream = await stage.upstream((exchange) =>
          exchange.prompt.startsWith('endless') ? endless(exchange) : ok(exchange),
        )
        const gateway = await stage.gateway({ providers: { a: { at: upstream } } })
        const what = gone.join(' and ')
        void gateway.ask({ prompt: `endless ${what}` }, { token: 'endless', id: 'endless' })
        await patiently(() => upstream.calls().length === 1, 5000)
        const cpu = gateway.cpuMs()
        const startedMs = performance.now()
        for (const name of gone) gateway.child[name]?.destroy()
        if ((gone as readonly string[]).includes('stdout')) {
          stage.mayEnd(gateway)
          let spent = 0
          const ended = await patiently(() => {
            spent = Math.max(spent, gateway.cpuMs() - cpu)
            return !gateway.alive()
          }, 3000)
          const tookMs = performance.now() - startedMs
          stage.expect(ended && tookMs <= 1000, `${what}: gone after ${Math.round(tookMs)} ms`)
          stage.expect(spent <= 100, `${what}: ${spent} ms of processor time`)
          stage.expect(await patiently(() => upstream.open() === 0, 500), `${what}: connections stay open`)
        } else {
          await delay(300)
          stage.equal((await gateway.ask()).text, 'fine thanks', 'a call without a reader of stderr')
          gateway.cancel('endless')
          await gateway.ping()
        }
      }
      return undefined
    },
  },
  {
    id: 'L05',
    what: 'the parent is killed, and somebody keeps the pipes',
    timed: true,
    heavy: true,
    async run(stage) {
      // The outer of two parents keeps the pipes open; the inner one, which the gateway knows, is killed.
      const gateway = await stage.gateway({
        providers: { a: { at: nobody } },
        wrapper: [process.execPath, '-e', parent, process.execPath, '-e', parent],
      })
      stage.mayEnd(gateway)
      const inner = childOf(gateway.pid)
      const own = childOf(inner)
      if (own === 0) throw notRun('this system does not tell which processes a process has started')
      stage.after(() => (runs(own) ? process.kill(own, 'SIGKILL') : undefined))
      const startedMs = performance.now()
      process.kill(inner, 'SIGKILL')
      const gone = await patiently(() => !runs(own), 8000)
      const tookMs = performance.now() - startedMs
      stage.expect(gone && tookMs <= 5000, `the gateway lived on for ${Math.round(tookMs)} ms`)
      gateway.kill('SIGKILL')
      return `gone after ${(tookMs / 1000).toFixed(1)} s`
    },
  },
  {
    id: 'L09',
    what: 'stdout is lost behind each of its first messages; a full disk; a folder that is none; no more files',
    heavy: true,
    async run(stage) {
      const upstream = await stage.upstream((exchange) => ok(exchange))
      const providers = { a: { at: upstream, maxRetries: 0 } }
      await sideBySide(
        Array.from({ length: 16 }, (_, at) => at),
        4,
        async (n) => {
          const gateway = await stage.gateway({ providers })
          stage.mayEnd(gateway)
          const from = gateway.history.lines.length
          for (let at = 0; at < 20; at++) void gateway.ask({}, { token: `n${n} ${at}`, patienceMs: 100 })
          await patiently(() => gateway.history.lines.length >= from + n, 2000)
          gateway.child.stdout?.destroy()
          // Whatever was still to be said meets a closed pipe; a request makes sure that something is.
          void gateway.request('tools/list', {}, { patienceMs: 100 })
          const end = await Promise.race([gateway.exited, delay(3000).then(() => undefined)])
          stage.equal(end?.code, 0, `stdout lost behind message ${n}: exit code`)
        },
      )
      const full = await stage.gateway({ providers, stdio: { stderr: openSync('/dev/full', 'w') } })
      stage.equal((await full.ask()).text, 'fine thanks', 'a call while the log is on a full disk')
      for (const folder of ['/dev/full', '/dev/null/records', join(stage.folder(), 'new', 'deep')]) {
        const gateway = await stage.gateway({ providers, env: { GATEWAY_RECORD: folder } })
        stage.equal(
          (await gateway.ask()).text,
          'fine thanks',
          `a call with ${folder.replace(stage.folder(), '')} for records`,
        )
      }
      const poor = await stage.gateway({ providers, wrapper: ['sh', '-c', 'ulimit -n 40; exec "$@"', 'sh'] })
      const many = await Promise.all(Array.from({ length: 100 }, () => poor.ask()))
      stage.equal(
        many.filter(({ message }) => message?.result === undefined).length,
        0,
        'calls without a result while files run out',
      )
      stage.equal((await poor.ask()).text, 'fine thanks', 'a call after files had run out')
      const lost = await stage.gateway({ providers, stdio: { stdout: openSync('/dev/full', 'w') } })
      stage.mayEnd(lost)
      stage.equal((await lost.exited).code, 0, 'stdout on a full disk: exit code')
      return `${many.filter(({ isError }) => isError).length} of 100 calls failed in order for want of files`
    },
  },
]

/** The one process that another has started; 0 if that cannot be told. */
function childOf(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()) || 0
  } catch {
    return 0
  }
}

/** Whether a process of this number is a gateway that has not ended. */
function runs(pid: number): boolean {
  try {
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
    return command.includes('genai-gateway-mcp') && !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}
