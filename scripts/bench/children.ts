import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** The processes of the benchmark: none of them outlives it. */

const living = new Set<ChildProcess>()
/** Time that a process gets to end by itself. */
const patienceMs = 2_000
const newsTimeoutMs = 10_000
/** Of /proc: hundredths of a second on every Linux that Node runs on. */
const tickMs = 10

export type Environment = Readonly<Record<string, string>>

/** The least that a program gets from a client. */
function bareEnvironment(): Environment {
  return { PATH: process.env['PATH'] ?? '', HOME: process.env['HOME'] ?? '' }
}

/** Starts this Node with PATH, HOME and what is given. */
export function startNode(args: readonly string[], env: Environment = {}): ChildProcess {
  return startProgram(process.execPath, args, env)
}

/** Starts a program with PATH, HOME and what is given; with `channel`, it can send us messages in the place of pipes. */
export function startProgram(
  file: string,
  args: readonly string[],
  env: Environment = {},
  channel = false,
): ChildProcess {
  const child = spawn(file, args, {
    env: { ...bareEnvironment(), ...env },
    stdio: channel ? ['ignore', 'ignore', 'inherit', 'ipc'] : ['pipe', 'pipe', 'inherit'],
  })
  living.add(child)
  child.once('exit', () => living.delete(child))
  child.stdin?.on('error', () => {})
  return child
}

/** Asks a process to end, and ends it if it does not. */
export async function endChild(child: ChildProcess): Promise<void> {
  if (!living.has(child)) return
  const exited = new Promise((resolve) => child.once('exit', resolve))
  const timer = setTimeout(() => child.kill('SIGKILL'), patienceMs)
  if (child.connected) child.disconnect()
  child.stdin?.end()
  await exited
  clearTimeout(timer)
}

/** For the end of this process, when there is no time to ask. */
export function killChildren(): void {
  for (const child of living) child.kill('SIGKILL')
}

/** Milliseconds of processor time that the process has used, all threads; undefined where there is no /proc. */
export function processorMs(child: ChildProcess): number | undefined {
  const stat = procFile(child, 'stat')
  // The second field is the program's name in parentheses, which may hold spaces.
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ')
  return fields ? (Number(fields[11]) + Number(fields[12])) * tickMs : undefined
}

/** Resident memory in MB, now and at its highest; undefined where there is no /proc. */
export function residentMb(child: Pick<ChildProcess, 'pid'>): { now: number; peak: number } | undefined {
  const status = procFile(child, 'status')
  if (status === undefined) return undefined
  const megabytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1]) / 1024
  return { now: megabytes('VmRSS'), peak: megabytes('VmHWM') }
}

function procFile({ pid }: Pick<ChildProcess, 'pid'>, name: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8')
  } catch {
    return undefined
  }
}

export type Upstream = {
  origin: string
  /** Connections that were ever opened. */
  connections(): Promise<number>
  /** When the answer of the model `endless-NAME` lost its socket, in nanoseconds of `process.hrtime`. */
  closed(name: string): Promise<bigint>
  end(): Promise<void>
}

type News = { port?: number; connections?: number; closed?: string; closedAt?: string }

/** Milliseconds that the provider lets pass before every answer, and between tokens. */
export type Pace = { delayMs: number; tokenGapMs: number }

/** Starts the provider of the benchmark. */
export async function startUpstream(file: string, { delayMs, tokenGapMs }: Pace): Promise<Upstream> {
  const child = startProgram(process.execPath, [file, `${delayMs}`, `${tokenGapMs}`], {}, true)
  const next = <T>(read: (news: News) => T | undefined) =>
    new Promise<T>((resolve, reject) => {
      const forget = () => {
        clearTimeout(timer)
        child.off('message', onMessage)
        child.off('exit', fail)
      }
      const fail = () => {
        forget()
        reject(new Error('the upstream of the benchmark is gone, or what it should tell did not happen'))
      }
      const onMessage = (news: News) => {
        const found = read(news)
        if (found === undefined) return
        forget()
        resolve(found)
      }
      const timer = setTimeout(fail, newsTimeoutMs)
      child.on('message', onMessage)
      child.once('exit', fail)
    })
  const port = await next(({ port }) => port)
  return {
    origin: `http://127.0.0.1:${port}`,
    connections() {
      const counted = next(({ connections }) => connections)
      child.send({})
      return counted
    },
    closed: (name) => next(({ closed, closedAt = '0' }) => (closed === name ? BigInt(closedAt) : undefined)),
    end: () => endChild(child),
  }
}
