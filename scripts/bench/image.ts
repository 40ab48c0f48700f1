import { type ChildProcess, execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { residentMb, startProgram } from './children.ts'
import { atMost, interleave, median, type Part, type Row, spread } from './figures.ts'
import { type Peer, startPeer } from './peer.ts'
import { type Bench, serverEnvironment } from './plan.ts'
import { compareStarts, completion, list, untilAnswer, untilExit, untilOutput } from './start.ts'

/** The same inside the image, as a client's `docker run` starts it. */

/** As little as possible is allowed, but the way to the upstream on this machine's loopback. */
const allowed = ['--read-only', '--cap-drop', 'ALL', '--security-opt', 'no-new-privileges', '--network', 'host']
/** What the image has parsed is the gateway's alone. */
const node = ['--entrypoint', 'node', '-e', 'NODE_DISABLE_COMPILE_CACHE=1']
/** The image holds no pass-through: it is read from here, with the undici that it needs. */
const here = fileURLToPath(new URL('.', import.meta.url))
const undici = fileURLToPath(new URL('../../node_modules/undici', import.meta.url))
const withPassThrough = ['-v', `${here}:/bench:ro`, '-v', `${undici}:/node_modules/undici:ro`, ...node]
/** What a server does by itself after its first call is done by then. */
const restMs = 200

/** Where the engine is. */
const engine = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => name.startsWith('DOCKER_')) as [string, string][],
)

/** Starts a container of the image, with flags of `docker run` and what the program is given. */
type Run = (flags?: readonly string[], args?: readonly string[]) => ChildProcess

export async function measureImage(bench: Bench): Promise<Part[]> {
  const { image } = bench
  if (image === undefined) throw new Error('the part image needs the name of one: --image NAME')
  const env = serverEnvironment(bench)
  const variables = Object.keys(env).flatMap((name) => ['-e', name])
  const run: Run = (flags = [], args = []) =>
    startProgram('docker', ['run', '--rm', '-i', ...allowed, ...variables, ...flags, image, ...args], {
      ...engine,
      ...env,
    })
  return [await measureStarts(bench, run), await measureMemory(bench, run), describeImage(image)]
}

async function measureStarts(bench: Bench, run: Run): Promise<Part> {
  const gateway = () => run()
  const bare = () => run(withPassThrough, ['/bench/pass-through.mjs'])
  const rows = await compareStarts(
    { name: 'node -e 0, to the end of its container (floor)', time: untilExit(() => run(node, ['-e', '0'])) },
    [
      {
        name: 'node that writes a line, to that line',
        time: untilOutput(() => run(node, ['-e', 'process.stdout.write("\\n")'])),
      },
      { name: 'initialize answered', time: untilAnswer(gateway), most: 1.1 },
      { name: 'tools/list answered', time: untilAnswer(gateway, list), most: 1.1 },
      { name: 'first createCompletion answered', time: untilAnswer(gateway, completion), most: 2.6 },
      { name: 'the same by the pass-through', time: untilAnswer(bare, completion) },
    ],
    bench.plan.image,
  )
  const medianOf = (row: Row | undefined) => Number(row?.figures['p50'])
  return {
    title: 'Start inside the image (ms from the spawn of docker run)',
    rows: rows.map((row) => ({
      ...row,
      figures: { ...row.figures, 'of a line': medianOf(row) / medianOf(rows[1]) },
    })),
    notes: ['The floor ends with its container, which takes the engine longer than its Node: the line does not.'],
  }
}

/** Resident memory of the process itself, which the machine sees beside its own. */
async function measureMemory(bench: Bench, run: Run): Promise<Part> {
  const idle = { node: [] as number[], bare: [] as number[], gateway: [] as number[] }
  let count = 0
  const measure = async (
    values: number[],
    prepare: (peer: Peer) => Promise<unknown>,
    flags: readonly string[] = [],
    args: readonly string[] = [],
  ) => {
    const name = `genai-gateway-bench-${process.pid}-${count++}`
    const peer = startPeer(run(['--name', name, ...flags], args))
    try {
      await prepare(peer)
      await new Promise((resolve) => setTimeout(resolve, restMs))
      const pid = Number(docker('inspect', '--format', '{{.State.Pid}}', name))
      values.push(residentMb({ pid })?.now ?? Number.NaN)
    } finally {
      await peer.end()
    }
  }
  const call = async (peer: Peer) => {
    await peer.open()
    await peer.request(...completion)
  }
  // A Node that answers everything, and does nothing.
  const nothing = 'process.stdin.on("data", () => console.log(JSON.stringify({ id: 1 })))'
  await interleave(
    [
      () => measure(idle.node, (peer) => peer.request('nothing', {}), node, ['-e', nothing]),
      () => measure(idle.bare, call, withPassThrough, ['/bench/pass-through.mjs']),
      () => measure(idle.gateway, call),
    ],
    bench.plan.imageMemory,
  )
  const row = (name: string, values: readonly number[], limits: Row['limits'] = []): Row => ({
    name,
    figures: spread(values),
    limits,
  })
  const above = median(idle.gateway) - median(idle.bare)
  const known = Number.isFinite(above)
  return {
    title: 'Idle inside the image (MB resident)',
    rows: [
      row('node that reads its stdin', idle.node),
      row('pass-through, after a call', idle.bare),
      row('gateway, after a call', idle.gateway, known ? [atMost(12, above, ' MB above the pass-through')] : []),
    ],
    notes: known ? [] : ['The processes of the containers are not on this machine.'],
  }
}

function describeImage(image: string): Part {
  const size = Number(docker('image', 'inspect', image, '--format', '{{.Size}}'))
  const figures = {
    'MB unpacked': size / 1e6,
    Node: docker('run', '--rm', ...allowed, ...node, image, '--version'),
    engine: docker('version', '--format', '{{.Server.Version}}'),
  }
  return { title: 'The image', rows: [{ name: image, figures, limits: [] }], notes: [] }
}

function docker(...args: string[]): string {
  return execFileSync('docker', args, { encoding: 'utf8' }).trim()
}
