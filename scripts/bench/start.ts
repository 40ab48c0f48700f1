import { endChild, startNode } from './children.ts'
import { atMost, interleave, median, type Part, type Row, spread } from './figures.ts'
import { startPeer } from './peer.ts'
import { type Bench, passThrough, serverEnvironment } from './plan.ts'

const question = { name: 'createCompletion', arguments: { model: 'reply', prompt: 'What is the answer?' } }

/** How long a client waits for a server that it has just started, against a Node that starts and does nothing. */
export async function measureStart(bench: Bench): Promise<Part> {
  const env = serverEnvironment(bench)
  const times = { floor: [], initialize: [], list: [], call: [], bareCall: [] } as Record<string, number[]>
  const timed = (name: string, run: () => Promise<number>) => async () => void times[name]?.push(await run())

  await interleave(
    [
      timed('floor', startNothing),
      timed('initialize', () => startAndAsk([bench.program])),
      timed('list', () => startAndAsk([bench.program], {}, ['tools/list', {}])),
      timed('call', () => startAndAsk([bench.program], env, ['tools/call', question])),
      timed('bareCall', () => startAndAsk([passThrough], env, ['tools/call', question])),
    ],
    bench.plan.start,
  )

  const floorMs = median(times['floor'] ?? [])
  const row = (label: string, name: string, most?: number): Row => {
    const values = times[name] ?? []
    const ratio = median(values) / floorMs
    return {
      name: label,
      figures: { ...spread(values), 'of floor': ratio },
      limits: most === undefined ? [] : [atMost(most, ratio, ' of floor')],
    }
  }
  return {
    title: 'Start (ms from spawn)',
    rows: [
      row('node -e 0, to its exit (floor)', 'floor'),
      row('initialize answered', 'initialize', 1.1),
      row('tools/list answered', 'list', 1.1),
      row('first createCompletion answered', 'call', 2.6),
      row('the same by the pass-through', 'bareCall'),
    ],
    notes: ['Each request follows on the answer to initialize at once. Ratios are of medians.'],
  }
}

async function startNothing(): Promise<number> {
  const startMs = performance.now()
  const child = startNode(['-e', '0'])
  await new Promise((resolve) => child.once('exit', resolve))
  const spentMs = performance.now() - startMs
  await endChild(child)
  return spentMs
}

async function startAndAsk(
  program: readonly string[],
  env: Readonly<Record<string, string>> = {},
  [method, params]: [string?, object?] = [],
): Promise<number> {
  const startMs = performance.now()
  const peer = startPeer(program, env)
  try {
    const opened = await peer.open()
    const { atMs } = method === undefined ? opened : await peer.request(method, params ?? {})
    return atMs - startMs
  } finally {
    await peer.end()
  }
}
