import { type Logger, pino } from 'pino'

export type { Logger }

export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

/** One JSON object a line on stderr. Clients show stderr as trouble, so ordinary work is logged at debug. */
export function createLogger(level: LogLevel, redact: (line: string) => string): Logger {
  if (process.stderr.listenerCount('error') === 0) process.stderr.on('error', () => {})
  return pino(
    { level, base: null, formatters: { level: (label) => ({ level: label }) } },
    { write: (line) => void process.stderr.write(redact(line)) },
  )
}
