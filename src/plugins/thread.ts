import type { Worker, WorkerOptions } from 'node:worker_threads'
import { Fault } from '../errors.ts'
import type { Logger } from '../log.ts'
import { createPeer, type Port } from './peer.ts'

/** How long a plugin may keep the gateway waiting for a word that needs no bytes of its provider. */
const patienceMs = 5_000
const maxHeapMb = 512
const maxLoggedChars = 1000

/** A plugin's thread: started when it is needed, ended when it fails, and then started anew by the next call. */
export type Thread = {
  /** Asks for a word that comes at once, or not at all. */
  ask(method: string, ...parameters: unknown[]): Promise<unknown>
  /** Opens a channel to which the thread can turn for the chunks of a body. */
  open(chunks: AsyncIterator<Uint8Array>): Stream
  /** Ends it for good. */
  stop(): void
}

export type Stream = {
  /** As the thread's `ask`; the time that the provider takes for a chunk does not count. */
  ask(method: string, ...parameters: unknown[]): Promise<unknown>
  close(): void
}

type Running = Thread & { ended: boolean }

/** Starts a worker at the plugin's script. */
export type StartWorker = (options: WorkerOptions) => Worker

export function createThread(name: string, startWorker: StartWorker, log: Logger): Thread {
  let running: Running | undefined
  const current = () => {
    if (running === undefined || running.ended) running = start(name, startWorker, log)
    return running
  }
  return {
    ask: (method, ...parameters) => current().ask(method, ...parameters),
    open: (chunks) => current().open(chunks),
    stop: () => running?.stop(),
  }
}

function start(name: string, startWorker: StartWorker, log: Logger): Running {
  const worker = startWorker({
    // Keys stand in the environment, and other words than messages must not reach stdout.
    env: {},
    argv: [],
    execArgv: [],
    stdout: true,
    stderr: true,
    resourceLimits: { maxOldGenerationSizeMb: maxHeapMb },
  })
  worker.unref()
  const bodies = new Map<number, { chunks: AsyncIterator<Uint8Array>; patience: Patience }>()
  let lastStream = 0

  const peer = createPeer(worker as Port, {
    async chunk(stream: number): Promise<Uint8Array | undefined> {
      const body = bodies.get(stream)
      if (body === undefined) return undefined
      body.patience.pause()
      try {
        const { value, done } = await body.chunks.next()
        return done ? undefined : value
      } finally {
        body.patience.resume()
      }
    },
  })
  /** Calls that the thread is answering. */
  const callers = new Set<Patience>()
  /** Who has ended it, as far as can be told: of several that it was answering, whoever kept it waiting. */
  let culprit: Patience | undefined
  const close = (what: string) => {
    thread.ended = true
    // Nobody else need change anything to be answered by the next thread.
    peer.close(new Fault('provider_error', `its plugin ${what}`, { cause: 'plugin', retryable: true }))
    void worker.terminate()
  }
  const end = (what: string, by?: Patience) => {
    if (thread.ended) return
    culprit = by ?? (callers.size === 1 ? [...callers][0] : undefined)
    close(what)
    log.warn({ plugin: name }, `the plugin ${what}`)
  }
  worker.on('error', (error) => end(`failed: ${error instanceof Error ? error.message : String(error)}`))
  worker.on('messageerror', () => end('sent what cannot be read'))
  worker.on('exit', () => end('ended its thread'))
  for (const output of [worker.stdout, worker.stderr]) {
    output.on('data', (text: Buffer) => log.debug({ plugin: name }, text.toString().slice(0, maxLoggedChars)))
  }

  const asked = async (patience: Patience, method: string, parameters: unknown[]) => {
    patience.begin()
    try {
      return await peer.ask(method, ...parameters)
    } catch (error) {
      if (culprit !== patience || !(error instanceof Fault)) throw error
      throw new Fault(error.code, error.message, { ...error.detail, retryable: false })
    } finally {
      patience.end()
    }
  }
  const newPatience = () => {
    const patience = createPatience(() => end(`did not answer within ${patienceMs / 1000} s`, patience))
    callers.add(patience)
    return patience
  }
  const thread: Running = {
    ended: false,
    stop: () => {
      if (!thread.ended) close('was not kept')
    },
    async ask(method, ...parameters) {
      const patience = newPatience()
      try {
        return await asked(patience, method, parameters)
      } finally {
        callers.delete(patience)
      }
    },
    open(chunks) {
      const stream = ++lastStream
      const patience = newPatience()
      bodies.set(stream, { chunks, patience })
      return {
        ask: (method, ...parameters) => asked(patience, method, [stream, ...parameters]),
        close() {
          bodies.delete(stream)
          callers.delete(patience)
          // Whether it winds up well is the plugin's own affair, but wind up it must.
          if (!thread.ended) thread.ask('close', stream).catch(() => {})
        },
      }
    },
  }
  return thread
}

/** Runs out between a beginning and its end; a chunk that the plugin reads ahead, when nothing is asked, costs none. */
type Patience = { begin(): void; end(): void; pause(): void; resume(): void }

function createPatience(onEnd: () => void): Patience {
  let timer: NodeJS.Timeout | undefined
  let asked = false
  const pause = () => clearTimeout(timer)
  const resume = () => {
    pause()
    if (asked) timer = setTimeout(onEnd, patienceMs)
  }
  return {
    begin() {
      asked = true
      resume()
    },
    end() {
      asked = false
      pause()
    },
    pause,
    resume,
  }
}
