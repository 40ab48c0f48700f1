import { Agent } from 'undici'
import { args, timeCall } from './calls.ts'
import { type DialectName, dialects } from './dialects.mjs'
import { askDirectly, directRequest } from './direct.ts'
import { atMost, interleave, median, type Part, type Row, tail } from './figures.ts'
import { type Bench, type Servers, withServers } from './plan.ts'
import { type Repetition, streamAtOnce, width } from './streams.ts'

type Subject = Servers & {
  dialect: DialectName
  /** Milliseconds of a call. */
  calls: Record<'direct' | 'bare' | 'gateway', number[]>
  streams: Record<'bare' | 'gateway', Repetition[]>
}

/** What a call and a token cost in each dialect, against a pass-through that speaks the same. */
export async function measureDialects(bench: Bench): Promise<Part[]> {
  const agent = new Agent()
  try {
    return await withSubjects(bench, Object.keys(dialects) as DialectName[], async (subjects) => [
      await measureCalls(bench, subjects, agent),
      await measureTokens(bench, subjects),
    ])
  } finally {
    await agent.close()
  }
}

/** Starts gateway and pass-through for each dialect, all for the same upstream. */
async function withSubjects<T>(
  bench: Bench,
  [dialect, ...others]: readonly DialectName[],
  measure: (subjects: readonly Subject[]) => Promise<T>,
): Promise<T> {
  if (dialect === undefined) return measure([])
  const withServersOf = (servers: Servers) => {
    const calls = { direct: [], bare: [], gateway: [] }
    const subject: Subject = { ...servers, dialect, calls, streams: { bare: [], gateway: [] } }
    return withSubjects(bench, others, (subjects) => measure([subject, ...subjects]))
  }
  return withServers(bench, withServersOf, dialect)
}

async function measureCalls(bench: Bench, subjects: readonly Subject[], agent: Agent): Promise<Part> {
  const cases = subjects.flatMap(({ dialect, gateway, bare, calls }) => {
    const request = directRequest(bench, args, dialect)
    return [
      async () => void calls.direct.push(await askDirectly(agent, request)),
      async () => void calls.bare.push(await timeCall(bare)),
      async () => void calls.gateway.push(await timeCall(gateway)),
    ]
  })
  for (let warmUp = 0; warmUp < 100; warmUp++) for (const run of cases) await run()
  for (const { calls } of subjects) for (const values of Object.values(calls)) values.length = 0
  await interleave(cases, bench.plan.dialectCalls)
  const rows = subjects.map(({ dialect, calls }): Row => {
    const [direct, bare, gateway] = [tail(calls.direct), tail(calls.bare), tail(calls.gateway)]
    const added = (figures: Record<string, number>, name: string) => Number(figures[name]) - Number(direct[name])
    const ratio = added(gateway, 'p50') / added(bare, 'p50')
    return {
      name: dialect,
      figures: {
        'added p50': added(gateway, 'p50'),
        'added p95': added(gateway, 'p95'),
        'added p99': added(gateway, 'p99'),
        'by the pass-through': added(bare, 'p50'),
        n: calls.gateway.length,
      },
      limits: [atMost(2, ratio, ' of what the pass-through adds'), atMost(2, added(gateway, 'p99'), ' ms at p99')],
    }
  })
  return {
    title: 'Added to a call in each dialect (ms)',
    rows,
    notes: [
      'Over undici itself with the same bytes. Six servers are alive at once here, so that the caches are shared.',
    ],
  }
}

async function measureTokens(bench: Bench, subjects: readonly Subject[]): Promise<Part> {
  const { tokens } = bench.plan.dialectStreams
  for (const { gateway, bare } of subjects) for (const peer of [gateway, bare]) await streamAtOnce(peer, 200)
  await interleave(
    subjects.flatMap(({ gateway, bare, streams }) => [
      async () => void streams.gateway.push(await streamAtOnce(gateway, tokens)),
      async () => void streams.bare.push(await streamAtOnce(bare, tokens)),
    ]),
    bench.plan.dialectStreams,
  )
  const rows = subjects.map(({ dialect, streams }): Row => {
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
