import { Agent } from 'undici'
import { args, timeCall } from './calls.ts'
import { type DialectName, dialects } from './dialects.mjs'
import { askDirectly, directRequest } from './direct.ts'
import { atMost, interleave, median, type Part, type Row, tail } from './figures.ts'
import { type Bench, type Servers, withServers } from './plan.ts'
import { type Repetition, streamAtOnce, width } from './streams.ts'

/** What was measured of one dialect. */
type Costs = {
  dialect: DialectName
  /** Milliseconds of a call. */
  calls: Record<'direct' | 'bare' | 'gateway', number[]>
  streams: Record<'bare' | 'gateway', Repetition[]>
}

/** What a call and a token cost in each dialect, against a pass-through that speaks the same. */
export async function measureDialects(bench: Bench): Promise<Part[]> {
  const agent = new Agent()
  const costs: Costs[] = []
  try {
    for (const dialect of Object.keys(dialects) as DialectName[]) {
      const measure = async (servers: Servers) => {
        const calls = await timeCalls(bench, dialect, servers, agent)
        costs.push({ dialect, calls, streams: await runStreams(bench, servers) })
      }
      await withServers(bench, measure, dialect)
    }
  } finally {
    await agent.close()
  }
  return [describeCalls(bench, costs), describeTokens(bench, costs)]
}

/** As many as stand behind a call of the part that measures one dialect alone. */
const warmUpOf = ({ plan }: Bench) => plan.sequence + plan.warmUp

async function timeCalls(
  bench: Bench,
  dialect: DialectName,
  { gateway, bare }: Servers,
  agent: Agent,
): Promise<Costs['calls']> {
  const calls: Costs['calls'] = { direct: [], bare: [], gateway: [] }
  const request = directRequest(bench, args, dialect)
  const cases = [
    async () => void calls.direct.push(await askDirectly(agent, request)),
    async () => void calls.bare.push(await timeCall(bare)),
    async () => void calls.gateway.push(await timeCall(gateway)),
  ]
  for (let warmUp = 0; warmUp < warmUpOf(bench); warmUp++) for (const run of cases) await run()
  for (const values of Object.values(calls)) values.length = 0
  await interleave(cases, bench.plan.dialectCalls)
  return calls
}

async function runStreams({ plan }: Bench, { gateway, bare }: Servers): Promise<Costs['streams']> {
  const streams: Costs['streams'] = { bare: [], gateway: [] }
  const { tokens } = plan.dialectStreams
  for (const peer of [gateway, bare]) await streamAtOnce(peer, 200)
  await interleave(
    [
      async () => void streams.gateway.push(await streamAtOnce(gateway, tokens)),
      async () => void streams.bare.push(await streamAtOnce(bare, tokens)),
    ],
    plan.dialectStreams,
  )
  return streams
}

function describeCalls(bench: Bench, costs: readonly Costs[]): Part {
  const rows = costs.map(({ dialect, calls }): Row => {
    const [direct, bare, gateway] = [tail(calls.direct), tail(calls.bare), tail(calls.gateway)]
    const added = (figures: Record<string, number>, name: string) => Number(figures[name]) - Number(direct[name])
    const ratio = added(gateway, 'p50') / added(bare, 'p50')
    return {
      name: dialect,
      figures: {
        'added p50': added(gateway, 'p50'),
        'added p95': added(gateway, 'p95'),
        'added p99': added(gateway, 'p99'),
        'by the pass-through, p50': added(bare, 'p50'),
        p99: added(bare, 'p99'),
        n: calls.gateway.length,
      },
      limits: [atMost(2, ratio, ' of what the pass-through adds'), atMost(2, added(gateway, 'p99'), ' ms at p99')],
    }
  })
  return {
    title: 'Added to a call in each dialect (ms)',
    rows,
    notes: [`Over undici itself with the same bytes, behind ${warmUpOf(bench)} such calls on each way.`],
  }
}

function describeTokens({ plan }: Bench, costs: readonly Costs[]): Part {
  const { tokens } = plan.dialectStreams
  const rows = costs.map(({ dialect, streams }): Row => {
    const cost = (runs: readonly Repetition[]) =>
      median(runs.map(({ processorMs }) => (processorMs * 1000) / (width * tokens)))
    const share = cost(streams.gateway) / cost(streams.bare)
    const whole = [...streams.gateway, ...streams.bare].every(({ complete }) => complete)
    return {
      name: dialect,
      figures: {
        gateway: cost(streams.gateway),
        'pass-through': cost(streams.bare),
        n: streams.gateway.length,
        'all tokens': whole ? 'yes' : 'NO',
      },
      limits: Number.isNaN(share) ? [] : [atMost(1, share, ' of the pass-through')],
    }
  })
  return {
    title: `${width} streams of ${tokens} tokens in each dialect (µs of processor time a token)`,
    rows,
    notes: [],
  }
}
