import type { ChildProcess } from 'node:child_process'
import { processorMs, residentMb, startUpstream } from './children.ts'
import { atMost, interleave, median, type Part, type Row, tail } from './figures.ts'
import type { Peer } from './peer.ts'
import { type Bench, upstreamProgram, withServers } from './plan.ts'

export const width = 32

export type Repetition = {
  processorMs: number
  notifications: number
  firstMs: number[]
  complete: boolean
}

/** Answers as they are written: what a token costs, how late the first one is, and whether all come. */
export async function measureStreams(bench: Bench): Promise<Part[]> {
  const { tokens } = bench.plan.streams
  return withServers(bench, async ({ gateway, bare }) => {
    const memory = new Map<ChildProcess, number[]>()
    const note = ({ child }: Peer) =>
      memory.set(child, [...(memory.get(child) ?? []), residentMb(child)?.now ?? Number.NaN])
    const runs = { gateway: [] as Repetition[], bare: [] as Repetition[] }
    const alone = { gateway: [] as Repetition[], bare: [] as Repetition[] }
    const single = { gateway: [] as number[], bare: [] as number[] }

    // A short repetition that does not count: the code of both is compiled first.
    for (const peer of [gateway, bare]) await streamAtOnce(peer, 200)
    for (const peer of [gateway, bare]) note(peer)
    await interleave(
      [
        async () => {
          runs.gateway.push(await streamAtOnce(gateway, tokens))
          note(gateway)
        },
        async () => {
          runs.bare.push(await streamAtOnce(bare, tokens))
          note(bare)
        },
      ],
      bench.plan.streams,
    )
    await interleave(
      [
        async () => void single.gateway.push((await stream(gateway, 3)).firstMs),
        async () => void single.bare.push((await stream(bare, 3)).firstMs),
      ],
      bench.plan.firstProgress,
    )
    await interleave(
      [
        async () => void alone.gateway.push(await streamAtOnce(gateway, tokens, 1)),
        async () => void alone.bare.push(await streamAtOnce(bare, tokens, 1)),
      ],
      bench.plan.oneStream,
    )
    return [
      describeTokens(runs, tokens, width),
      await measureSlowTokens(bench),
      describeTokens(alone, tokens, 1),
      describeFirst(runs, single),
      describeMemory(memory.get(gateway.child) ?? [], memory.get(bare.child) ?? []),
    ]
  })
}

/** Longer than the gateway waits for more of a text: each token goes out by itself. */
const slowGapMs = 60
/** V8 compiles what a token runs through sooner the more streams there are. */
const warmUpWidth = 128

/** What a token costs that nothing is gathered with. Both servers at once: most of the time, neither does anything. */
async function measureSlowTokens(bench: Bench): Promise<Part> {
  const { tokens, rounds, warmUps, warmUpTokens } = bench.plan.slowTokens
  const upstream = await startUpstream(upstreamProgram, { delayMs: 0, tokenGapMs: slowGapMs })
  const runs = { gateway: [] as Repetition[], bare: [] as Repetition[] }
  try {
    await withServers({ ...bench, upstream }, async ({ gateway, bare }) => {
      const atBoth = (tokens: number, streams: number) =>
        Promise.all([streamAtOnce(gateway, tokens, streams), streamAtOnce(bare, tokens, streams)])
      for (let warmUp = 0; warmUp < warmUps; warmUp++) await atBoth(warmUpTokens, warmUpWidth)
      // At a stretch: processor time is told in hundredths of a second, and a token takes some millionths.
      for (let round = 0; round < rounds; round++) {
        const [gated, through] = await atBoth(tokens, width)
        runs.gateway.push(gated)
        runs.bare.push(through)
      }
    })
  } finally {
    await upstream.end()
  }
  return describeTokens(runs, tokens, width, slowGapMs)
}

async function stream(peer: Peer, tokens: number) {
  let firstMs = Number.NaN
  let notifications = 0
  const messages: string[] = []
  const reply = await peer.call({ model: `tokens-${tokens}`, prompt: 'Write.' }, (message) => {
    notifications += 1
    // The upstream's clock stands at the beginning of its text, and ends where the next token begins.
    if (notifications === 1) firstMs = Number(process.hrtime.bigint() - BigInt(message.split(' ', 1)[0] ?? 0)) / 1e6
    messages.push(message)
  })
  const { result } = JSON.parse(reply.text())
  const text = messages.join('')
  const complete = text === result.content[0].text && text.split(' ').length === tokens
  return { firstMs, notifications, complete }
}

/** Streams that begin together, and what they have cost the server. */
export async function streamAtOnce(peer: Peer, tokens: number, streamCount = width): Promise<Repetition> {
  const usedMs = processorMs(peer.child) ?? Number.NaN
  const streams = await Promise.all(Array.from({ length: streamCount }, () => stream(peer, tokens)))
  return {
    processorMs: (processorMs(peer.child) ?? Number.NaN) - usedMs,
    notifications: streams.reduce((sum, { notifications }) => sum + notifications, 0),
    firstMs: streams.map(({ firstMs }) => firstMs),
    complete: streams.every(({ complete }) => complete),
  }
}

type Runs = Readonly<Record<'gateway' | 'bare', Repetition[]>>

function describeTokens(runs: Runs, tokens: number, streamCount: number, gapMs?: number): Part {
  const costUs = (repetitions: Repetition[]) =>
    repetitions.map((repetition) => (repetition.processorMs * 1000) / (streamCount * tokens))
  const row = (name: string, repetitions: Repetition[]): Row => ({
    name,
    figures: {
      'CPU µs a token': median(costUs(repetitions)),
      least: Math.min(...costUs(repetitions)),
      most: Math.max(...costUs(repetitions)),
      notifications: median(repetitions.map(({ notifications }) => notifications)),
      n: repetitions.length,
      'all tokens': repetitions.every(({ complete }) => complete) ? 'yes' : 'NO',
    },
    limits: [],
  })
  const share = median(costUs(runs.gateway)) / median(costUs(runs.bare))
  return {
    title: `${streamCount === 1 ? 'One stream' : `${streamCount} streams at once`} of ${tokens} tokens, ${
      gapMs === undefined ? 'an event a token' : `one every ${gapMs} ms`
    }`,
    rows: [
      row('pass-through, a progress a token', runs.bare),
      {
        ...row(gapMs === undefined ? 'gateway, coalescing' : 'gateway, a progress a token as well', runs.gateway),
        limits:
          Number.isNaN(share) || streamCount === 1
            ? []
            : [atMost(gapMs === undefined ? 1 : 1.5, share, ' of the pass-through')],
      },
    ],
    notes: Number.isNaN(share) ? ['Processor time is read from /proc, which is not here.'] : [],
  }
}

function describeFirst(runs: Runs, single: Readonly<Record<'gateway' | 'bare', number[]>>): Part {
  const atOnce = (repetitions: Repetition[]) => tail(repetitions.flatMap(({ firstMs }) => firstMs))
  return {
    title: "From the upstream's first token to the first progress (ms)",
    rows: [
      { name: 'pass-through, one stream', figures: tail(single.bare), limits: [] },
      {
        name: 'gateway, one stream',
        figures: tail(single.gateway),
        limits: [atMost(1, median(single.gateway), ' ms')],
      },
      { name: `pass-through, ${width} that begin together`, figures: atOnce(runs.bare), limits: [] },
      { name: `gateway, ${width} that begin together`, figures: atOnce(runs.gateway), limits: [] },
    ],
    notes: [],
  }
}

function describeMemory(gateway: readonly number[], bare: readonly number[]): Part {
  const row = (name: string, values: readonly number[]): Row => ({
    name,
    figures: {
      before: values[0] ?? Number.NaN,
      'after 1': values[1] ?? Number.NaN,
      [`after ${values.length - 1}`]: values.at(-1) ?? Number.NaN,
      growth: (values.at(-1) ?? Number.NaN) - (values[0] ?? Number.NaN),
    },
    limits: [],
  })
  return {
    title: 'Resident memory over these streams (MB)',
    rows: [row('pass-through', bare), row('gateway', gateway)],
    notes: [],
  }
}
