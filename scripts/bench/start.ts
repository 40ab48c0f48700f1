import type { ChildProcess } from 'node:child_process'
import { startNode } from './children.ts'
import { atMost, interleave, median, type Part, type Row, spread } from './figures.ts'
import { startPeer } from './peer.ts'
import { type Bench, passThrough, serverEnvironment } from './plan.ts'

/** What is started, and how long a client has to wait for it. */
export type Start = {
  name: string
  /** Resolves to the milliseconds from the spawn to what is waited for. */
  time: () => Promise<number>
  /** How much of the floor it may take at the most. */
  most?: number
}

export type Asked = readonly [method: string, params: object]

export const list: Asked = ['tools/list', {}]
export const completion: Asked = [
  'tools/call',
  { name: 'createCompletion', arguments: { model: 'reply', prompt: 'What is the answer?' } },
]

/** How long a client waits for a server that it has just started, against a Node that starts and does nothing. */
export async function measureStart(bench: Bench): Promise<Part> {
  const env = serverEnvironment(bench)
  const gateway = () => startNode([bench.program])
  const gatewayWithUpstream = () => startNode([bench.program], env)
  const bare = () => startNode([passThrough], env)
  return {
    title: 'Start (ms from spawn)',
    rows: await compareStarts(
      { name: 'node -e 0, to its exit (floor)', time: untilExit(() => startNode(['-e', '0'])) },
      [
        { name: 'initialize answered', time: untilAnswer(gateway), most: 1.1 },
        { name: 'tools/list answered', time: untilAnswer(gateway, list), most: 1.1 },
        { name: 'first createCompletion answered', time: untilAnswer(gatewayWithUpstream, completion), most: 2.6 },
        { name: 'the same by the pass-through', time: untilAnswer(bare, completion) },
      ],
      bench.plan.start,
    ),
    notes: ['Each request follows on the answer to initialize at once. Ratios are of medians.'],
  }
}

/** Times all in turns; a row each, with its share of the floor. */
export async function compareStarts(
  floor: Start,
  starts: readonly Start[],
  plan: { rounds: number; seconds: number },
): Promise<Row[]> {
  const timed = [floor, ...starts].map((start) => ({ ...start, times: [] as number[] }))
  await interleave(
    timed.map(
      ({ time, times }) =>
        async () =>
          void times.push(await time()),
    ),
    plan,
  )
  const floorMs = median(timed[0]?.times ?? [])
  return timed.map(({ name, times, most }): Row => {
    const ratio = median(times) / floorMs
    return {
      name,
      figures: { ...spread(times), 'of floor': ratio },
      limits: most === undefined ? [] : [atMost(most, ratio, ' of floor')],
    }
  })
}

/** To the end of a program that ends by itself. */
export function untilExit(start: () => ChildProcess): () => Promise<number> {
  return async () => {
    const startMs = performance.now()
    const child = start()
    const code = await new Promise((resolve) => child.once('exit', resolve))
    if (code !== 0) throw new Error(`a measured program ended with ${code}`)
    return performance.now() - startMs
  }
}

/** To the first byte of a program that then ends by itself. */
export function untilOutput(start: () => ChildProcess): () => Promise<number> {
  return async () => {
    const startMs = performance.now()
    const child = start()
    const exited = new Promise((resolve) => child.once('exit', resolve))
    const spentMs = await new Promise<number>((resolve, reject) => {
      child.stdout?.once('data', () => resolve(performance.now() - startMs))
      child.stdout?.once('end', () => reject(new Error('a measured program ended without a word')))
    })
    await exited
    return spentMs
  }
}

/** To the answer of what is asked behind the handshake; without that, to the answer to `initialize`. */
export function untilAnswer(start: () => ChildProcess, asked?: Asked): () => Promise<number> {
  return async () => {
    const startMs = performance.now()
    const peer = startPeer(start())
    try {
      const opened = await peer.open()
      const { atMs } = asked === undefined ? opened : await peer.request(...asked)
      return atMs - startMs
    } finally {
      await peer.end()
    }
  }
}
