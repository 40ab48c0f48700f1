import { type Logger, pino } from 'pino'

/** Writes lines of the level and above to stderr, without what `redact` takes out. */
export function createLines(level: string, redact: (line: string) => string): Logger {
  if (process.stderr.listenerCount('error') === 0) process.stderr.on('error', () => {})
  return pino(
    { level, base: null, formatters: { level: (label) => ({ level: label }) } },
    { write: (line) => void process.stderr.write(redact(line)) },
  )
}
