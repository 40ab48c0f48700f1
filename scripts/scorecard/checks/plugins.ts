import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Check } from '../check.ts'
import { expectFault, expectWithin, ok } from '../scenes.ts'
import { type Stage, sideBySide } from '../stage.ts'

/** Providers that are plugins: what they do wrong is theirs alone. */

const request = "({ method: 'POST', url: baseUrl + '/chat', headers: {}, json: {}, warnings: [] })"
const said = (text: string) => `yield { type: 'text-delta', text: ${text} }; yield { type: 'finish', reason: 'stop' }`

/** A plugin that is nothing but a chat; whatever else it does stands before it. */
const chat = (encode: string, decode: string, before = '') => `${before}
  export const provider = {
    authorize: (key) => ({ authorization: 'Bearer ' + key }),
    fault: () => new Error('no'),
    chat: { encode: (ask, { baseUrl }) => ${encode}, async *decode({ body }) { ${decode} } },
  }`

/** What each fails its own calls with; `hangs` are given up after five seconds. */
const misdeeds: Readonly<Record<string, { source: string; code?: string; hangs?: boolean }>> = {
  'throws as it loads': { source: `throw new Error('boom')`, code: 'configuration' },
  'exits as it loads': { source: `process.exit(0)`, code: 'configuration' },
  'hangs as it loads': {
    source: `await new Promise(() => setInterval(() => {}, 1000))`,
    code: 'configuration',
    hangs: true,
  },
  'is no JavaScript': { source: 'not a program', code: 'configuration' },
  'exports junk': { source: 'export const provider = 42', code: 'configuration' },
  'throws at once': { source: chat(`{ throw new Error('boom') }`, '') },
  'throws nothing that is an error': { source: chat(`{ throw undefined }`, '') },
  rejects: { source: chat(`Promise.reject(new Error('boom'))`, '') },
  'rejects behind its back': {
    source: chat(request, `Promise.reject(new Error('boom')); await new Promise(() => {})`),
  },
  'throws in a timer': {
    source: chat(request, `setTimeout(() => { throw new Error('boom') }); await new Promise(() => {})`),
  },
  'waits for ever': { source: chat(request, `await new Promise(() => {})`), hangs: true },
  'loops for ever': { source: chat(request, `for (;;);`), hangs: true },
  'asks for junk': { source: chat('42', '') },
  'answers junk': { source: chat(request, `yield { type: 'text-delta', text: { toString: 1 } }`) },
  exits: { source: chat(request, 'process.exit(0)') },
  'kills itself': { source: chat(request, 'process.abort()') },
  'goes elsewhere': {
    source: chat("({ method: 'POST', url: 'http://127.0.0.1:9/', headers: {}, json: {}, warnings: [] })", ''),
    code: 'configuration',
  },
}

/** Prints by every way there is, and answers with all of the environment that it finds. */
const nosy = chat(
  request,
  `const words = '{"jsonrpc":"2.0","id":"r1","result":{}}\\n'
   console.log(words); console.error(words); process.stdout.write(words); process.stderr.write(words)
   const { env } = await import('node:process')
   const { workerData } = await import('node:worker_threads')
   ${said(`JSON.stringify([process.env, env, process.argv.slice(2), process.execArgv, String(workerData.url)])`)}`,
)

function pluginOf(stage: Stage, name: string, source: string): { path: string; sha256: string } {
  const path = join(stage.folder(), `${name}.mjs`)
  writeFileSync(path, source)
  return { path, sha256: createHash('sha256').update(source).digest('hex') }
}

export const plugins: readonly Check[] = [
  {
    id: 'S12',
    what: 'plugins that throw, hang, print, exit and look for keys',
    async run(stage) {
      const upstream = await stage.upstream((exchange) =>
        exchange.send('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}'),
      )
      const well = await stage.upstream((exchange) => ok(exchange))
      const start = (what: string, source: string) => {
        const type = `plugin-${what.replaceAll(' ', '-')}` as const
        return stage.gateway({
          providers: { mine: { at: upstream, type, maxRetries: 0 }, other: { at: well } },
          config: { plugins: { [type]: pluginOf(stage, type, source) } },
        })
      }
      await sideBySide(
        Object.entries(misdeeds),
        4,
        async ([what, { source, code = 'provider_error', hangs = false }]) => {
          const gateway = await start(what, source)
          const stuck = gateway.ask({ prompt: what })
          // Plugins are loaded before the first call of all; beyond that, whoever needs none waits for none.
          const rest = await gateway.ask({ model: 'other/tiny' })
          stage.equal(rest.text, 'fine thanks', `a plugin that ${what}: a call to another provider`)
          const seen = await stuck
          expectFault(stage, `a plugin that ${what}`, seen, code)
          if (hangs) expectWithin(stage, `a plugin that ${what}`, seen.tookMs, 4900, 9000)
          expectFault(stage, `a plugin that ${what}, again`, await gateway.ask({ prompt: `${what} again` }), code)
        },
      )
      const gateway = await start('is nosy', nosy)
      const seen = await gateway.ask({ prompt: 'nosy' })
      stage.expect(seen.text.startsWith('[{},{},[],[],"'), `a plugin that is nosy found ${seen.text.slice(0, 200)}`)
      return `${Object.keys(misdeeds).length} misdeeds`
    },
  },
]
