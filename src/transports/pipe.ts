import type { Readable, Writable } from 'node:stream'

/** What a pipe tells whoever serves at its end. */
export type PipeEvents = {
  /** Takes bytes over; says whether something that was asked for is still being worked at. */
  chunk(bytes: Buffer): boolean
  /** There is nothing more to come. */
  end(): void
  /** The reader has caught up. */
  drain(): void
  /** Nobody reads any more. */
  gone(): void
}

/** Stdin and stdout. */
export type Pipe = {
  /** Whether a person types at the other end. */
  isTerminal(): boolean
  /** Begins to read. */
  open(events: PipeEvents): void
  pause(): void
  resume(): void
  /** False where the reader is behind; `written` hears when all so far has been handed to the system. */
  write(text: string, written?: () => void): boolean
  unreadBytes(): number
  /** Ends the process, even while a read waits in the system. */
  exit(code: number): void
}

const chunkBytes = 64 * 1024
/** An empty pipe holds 64 KiB: to write so little by descriptor does not wait for a reader. */
const maxEarlyBytes = 32 * 1024

/**
 * Stdin and stdout. Node's streams for them take 3 ms to load, a tenth of what a client waits for a server to start; so
 * until the first request that is not answered at once, the descriptors are read and written themselves. The streams come
 * with that request, which needs sockets anyway, or with more output than a pipe is sure to hold.
 */
export function createPipe(): Pipe {
  const { read, writeSync } = process.getBuiltinModule('node:fs')
  const stdout = takeStdout()
  const direct = canBeReadDirectly()
  let events: PipeEvents
  let input: Readable | undefined
  let output: Writable | undefined
  let paused = false
  let waiting = false
  let earlyBytes = 0

  const openInput = () => {
    input = process.stdin
    input.on('data', events.chunk).on('error', events.end).on('end', events.end)
    if (paused) input.pause()
  }
  const openOutput = () => {
    output = stdout()
    return output.on('drain', events.drain).on('error', events.gone).on('close', events.gone)
  }
  const buffer = Buffer.allocUnsafeSlow(direct ? chunkBytes : 0)
  const readNext = () => {
    waiting = true
    read(0, buffer, 0, chunkBytes, null, (error, count) => {
      waiting = false
      if (paused) return
      // A descriptor that does not wait, as some parents leave it, is for the streams.
      if (error) return openInput()
      if (count === 0) return events.end()
      // A copy: held until its line is whole, a few bytes would hold the buffer.
      const busy = events.chunk(Buffer.from(buffer.subarray(0, count)))
      if (busy || paused || output) openInput()
      else readNext()
    })
  }
  const writeNow = (bytes: Buffer): Buffer => {
    earlyBytes += bytes.length
    if (earlyBytes > maxEarlyBytes) return bytes
    try {
      return bytes.subarray(writeSync(1, bytes))
    } catch {
      return bytes
    }
  }

  return {
    isTerminal: () => !direct && process.stdin.isTTY,
    open(given) {
      events = given
      if (direct) readNext()
      else openInput()
    },
    pause() {
      paused = true
      input?.pause()
    },
    resume() {
      paused = false
      input?.resume()
    },
    write(text, written) {
      if (output) return output.write(text, written)
      const rest = writeNow(Buffer.from(text))
      if (rest.length > 0) return openOutput().write(rest, written)
      written?.()
      return true
    },
    unreadBytes: () => output?.writableLength ?? 0,
    exit(code) {
      if (waiting) becomeExit(code)
      process.exit(code)
    },
  }
}

/**
 * Node waits for the read before it exits, and a read cannot be taken back: the process becomes one that only exits. A shell
 * is quicker at that than a Node, during which a second signal would kill, and loads nothing that NODE_OPTIONS names.
 */
function becomeExit(code: number): void {
  const { accessSync, constants } = process.getBuiltinModule('node:fs')
  for (const [path, option, script] of [
    ['/bin/sh', '-c', `exit ${code}`],
    [process.execPath, '-e', `process.exit(${code})`],
  ] as const) {
    try {
      // Most Nodes abort where they cannot become what they are told to.
      accessSync(path, constants.X_OK)
      process.execve?.(path, [path, option, script])
    } catch {}
  }
  process.kill(process.pid, 'SIGKILL')
}

/** Terminals and files are for Node's streams, and so is all else where a read that waits could not be left. */
function canBeReadDirectly(): boolean {
  if (process.platform === 'win32' || process.permission || !process.execve) return false
  const stdin = process.getBuiltinModule('node:fs').fstatSync(0)
  return stdin.isFIFO() || stdin.isSocket()
}

/** From now on whatever else writes to stdout, a stray console.log of a dependency say, ends on stderr. */
function takeStdout(): () => Writable {
  const { get } = Object.getOwnPropertyDescriptor(process, 'stdout') as { get: () => Writable }
  Object.defineProperty(process, 'stdout', { get: () => process.stderr, configurable: true, enumerable: true })
  return get
}
