import { Agent } from 'undici'
import { residentMb } from './children.ts'
import { askDirectly, directRequest } from './direct.ts'
import { atMost, interleave, median, type Part, type Row, spread } from './figures.ts'
import { encodeRequest, type Peer } from './peer.ts'
import { type Bench, withServers } from './plan.ts'

const paragraph = 'She asked: “what is said here”, and read on — line after line, with \\ and "quotes".\n'
const kilobyte = 1024
const megabyte = 1024 * kilobyte
const ladder = [1, 10, 100, 1_000, 10_000]

const largeModel = (bytes: number) => `large-${bytes}`
const textOf = (bytes: number) => paragraph.repeat(Math.ceil(bytes / Buffer.byteLength(paragraph)))

/** Far from the ids that the client chooses by itself. */
const firstId = 1_000_000

/** A large prompt, a large answer, and how time grows with both. */
export async function measureSizes(bench: Bench): Promise<Part[]> {
  const { megabytes } = bench.plan.sizes
  const largest = megabytes * megabyte
  const prompt = textOf(largest)
  const agent = new Agent({ headersTimeout: 30_000 })
  let id = firstId
  const timed = async (peer: Peer, model: string, question: string) => {
    const line = encodeRequest(++id, 'tools/call', {
      name: 'createCompletion',
      arguments: { model, prompt: question },
    })
    const startMs = performance.now()
    const { atMs, bytes } = await peer.send(line, id)
    if (model === largeModel(largest) && bytes < megabytes * 1e6) throw new Error('the large answer did not come whole')
    return atMs - startMs
  }
  const measure = async (model: string, question: string) => {
    const direct: number[] = []
    const through: number[] = []
    const gated: number[] = []
    const request = directRequest(bench, { model, prompt: question })
    const body = Buffer.from(request.body)
    return withServers(bench, async ({ gateway, bare }) => {
      await Promise.all([timed(gateway, 'reply', 'Ready?'), timed(bare, 'reply', 'Ready?')])
      const idle = { gateway: residentMb(gateway.child)?.now, bare: residentMb(bare.child)?.now }
      const grown = { gateway: Number.NaN, bare: Number.NaN }
      // After the first alone: later ones find the memory of those before them not yet given back.
      const grownBy = (peer: Peer, mb: number | undefined) =>
        (residentMb(peer.child)?.peak ?? Number.NaN) - (mb ?? Number.NaN)
      await interleave(
        [
          async () => void direct.push(await askDirectly(agent, { ...request, body })),
          async () => {
            through.push(await timed(bare, model, question))
            if (through.length === 1) grown.bare = grownBy(bare, idle.bare)
          },
          async () => {
            gated.push(await timed(gateway, model, question))
            if (gated.length === 1) grown.gateway = grownBy(gateway, idle.gateway)
          },
        ],
        bench.plan.sizes,
      )
      return { direct, through, gated, grown }
    })
  }
  const describe = (
    title: string,
    { direct, through, gated, grown }: Awaited<ReturnType<typeof measure>>,
    limitTime: boolean,
  ): Part => {
    const ratio = median(gated) / median(through)
    const row = (name: string, values: number[], grownMb?: number): Row => ({
      name,
      figures: { ...spread(values), ...(grownMb === undefined ? {} : { 'MB above idle': grownMb }) },
      limits: [],
    })
    const memory = Number.isNaN(grown.gateway) ? [] : [atMost(3 * megabytes, grown.gateway, ' MB')]
    return {
      title,
      rows: [
        row('undici itself', direct),
        row('pass-through', through, grown.bare),
        {
          ...row('gateway', gated, grown.gateway),
          limits: limitTime ? [atMost(1.5, ratio, ' of the pass-through')] : memory,
        },
      ],
      notes: limitTime ? [] : [`The gateway takes ${ratio.toFixed(2)} times the time of the pass-through.`],
    }
  }
  try {
    return [
      describe(`A prompt of ${megabytes} MB (ms)`, await measure('reply', prompt), true),
      describe(`An answer of ${megabytes} MB (ms)`, await measure(largeModel(largest), 'Write.'), false),
      await measureGrowth(bench, timed),
    ]
  } finally {
    await agent.close()
  }
}

type Timed = (peer: Peer, model: string, question: string) => Promise<number>

/** How the time of a call grows with what is sent and with what comes back. */
async function measureGrowth(bench: Bench, timed: Timed): Promise<Part> {
  const sizes = ladder.flatMap((kilobytes) => [
    { name: `prompt of ${kilobytes} KB`, model: 'reply', question: textOf(kilobytes * kilobyte) },
    { name: `answer of ${kilobytes} KB`, model: largeModel(kilobytes * kilobyte), question: 'Write.' },
  ])
  const rows = await withServers(bench, async ({ gateway, bare }) => {
    const rows: Row[] = []
    for (const { name, model, question } of sizes) {
      const through: number[] = []
      const gated: number[] = []
      // The first of each builds the answer, or compiles what reads it.
      for (const peer of [bare, gateway]) await timed(peer, model, question)
      await interleave(
        [
          async () => void through.push(await timed(bare, model, question)),
          async () => void gated.push(await timed(gateway, model, question)),
        ],
        bench.plan.growth,
      )
      const figures = { gateway: median(gated), 'pass-through': median(through) }
      rows.push({
        name,
        figures: { ...figures, ratio: figures.gateway / figures['pass-through'], n: gated.length },
        limits: [],
      })
    }
    return rows
  })
  return { title: 'Growth with the size (ms, medians)', rows, notes: [] }
}
