import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { auditBundle, auditLock, auditPatterns, auditRelease, packTwice } from '../audit.ts'
import type { Check } from '../check.ts'
import { patiently } from '../stage.ts'

/** The operating system, and what is shipped. */

export const surroundings: readonly Check[] = [
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
