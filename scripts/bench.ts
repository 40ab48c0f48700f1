// Measures the built gateway on this machine, over loopback alone: its start, its calls, its streams, its memory.
//   make bench, or: node --import tsx scripts/bench.ts [--quick] [--json FILE] [--program FILE] [--only PART,PART]
import { existsSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, loadavg } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { measureCalls } from './bench/calls.ts'
import { measureCancellation } from './bench/cancellation.ts'
import { killChildren, startUpstream } from './bench/children.ts'
import { type Part, renderPart } from './bench/figures.ts'
import { type Bench, quickPlan, upstreamProgram, wholePlan } from './bench/plan.ts'
import { measureSizes } from './bench/sizes.ts'
import { measureStart } from './bench/start.ts'
import { measureStreams } from './bench/streams.ts'

const parts: Readonly<Record<string, (bench: Bench) => Promise<Part | Part[]>>> = {
  start: measureStart,
  calls: measureCalls,
  streams: measureStreams,
  cancel: measureCancellation,
  sizes: measureSizes,
}

const hangMs = 300_000

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    json: { type: 'string' },
    program: { type: 'string', default: fileURLToPath(new URL('../dist/genai-gateway-mcp.mjs', import.meta.url)) },
    only: { type: 'string', default: Object.keys(parts).join(',') },
  },
})
const wanted = options.only.split(',')
const stranger = wanted.find((name) => !Object.hasOwn(parts, name))
if (stranger !== undefined) fail(`there is no part ${stranger}; the parts are ${Object.keys(parts).join(', ')}`)
if (!existsSync(options.program)) fail('the gateway is not built yet: run make bench, or make build before')

process.on('exit', killChildren)
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(130))

// A measurement that hangs must not keep a processor, nor whoever waits for it.
setTimeout(() => fail('the benchmark hangs: it was ended'), hangMs).unref()

const startMs = performance.now()
const machine = {
  date: new Date().toISOString(),
  node: process.version,
  platform: `${process.platform}-${process.arch}`,
  cores: availableParallelism(),
  processor: cpus()[0]?.model ?? 'unknown',
  load: Number((loadavg()[0] ?? 0).toFixed(2)),
  quick: options.quick,
}
console.log(
  `genai-gateway-mcp, ${machine.date}, Node ${machine.node}, ${machine.platform}, ${machine.cores} cores (${machine.processor}), load ${machine.load}${options.quick ? ', quick' : ''}\n`,
)

const measured: Part[] = []
const upstream = await startUpstream(upstreamProgram)
try {
  const bench = { plan: options.quick ? quickPlan : wholePlan, program: options.program, upstream }
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
  writeFileSync(options.json, `${JSON.stringify({ ...machine, seconds, parts: measured }, undefined, 2)}\n`)
}

function fail(sentence: string): never {
  console.error(sentence)
  process.exit(2)
}
