import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createKey, createScanner } from './canaries.ts'
import { checkHistory } from './checker.ts'
import { type Driver, type Era, startDriver } from './driver.ts'
import { type HttpServer, startHttpServer } from './http-server.ts'
import type { Random } from './random.ts'
import { type Script, startUpstream, type Upstream, type UpstreamOptions } from './upstream.ts'
import type { Dialect } from './wire.ts'

/** Where a check plays: its upstreams and gateways, what it expects of them, and the invariants at its end. */

export type ProviderSpec = Readonly<{
  at: Upstream | { origin: string }
  type?: Dialect | 'lmstudio' | `plugin-${string}`
  /** Where the key stands, if not in the environment. */
  apiKeyFile?: string
  timeout?: number
  maxRetries?: number
  [setting: string]: unknown
}>

export type GatewayOptions = {
  providers: Readonly<Record<string, ProviderSpec>>
  routes?: object
  /** More of PROVIDER_CONFIG. */
  config?: object
  env?: Readonly<Record<string, string>>
  model?: string
  era?: Era
  maxAttempts?: number
  node?: readonly string[]
  wrapper?: readonly string[]
  cwd?: string
  stdio?: { stdout?: number; stderr?: number }
  /** Further keys, by the upstream that may see each. */
  keys?: Readonly<Record<string, Upstream>>
  /** The most megabytes of memory that this gateway may ever take. */
  rssMb?: number
}

export type Stage = {
  random: Random
  /** The key of a provider of this stage. */
  key(provider: string): string
  upstream(script: Script, options?: UpstreamOptions): Promise<Upstream>
  gateway(options: GatewayOptions): Promise<Driver>
  /** The gateway over HTTP; its tokens are the keys of `clients`, in this order. */
  http(options: GatewayOptions & { clients?: readonly string[] }): Promise<HttpServer>
  /** A folder that is gone afterwards. */
  folder(): string
  /** Runs at the end, however the check ends. */
  after(finish: () => unknown): void
  expect(holds: boolean, otherwise: string): void
  equal(actual: unknown, expected: unknown, what: string): void
  /** From here on a gateway may end, or be ended, with calls in flight. */
  mayEnd(driver: Driver): void
  /** Bytes besides stdout, stderr and the upstreams' that no key may be in. */
  scan(bytes: Uint8Array, where: string): void
  /** A key that was found by other means. */
  leaked(sentence: string): void
  /** Ends everything and looks for what must never be; `waitedMs` is the gateways' longest want of a processor. */
  finish(): Promise<{ failures: string[]; bytesLost: number; leaks: string[]; waitedMs: number }>
}

const pingMs = 250
const defaultRssMb = 600
const maxFailures = 12

const rssLimit = ({ rssMb = defaultRssMb }: GatewayOptions) => rssMb

/** Where each key may be seen: with its provider, and where a check says so. */
const boundOf = ({ providers, keys = {} }: GatewayOptions): [string, string][] => [
  ...Object.entries(providers).map(([name, { at }]): [string, string] => [name, at.origin]),
  ...Object.entries(keys).map(([name, { origin }]): [string, string] => [name, origin]),
]

export function createStage(random: Random, commonEnv: Readonly<Record<string, string>> = {}): Stage {
  const keys = new Map<string, string>()
  const upstreams: Upstream[] = []
  const servers: { server: HttpServer; options: GatewayOptions }[] = []
  const played: { driver: Driver; options: GatewayOptions; sockets: number }[] = []
  const mortal = new Set<Driver>()
  const finishers: (() => unknown)[] = []
  const others: { bytes: Uint8Array; where: string }[] = []
  const failures: string[] = []
  const told: string[] = []
  let folder: string | undefined
  const fail = (sentence: string) => {
    if (!failures.includes(sentence)) failures.push(sentence)
  }

  const stage: Stage = {
    random,
    key(provider) {
      const key = keys.get(provider) ?? createKey(random.branch(`key ${provider}`))
      keys.set(provider, key)
      return key
    },
    async upstream(script, options) {
      const upstream = await startUpstream(script, options)
      upstreams.push(upstream)
      return upstream
    },
    async gateway(options) {
      const names = Object.keys(options.providers)
      const driver = await startDriver({
        env: environmentOf(options),
        model: options.model ?? `${names[0]}/tiny`,
        era: options.era ?? random.pick(['2025-11-25', '2026-07-28'] as const),
        maxAttempts:
          options.maxAttempts ??
          1 + Math.max(3, ...Object.values(options.providers).map(({ maxRetries = 3 }) => maxRetries)),
        ...(options.node ? { node: options.node } : {}),
        ...(options.cwd ? { cwd: options.cwd } : {}),
        ...(options.wrapper ? { wrapper: options.wrapper } : {}),
        ...(options.stdio ? { stdio: options.stdio } : {}),
      })
      played.push({ driver, options, sockets: driver.sockets() })
      return driver
    },
    async http({ clients = ['client'], ...options }) {
      const server = await startHttpServer(environmentOf(options), clients.map(stage.key))
      servers.push({ server, options })
      return server
    },
    folder() {
      folder ??= mkdtempSync(join(tmpdir(), 'scorecard-'))
      return folder
    },
    after: (finish) => void finishers.push(finish),
    expect: (holds, otherwise) => void (holds || fail(otherwise)),
    equal(actual, expected, what) {
      const [seen, wanted] = [JSON.stringify(actual), JSON.stringify(expected)]
      if (seen !== wanted) fail(`${what}: ${shortened(seen)} instead of ${shortened(wanted)}`)
    },
    mayEnd: (driver) => void mortal.add(driver),
    scan: (bytes, where) => void others.push({ bytes, where }),
    leaked: (sentence) => void told.push(sentence),
    async finish() {
      const waitedMs = Math.max(0, ...played.map(({ driver }) => driver.waitedMs()))
      for (const { driver, options } of played) await quieten(driver, options)
      for (const { server, options } of servers) for (const fault of await server.finish(rssLimit(options))) fail(fault)
      for (const finish of finishers) await finish()
      const owed = new Map(upstreams.flatMap((upstream) => [...upstream.owed]))
      const attempts = countAttempts(upstreams)
      await Promise.all(upstreams.map((upstream) => upstream.close()))
      let bytesLost = 0
      for (const { driver, sockets } of played) {
        if (driver.alive() && !mortal.has(driver)) {
          await patiently(() => driver.sockets() <= sockets, 1000)
          if (driver.sockets() > sockets)
            fail(`I10: ${driver.sockets()} sockets are open at the end, ${sockets} at the start`)
        }
        if (!(await ended(driver))) fail('the gateway did not end within 8 s of the end of its input')
        if (mortal.has(driver)) driver.history.cutShort = true
        const verdict = checkHistory({ ...driver.history, owed, attempts })
        for (const violation of verdict.violations) fail(violation)
        bytesLost += verdict.bytesLost
      }
      const leaks = [...told, ...(await findLeaks())]
      for (const leak of leaks) fail(leak)
      if (folder !== undefined) rmSync(folder, { recursive: true, force: true })
      const more = failures.length - maxFailures
      return {
        failures: [...failures.slice(0, maxFailures), ...(more > 0 ? [`and ${more} more`] : [])],
        bytesLost,
        leaks,
        waitedMs,
      }
    },
  }

  const environmentOf = ({ providers, routes, config = {}, env = {} }: GatewayOptions) => {
    const names = Object.keys(providers)
    const entries = Object.entries(providers).map(([name, { at, type = 'openai', ...settings }]) => [
      name,
      {
        type,
        baseUrl: type === 'openai' || type === 'lmstudio' ? `${at.origin}/v1` : at.origin,
        ...(settings.apiKeyFile ? {} : { apiKeyEnv: `CANARY_${name.toUpperCase()}` }),
        ...settings,
      },
    ])
    return {
      PROVIDER_CONFIG: JSON.stringify({
        providers: Object.fromEntries(entries),
        ...(routes ? { routes } : {}),
        ...config,
      }),
      LOG_LEVEL: 'debug',
      ...Object.fromEntries(names.map((name) => [`CANARY_${name.toUpperCase()}`, stage.key(name)])),
      ...commonEnv,
      ...env,
    }
  }

  /** After every check: the same process, alive and quick, within its memory. */
  const quieten = async (driver: Driver, options: GatewayOptions) => {
    const peak = driver.peakRssMb()
    const limit = rssLimit(options)
    if (peak > limit) fail(`I12: ${Math.round(peak)} MB of memory at the most, ${limit} are allowed`)
    if (mortal.has(driver)) return
    if (!driver.alive()) return fail(`the gateway is gone: ${shortened(driver.stderr().slice(-200))}`)
    const times: number[] = []
    // On a busy machine one answer may be late; a gateway that is stuck is late each time.
    for (let at = 0; at < 3 && (times.at(-1) ?? pingMs) >= pingMs; at++) {
      const { message, tookMs } = await driver.request('ping', {}, { patienceMs: 10_000 })
      times.push(message ? tookMs : 10_000)
    }
    if (Math.min(...times) >= pingMs) fail(`a ping took ${times.map(Math.round).join(', ')} ms, ${pingMs} are allowed`)
  }

  const findLeaks = async (): Promise<string[]> => {
    const scanner = createScanner(Object.fromEntries(keys))
    const leaks: string[] = []
    const look = async (chunks: readonly Uint8Array[], where: string, allowed: readonly string[] = []) => {
      const found = await scanner.scan(Buffer.concat(chunks))
      leaks.push(...found.filter((name) => !allowed.includes(name)).map((name) => `I8: the key of ${name} ${where}`))
    }
    for (const { driver } of played) {
      await look(driver.stdoutBytes(), 'on stdout')
      await look(driver.stderrBytes(), 'on stderr')
    }
    for (const { server } of servers) {
      await look(server.answers(), 'in an answer')
      await look(server.output(), 'on stdout or stderr')
    }
    for (const { origin, bytes } of upstreams) {
      const owners = [...played, ...servers]
        .flatMap(({ options }) => boundOf(options))
        .filter(([, other]) => other === origin)
      const where = `at ${origin}, which it is not bound to`
      await look(
        bytes,
        where,
        owners.map(([name]) => name),
      )
    }
    for (const { bytes, where } of others) await look([bytes], where)
    return leaks
  }
  return stage
}

function countAttempts(upstreams: readonly Upstream[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const { prompt } of upstreams.flatMap((upstream) => upstream.calls()))
    counts.set(prompt, (counts.get(prompt) ?? 0) + 1)
  return counts
}

async function ended(driver: Driver): Promise<boolean> {
  driver.resume()
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<false>((resolve) => (timer = setTimeout(resolve, 8000, false)))
  const inTime = await Promise.race([driver.end().then(() => true), late])
  clearTimeout(timer)
  if (!inTime) driver.kill('SIGKILL')
  return inTime
}

export function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/** Waits for what no event tells; whether it came in time. */
export async function patiently(condition: () => boolean, patienceMs: number): Promise<boolean> {
  const endMs = performance.now() + patienceMs
  while (!condition()) {
    if (performance.now() > endMs) return false
    await delay(10)
  }
  return true
}

export function shortened(text: string | undefined, length = 160): string {
  return text === undefined ? 'nothing' : text.length > length ? `${text.slice(0, length)}…` : text
}

/** Does a number of things, so many at a time. */
export async function sideBySide<T>(
  tasks: readonly T[],
  atOnce: number,
  work: (task: T, at: number) => Promise<void>,
): Promise<void> {
  const queue = tasks.entries()
  await Promise.all(
    Array.from({ length: Math.min(atOnce, tasks.length) }, async () => {
      for (const [at, task] of queue) await work(task, at)
    }),
  )
}
