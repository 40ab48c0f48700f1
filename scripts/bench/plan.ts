import { fileURLToPath } from 'node:url'
import { startNode, type Upstream } from './children.ts'
import { type DialectName, dialects } from './dialects.mjs'
import { type Peer, startPeer } from './peer.ts'

/** How much is measured: the rounds that are wanted, and the seconds after which a part makes do with what it has. */
export type Plan = {
  start: { rounds: number; seconds: number }
  /** Calls on each way before those that are timed: more than V8 waits for before it optimizes. */
  warmUp: number
  calls: { rounds: number; seconds: number }
  /** Calls one after the other, over which connections and processor time are counted. */
  sequence: number
  throughput: { rounds: number; seconds: number; windowMs: number }
  streams: { rounds: number; seconds: number; tokens: number }
  /** As many streams, so slow that each token goes out by itself: of 2,000 tokens too, in stretches. */
  slowTokens: { warmUps: number; warmUpTokens: number; rounds: number; tokens: number }
  /** The same, a stream at a time. */
  oneStream: { rounds: number; seconds: number }
  firstProgress: { rounds: number; seconds: number }
  cancellations: { rounds: number; seconds: number }
  sizes: { rounds: number; seconds: number; megabytes: number }
  /** For each size from 1 KB to 10 MB. */
  growth: { rounds: number; seconds: number }
  /** Of each dialect. */
  dialectCalls: { rounds: number; seconds: number }
  dialectStreams: { rounds: number; seconds: number; tokens: number }
  /** Each start is that of a container. */
  image: { rounds: number; seconds: number }
  imageMemory: { rounds: number; seconds: number }
}

export const wholePlan: Plan = {
  start: { rounds: 25, seconds: 11 },
  warmUp: 3_000,
  calls: { rounds: 4_000, seconds: 10 },
  sequence: 1_000,
  throughput: { rounds: 11, seconds: 32, windowMs: 300 },
  streams: { rounds: 3, seconds: 16, tokens: 2_000 },
  slowTokens: { warmUps: 3, warmUpTokens: 40, rounds: 5, tokens: 400 },
  oneStream: { rounds: 3, seconds: 14 },
  firstProgress: { rounds: 60, seconds: 2 },
  cancellations: { rounds: 50, seconds: 3 },
  sizes: { rounds: 5, seconds: 4, megabytes: 10 },
  growth: { rounds: 9, seconds: 2 },
  dialectCalls: { rounds: 4_000, seconds: 8 },
  dialectStreams: { rounds: 3, seconds: 8, tokens: 1_000 },
  image: { rounds: 25, seconds: 120 },
  imageMemory: { rounds: 5, seconds: 20 },
}

export const quickPlan: Plan = {
  start: { rounds: 7, seconds: 4 },
  warmUp: 300,
  calls: { rounds: 300, seconds: 1.5 },
  sequence: 300,
  throughput: { rounds: 3, seconds: 3, windowMs: 120 },
  streams: { rounds: 3, seconds: 5, tokens: 300 },
  slowTokens: { warmUps: 1, warmUpTokens: 20, rounds: 1, tokens: 40 },
  oneStream: { rounds: 3, seconds: 3 },
  firstProgress: { rounds: 20, seconds: 1 },
  cancellations: { rounds: 20, seconds: 1 },
  sizes: { rounds: 3, seconds: 2, megabytes: 10 },
  growth: { rounds: 3, seconds: 1 },
  dialectCalls: { rounds: 150, seconds: 1 },
  dialectStreams: { rounds: 3, seconds: 2, tokens: 200 },
  image: { rounds: 5, seconds: 20 },
  imageMemory: { rounds: 3, seconds: 5 },
}

/** What is measured, and against what. */
export type Bench = {
  plan: Plan
  /** The built gateway. */
  program: string
  /** The container image, where one is measured. */
  image: string | undefined
  upstream: Upstream
}

export const passThrough = fileURLToPath(new URL('./pass-through.mjs', import.meta.url))
export const upstreamProgram = fileURLToPath(new URL('./upstream.mjs', import.meta.url))

/** A key of a usual length, so that looking for it in every line that leaves is part of what is measured. */
export const key = 'bench-key-0123456789abcdef0123456789abcdef'

/** What a server finds in its environment that is to speak this dialect to the upstream. */
export function serverEnvironment({ upstream }: Bench, dialect: DialectName = 'openai'): Record<string, string> {
  const url = `${upstream.origin}${dialects[dialect].base}`
  return { PROVIDER_TYPE: dialect, GATEWAY_URL: url, GATEWAY_API_KEY: key }
}

export type Servers = { gateway: Peer; bare: Peer }

/** Starts the gateway and the pass-through, lets a measurement use them, and ends them. */
export async function withServers<T>(
  bench: Bench,
  measure: (servers: Servers) => Promise<T>,
  dialect: DialectName = 'openai',
): Promise<T> {
  const env = serverEnvironment(bench, dialect)
  const gateway = startPeer(startNode([bench.program], env))
  const bare = startPeer(startNode([passThrough], env))
  try {
    await Promise.all([gateway.open(), bare.open()])
    return await measure({ gateway, bare })
  } finally {
    await Promise.all([gateway.end(), bare.end()])
  }
}
