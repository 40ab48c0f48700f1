import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { auditBundle, auditLock, auditPatterns, auditRelease, packTwice } from '../audit.ts'
import { type Check, notRun } from '../check.ts'
import { delay, patiently } from '../stage.ts'
import { answer, head, openaiEvent } from '../wire.ts'

/** Other clients, the operating system, and what is shipped. */

export const surroundings: readonly Check[] = [
  {
    id: 'S10',
    what: 'over HTTP: hosts, origins, tokens, ten thousand at once',
    run: () => Promise.reject(notRun('the gateway speaks over stdio alone: there is no HTTP to attack')),
  },
  {
    id: 'S11',
    what: 'two clients with two keys each, the same ids and prompts, cancelled at random: nothing crosses',
    heavy: true,
    async run(stage) {
      const upstream = await stage.upstream(async (exchange) => {
        const tag = exchange.headers['authorization']?.slice(-8) ?? 'nobody'
        await exchange.send(head(200, { 'content-type': 'text/event-stream', 'transfer-encoding': 'chunked' }))
        for (let at = 0; at < 5 && !exchange.socket.destroyed; at++) {
          const event = openaiEvent({ content: `${tag} ${exchange.prompt}; ` })
          await exchange.send(`${Buffer.byteLength(event).toString(16)}\r\n${event}\r\n`)
          await delay(exchange.number % 3)
        }
        const end = answer('openai', []).toString().split('\r\n\r\n')[1] ?? ''
        await exchange.send(`${Buffer.byteLength(end).toString(16)}\r\n${end}\r\n0\r\n\r\n`)
      })
      const tagOf = (name: string) => stage.key(name).slice(-8)
      const clients = [
        {
          gateway: await stage.gateway({
            providers: { a: { at: upstream }, b: { at: upstream } },
            maxAttempts: Number.POSITIVE_INFINITY,
            keys: { c: upstream, d: upstream },
          }),
          names: ['a', 'b'],
        },
        {
          gateway: await stage.gateway({
            providers: { c: { at: upstream }, d: { at: upstream } },
            maxAttempts: Number.POSITIVE_INFINITY,
            keys: { a: upstream, b: upstream },
          }),
          names: ['c', 'd'],
        },
      ]
      let crossed = 0
      let whole = 0
      await Promise.all(
        clients.map(async ({ gateway, names }) => {
          for (let round = 0; round < 40; round++) {
            await Promise.all(
              Array.from({ length: 12 }, async (_, at) => {
                const name = names[at % 2] as string
                const id = `${round} ${at}`
                const prompt = `p${at % 3}`
                const asked = gateway.ask({ model: `${name}/tiny`, prompt }, { id, token: id, patienceMs: 10_000 })
                if (at % 4 === 3) {
                  await delay(stage.random.below(12))
                  gateway.cancel(id)
                  return void gateway.ping()
                }
                const { text, isError } = await asked
                const right = `${tagOf(name)} ${prompt}; `.repeat(5)
                if (text === right) whole += 1
                else if (!isError || !right.startsWith(text)) crossed += 1
              }),
            )
          }
          await gateway.ping()
        }),
      )
      stage.equal([crossed, whole], [0, 2 * 40 * 9], 'answers with bytes of another call, and whole ones')
      return `${whole} answers; over stdio, where each client has a process of its own`
    },
  },
  {
    id: 'S13',
    what: 'SIGUSR1 opens no inspector; no key on the command line; no crash report and no core',
    async run(stage) {
      const gateway = await stage.gateway({
        providers: { a: { at: { origin: 'http://127.0.0.1:9' } } },
        cwd: stage.folder(),
      })
      await gateway.request('tools/list')
      const listening = await reaches(9229)
      gateway.kill('SIGUSR1')
      await patiently(() => gateway.stderr().includes('Debugger'), 1500)
      stage.expect(!/Debugger listening/.test(gateway.stderr()), 'SIGUSR1 opened an inspector')
      if (!listening) stage.expect(!(await reaches(9229)), 'something listens on 9229 since SIGUSR1')
      stage.expect(gateway.alive(), 'SIGUSR1 ended the gateway')
      if (existsSync(`/proc/${gateway.pid}/cmdline`))
        stage.scan(readFileSync(`/proc/${gateway.pid}/cmdline`), 'stands on the command line')
      gateway.kill('SIGABRT')
      stage.mayEnd(gateway)
      await gateway.exited
      stage.equal(
        readdirSync(stage.folder()).filter((name) => /report|core|heap/i.test(name)),
        [],
        'files that a crash left behind',
      )
      return undefined
    },
  },
  {
    id: 'S14',
    what: 'what is shipped: no code made at run time, patterns that do not explode, a sound lock file, the same package twice',
    heavy: true,
    async run(stage) {
      const faults = [auditBundle(), auditLock(), await auditPatterns(), auditRelease(), packTwice(stage.folder())]
      for (const fault of faults.flat()) stage.expect(false, fault)
      return undefined
    },
  },
]

function reaches(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    const settle = (answered: boolean) => {
      socket.destroy()
      resolve(answered)
    }
    socket.once('connect', () => settle(true))
    socket.once('error', () => settle(false))
  })
}
