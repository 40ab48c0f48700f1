import { differences } from '../../src/cli/differences.ts'
import { bytesOf, type Exchange } from '../../src/http/tape.ts'
import { type Case, type Json, loadCase, updateCase } from './cases.ts'
import { comparable, eraFaults, progressFaults, schemaFaults } from './checks.ts'
import { asRecorded, type Cut, everyByte, recuts } from './cuts.ts'
import { type Answer, type Era, eras } from './session.ts'
import { openStage, type Stage } from './stage.ts'
import type { Received } from './upstream.ts'

/** One way of playing a case. */
type Run = { era: Era; cut: Cut; withProgress: boolean }

type Played = { answer: Answer; result: Json; requests: Received[] }

export type Outcome = { title: string; calls: number; faults: string[] }

export type Player = {
  /** Plays a case in every way, up to the first that goes wrong. Never rejects. */
  play(name: string): Promise<Outcome>
  /** Ends the gateways; tells what was wrong after the last case. */
  close(): Promise<string[]>
}

/** Plays one case after another; a gateway stays for the cases that want the same environment. */
export async function createPlayer(root: string, updating: boolean): Promise<Player> {
  const stage = await openStage()
  return {
    async play(name) {
      let title = ''
      try {
        let recorded = loadCase(root, name, updating)
        title = recorded.call.title
        if (updating) {
          await withOwnStage((own) => update(recorded, own))
          recorded = loadCase(root, name, false)
        }
        const runs = runsOf(recorded)
        if ('shared' in runs)
          return { title, calls: runs.shared.length, faults: await playAll(recorded, runs.shared, stage) }
        const faults = runs.alone.map((group) => withOwnStage((own) => playAll(recorded, group, own)))
        return { title, calls: runs.alone.flat().length, faults: (await Promise.all(faults)).flat() }
      } catch (error) {
        return { title, calls: 0, faults: [sentence(error), ...(await stage.endGateways())] }
      }
    },
    close: stage.close,
  }
}

/**
 * The runs: on the player's own gateway, or on new ones. A gateway remembers which models there are and what a refused
 * request has taught it, so a case with those gets one for each run; it may hold a failure against a provider, so a case
 * with that gets one to itself. These are run in fewer ways, because a gateway takes its time to start.
 */
function runsOf({ call, exchanges }: Case): { shared: Run[] } | { alone: Run[][] } {
  const everyWay = [asRecorded, ...recuts].filter((cut) => changes(cut, exchanges))
  const run = (era: Era, cut: Cut, withProgress = true): Run => ({
    era,
    cut,
    withProgress: call.progress ?? withProgress,
  })
  const listed = call.tool !== 'callTool' && call.arguments['refresh'] !== true
  const listing = listed && exchanges.some(({ request }) => request.method === 'GET')
  const learning = exchanges.length > 1 && exchanges.some(({ response }) => response.status === 400)
  const failing = exchanges.length > 1 || exchanges.some(({ response: { status } }) => status === 429 || status >= 500)
  if (!listing && !learning && !failing) {
    return { shared: eras.flatMap((era) => [run(era, asRecorded, false), ...everyWay.map((cut) => run(era, cut))]) }
  }
  const [first, second] = eras
  const fewer = [run(first, everyByte), run(second, asRecorded, false)]
  return { alone: listing || learning ? fewer.map((one) => [one]) : [fewer] }
}

function changes(cut: Cut, exchanges: readonly Exchange[]): boolean {
  return exchanges.some(({ response }) => cut.of(response.chunks.map(bytesOf)) !== undefined)
}

async function withOwnStage(use: (stage: Stage) => Promise<string[]>): Promise<string[]> {
  const stage = await openStage()
  const faults = await use(stage).catch((error: unknown) => [sentence(error)])
  return [...faults, ...(await stage.close())]
}

async function update(recorded: Case, stage: Stage): Promise<string[]> {
  const { result, requests } = await perform(
    recorded,
    { era: eras[0], cut: asRecorded, withProgress: recorded.call.progress ?? true },
    stage,
  )
  updateCase(recorded, requests, result)
  return []
}

async function playAll(recorded: Case, runs: readonly Run[], stage: Stage): Promise<string[]> {
  for (const run of runs) {
    const faults = await judge(recorded, run, stage)
    if (faults.length > 0) return faults
  }
  return []
}

async function judge(given: Case, run: Run, stage: Stage): Promise<string[]> {
  const recorded = run.withProgress ? given : onceOnly(given)
  const { exchanges, call } = recorded
  const { answer, result, requests } = await perform(recorded, run, stage)
  const session = stage.sessionFor(call)
  // Asked for after the call, so that what came late has come by now.
  const tool = (await session.tools()).find(({ name }) => name === call.tool)
  const faults = [
    ...requestFaults(exchanges, requests),
    ...differences(recorded.result, result, 'result'),
    ...eraFaults(answer),
    ...schemaFaults(answer, tool),
    ...progressFaults(answer, call.tool, run.withProgress),
    ...session.complaints(),
  ]
  const way = `${run.era}, ${run.cut.name}${run.withProgress ? '' : ', without progress'}`
  return faults.map((fault) => `${way}: ${fault}`)
}

async function perform({ call, exchanges }: Case, run: Run, stage: Stage): Promise<Played> {
  const { port, play } = stage.upstream
  const requests = play(exchanges, run.cut)
  const answer = await stage.sessionFor(call).callTool(run.era, call, run.withProgress)
  return { answer, result: comparable(answer, port), requests }
}

/** What nobody has seen yet may be asked for again; there is nothing recorded for that, so it is switched off. */
function onceOnly(recorded: Case): Case {
  const { call, exchanges, result } = recorded
  const breaksOff = exchanges.length === 1 && exchanges[0]?.response.status === 200 && (result as Json)['isError']
  return breaksOff ? { ...recorded, call: { ...call, env: { MAX_RETRIES: '0', ...call.env } } } : recorded
}

function requestFaults(exchanges: readonly Exchange[], requests: readonly Received[]): string[] {
  const compared = exchanges.slice(0, requests.length).flatMap(({ request }, at) => {
    return differences(request, requests[at], exchanges.length === 1 ? 'request' : `request ${at + 1}`)
  })
  if (exchanges.length === requests.length) return compared
  return [`the gateway made ${requests.length} requests, and ${exchanges.length} were expected`, ...compared]
}

function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
