import { Fault } from '../errors.ts'

/** One verb of the command line. */
export type Command = {
  /** What stands behind its name. */
  usage: string
  /** What it does, in a line. */
  summary: string
  /** Further lines of its help. */
  help: string
  /** Resolves to the exit code. A Fault that it throws is told on stderr: `invalid_request` ends with 2, others with 1. */
  run(args: readonly string[], context: Context): Promise<number>
}

export type Context = {
  version: string
  /** Aborted by Ctrl-C, and when nobody reads stdout any more; the reason is the exit code. */
  signal: AbortSignal
}

export const wellDone = 0
export const wentWrong = 1
export const misused = 2
/** 128 and the number of the signal, as shells have it: SIGINT, SIGPIPE. */
export const interrupted = 130
export const unread = 141

/** A command line that is not understood. */
export function misuse(sentence: string): Fault {
  return new Fault('invalid_request', sentence)
}
