import { Agent } from 'undici'
import { processorMs, residentMb } from './children.ts'
import { askDirectly, directRequest } from './direct.ts'
import { atLeast, atMost, interleave, type Limit, median, type Part, type Row, tail } from './figures.ts'
import type { Peer } from './peer.ts'
import { type Bench, type Servers, withServers } from './plan.ts'

export const args = { model: 'reply', prompt: 'What is the answer?' }

export async function timeCall(peer: Peer): Promise<number> {
  const startMs = performance.now()
  const { atMs } = await peer.call(args)
  return atMs - startMs
}

/** What a call costs in time, one after the other and many at once, and in connections. */
export async function measureCalls(bench: Bench): Promise<Part[]> {
  const agent = new Agent()
  try {
    return await withServers(bench, async (servers) => {
      const sequence = await measureSequence(bench, servers)
      const latency = await measureLatency(bench, servers, agent)
      const throughput = await measureThroughput(bench, servers)
      return [latency, throughput, sequence]
    })
  } finally {
    await agent.close()
  }
}

async function measureLatency(bench: Bench, { gateway, bare }: Servers, agent: Agent): Promise<Part> {
  const { plan } = bench
  const request = directRequest(bench, args)
  const direct: number[] = []
  const through: number[] = []
  const gated: number[] = []
  for (let warmUp = 0; warmUp < plan.warmUp; warmUp++) {
    await askDirectly(agent, request)
    await bare.call(args)
    await gateway.call(args)
  }
  await interleave(
    [
      async () => void direct.push(await askDirectly(agent, request)),
      async () => void through.push(await timeCall(bare)),
      async () => void gated.push(await timeCall(gateway)),
    ],
    plan.calls,
  )
  const of = { direct: tail(direct), through: tail(through), gated: tail(gated) }
  const added = (figures: Record<string, number>) =>
    Object.fromEntries(['p50', 'p95', 'p99'].map((name) => [name, (figures[name] ?? 0) - (of.direct[name] ?? 0)]))
  const addedBare = added(of.through)
  const addedGateway = added(of.gated)
  const limits: Limit[] = [
    atMost(2, (addedGateway['p50'] ?? 0) / (addedBare['p50'] ?? 0), ' of what the pass-through adds'),
    atMost(2, addedGateway['p99'] ?? 0, ' ms at p99'),
  ]
  return {
    title: 'A call, one at a time (ms)',
    rows: [
      { name: 'undici itself', figures: of.direct, limits: [] },
      { name: 'pass-through', figures: of.through, limits: [] },
      { name: 'gateway', figures: of.gated, limits: [] },
      { name: 'added by the pass-through', figures: addedBare, limits: [] },
      { name: 'added by the gateway', figures: addedGateway, limits },
    ],
    notes: [
      'Added is the difference of the same quantile. The answer is a stream of four pieces, sent at once.',
      `Client, provider and servers have made ${plan.warmUp} such calls on each way before: V8 has compiled what it will.`,
    ],
  }
}

async function measureThroughput({ plan }: Bench, { gateway, bare }: Servers): Promise<Part> {
  const { windowMs } = plan.throughput
  const widths = [1, 16, 64, 256]
  const rates = widths.map(() => ({ gated: [] as number[], through: [] as number[] }))
  await interleave(
    widths.flatMap((width, at) => [
      async () => void rates[at]?.gated.push(await callsPerSecond(gateway, width, windowMs)),
      async () => void rates[at]?.through.push(await callsPerSecond(bare, width, windowMs)),
    ]),
    plan.throughput,
  )
  const rows = widths.map((width, at): Row => {
    const { gated = [], through = [] } = rates[at] ?? {}
    const share = median(gated) / median(through)
    return {
      name: `${width} at once`,
      figures: { gateway: median(gated), 'pass-through': median(through), share, n: gated.length },
      limits: width === 64 ? [atLeast(0.5, share, ' of the pass-through')] : [],
    }
  })
  return {
    title: 'Throughput (calls a second, medians)',
    rows,
    notes: ['Client, server and upstream share the processors, so the share says more than the rate. The aim is 0.85.'],
  }
}

async function callsPerSecond(peer: Peer, width: number, windowMs: number): Promise<number> {
  const startMs = performance.now()
  const endMs = startMs + windowMs
  let count = 0
  const work = async () => {
    while (performance.now() < endMs) {
      await peer.call(args)
      count += 1
    }
  }
  await Promise.all(Array.from({ length: width }, work))
  return (count * 1000) / (performance.now() - startMs)
}

/** The first calls of fresh servers, while V8 still compiles. */
async function measureSequence({ plan, upstream }: Bench, { gateway, bare }: Servers): Promise<Part> {
  const measure = async (peer: Peer) => {
    await peer.call(args)
    await new Promise((resolve) => setTimeout(resolve, 200))
    const idleMb = residentMb(peer.child)?.now
    const usedMs = processorMs(peer.child)
    // The first call has opened the connection that the others should use.
    const opened = (await upstream.connections()) - 1
    const times: number[] = []
    for (let call = 1; call < plan.sequence; call++) times.push(await timeCall(peer))
    const spentMs = (processorMs(peer.child) ?? Number.NaN) - (usedMs ?? Number.NaN)
    return {
      ...tail(times),
      connections: (await upstream.connections()) - opened,
      'CPU ms a 1,000 calls': (spentMs * 1000) / (plan.sequence - 1),
      'idle MB': idleMb ?? Number.NaN,
      'MB after': residentMb(peer.child)?.now ?? Number.NaN,
    }
  }
  const through = await measure(bare)
  const gated = await measure(gateway)
  const limits = [atMost(1, gated.connections, ' connection')]
  if (!Number.isNaN(gated['idle MB'])) {
    limits.push(atMost(12, gated['idle MB'] - through['idle MB'], ' MB idle above the pass-through'))
  }
  return {
    title: `${plan.sequence} calls one after the other (ms), the first of a fresh server`,
    rows: [
      { name: 'pass-through', figures: through, limits: [] },
      { name: 'gateway', figures: gated, limits },
    ],
    notes: Number.isNaN(gated['idle MB']) ? ['Processor time and memory are read from /proc, which is not here.'] : [],
  }
}
