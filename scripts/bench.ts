// Measures the built gateway on this machine, over loopback alone: its start, its calls, its streams, its memory.
//   make bench, or: node --import tsx scripts/bench.ts, with
//     --quick             fewer rounds
//     --json FILE         all figures also as JSON
//     --only PART,PART    some parts alone
//     --program FILE      another build
//     --image NAME        only the start inside that image, by this machine's container engine
//     --delay MS          what the provider lets pass before every answer: 0
//     --gap MS            and between two tokens: 1
//     --tokens COUNT      of a stream: 2000
//     --megabytes COUNT   of a large prompt and a large answer: 10
import { existsSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, loadavg } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { measureCalls } from './bench/calls.ts'
import { measureCancellation } from './bench/cancellation.ts'
import { killChildren, startUpstream } from './bench/children.ts'
import { measureDialects } from './bench/dialect-costs.ts'
import { type Part, renderPart } from './bench/figures.ts'
import { measureImage } from './bench/image.ts'
import { type Bench, quickPlan, upstreamProgram, wholePlan } from './bench/plan.ts'
import { measureSizes } from './bench/sizes.ts'
import { measureStart } from './bench/start.ts'
import { measureStreams } from './bench/streams.ts'

const parts: Readonly<Record<string, (bench: Bench) => Promise<Part | Part[]>>> = {
  start: measureStart,
  calls: measureCalls,
  streams: measureStreams,
  dialects: measureDialects,
  cancel: measureCancellation,
  sizes: measureSizes,
  image: measureImage,
}
const onThisMachine = Object.keys(parts).filter((name) => name !== 'image')

const hangMs = 600_000

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    json: { type: 'string' },
    program: { type: 'string', default: fileURLToPath(new URL('../dist/genai-gateway-mcp.mjs', import.meta.url)) },
    only: { type: 'string' },
    image: { type: 'string' },
    delay: { type: 'string', default: '0' },
    gap: { type: 'string', default: '1' },
    tokens: { type: 'string' },
    megabytes: { type: 'string' },
  },
})
const wanted = options.only?.split(',') ?? (options.image === undefined ? onThisMachine : ['image'])
const stranger = wanted.find((name) => !Object.hasOwn(parts, name))
if (stranger !== undefined) fail(`there is no part ${stranger}; the parts are ${Object.keys(parts).join(', ')}`)
if (wanted.includes('image') && options.image === undefined) fail('the part image needs --image NAME')
if (wanted.some((name) => name !== 'image') && !existsSync(options.program)) {
  fail('the gateway is not built yet: run make bench, or make build before')
}
const pace = { delayMs: numberOf('delay', options.delay), tokenGapMs: numberOf('gap', options.gap) }
const plan = structuredClone(options.quick ? quickPlan : wholePlan)
if (options.tokens !== undefined) plan.streams.tokens = plan.dialectStreams.tokens = numberOf('tokens', options.tokens)
if (options.megabytes !== undefined) plan.sizes.megabytes = numberOf('megabytes', options.megabytes)

process.on('exit', killChildren)
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(130))

// A measurement that hangs must not keep a processor, nor whoever waits for it. Of a delay, some 47,000 calls wait in turn.
setTimeout(() => fail('the benchmark hangs: it was ended'), hangMs + 60_000 * pace.delayMs).unref()

const startMs = performance.now()
const machine = {
  date: new Date().toISOString(),
  node: process.version,
  platform: `${process.platform}-${process.arch}`,
  cores: availableParallelism(),
  processor: cpus()[0]?.model ?? 'unknown',
  load: Number((loadavg()[0] ?? 0).toFixed(2)),
  quick: options.quick,
  ...pace,
}
console.log(
  `genai-gateway-mcp, ${machine.date}, Node ${machine.node}, ${machine.platform}, ${machine.cores} cores (${machine.processor}), load ${machine.load}${options.quick ? ', quick' : ''}\n`,
)

const measured: Part[] = []
const upstream = await startUpstream(upstreamProgram, pace)
try {
  const bench = { plan, program: options.program, image: options.image, upstream }
  for (const name of wanted) {
    for (const part of [(await parts[name]?.(bench)) ?? []].flat()) {
      measured.push(part)
      console.log(renderPart(part))
    }
  }
} finally {
  await upstream.end()
}

const limits = measured.flatMap(({ title, rows }) =>
  rows.flatMap((row) => row.limits.map((limit) => ({ title, row: row.name, ...limit }))),
)
const missed = limits.filter(({ met }) => !met).length
const seconds = (performance.now() - startMs) / 1000
console.log(`${limits.length} limits: ${limits.length - missed} met, ${missed} missed; ${seconds.toFixed(1)} s`)
if (options.json !== undefined) {
  writeFileSync(options.json, `${JSON.stringify({ ...machine, plan, seconds, parts: measured }, undefined, 2)}\n`)
}

function numberOf(name: string, text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < (name === 'delay' ? 0 : 1))
    fail(`--${name} takes a whole number, not ${text}`)
  return value
}

function fail(sentence: string): never {
  console.error(sentence)
  process.exit(2)
}
