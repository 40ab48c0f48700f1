import { Agent } from 'undici'
import { directRequest } from './direct.ts'
import { atMost, interleave, type Part, tail } from './figures.ts'
import { type Bench, withServers } from './plan.ts'

/** What would be said too late is said within this time. */
const quietMs = 5

/** From `notifications/cancelled` to the closed socket of the upstream; undici's own abort beside it. */
export async function measureCancellation(bench: Bench): Promise<Part> {
  const agent = new Agent()
  const gated: number[] = []
  const direct: number[] = []
  let round = 0
  let strays = 0
  try {
    await withServers(bench, async ({ gateway }) => {
      const cancelCall = async () => {
        const name = `call${round++}`
        const closed = bench.upstream.closed(name)
        let cancelled: bigint | undefined
        await gateway.call({ model: `endless-${name}`, prompt: 'Write.' }, () => {
          cancelled = process.hrtime.bigint()
          gateway.cancel()
        })
        gated.push(Number((await closed) - (cancelled ?? 0n)) / 1e6)
        await new Promise((resolve) => setTimeout(resolve, quietMs))
      }
      const abortRequest = async () => {
        const name = `direct${round++}`
        const closed = bench.upstream.closed(name)
        const controller = new AbortController()
        const response = await agent.request({
          ...directRequest(bench, { model: `endless-${name}`, prompt: 'Write.' }),
          signal: controller.signal,
        })
        response.body.on('error', () => {})
        await new Promise((resolve) => response.body.once('data', resolve))
        const aborted = process.hrtime.bigint()
        controller.abort()
        direct.push(Number((await closed) - aborted) / 1e6)
      }
      await interleave([cancelCall, abortRequest], bench.plan.cancellations)
      strays = gateway.strays()
    })
  } finally {
    await agent.destroy()
  }
  const figures = tail(gated)
  return {
    title: "From the cancellation to the closed socket, at the upstream's end (ms)",
    rows: [
      { name: 'undici itself', figures: tail(direct), limits: [] },
      {
        name: 'gateway',
        figures,
        limits: [
          atMost(3, figures['p50'] ?? Number.NaN, ' ms'),
          atMost(10, figures['p99'] ?? Number.NaN, ' ms at p99'),
          atMost(0, strays, ' messages afterwards'),
        ],
      },
    ],
    notes: [],
  }
}
