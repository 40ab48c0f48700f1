import type { LogFn } from 'pino'

export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

export type Logger = Readonly<Record<'debug' | 'warn' | 'error', LogFn>> & {
  isLevelEnabled(level: LogLevel): boolean
  /** Resolves when all lines have been handed to the system. */
  written(): Promise<unknown>
}

/**
 * One JSON object a line on stderr. Clients show stderr as trouble, so ordinary work is logged at debug. What writes the
 * lines is loaded with the first of them: most gateways never log one.
 */
export function createLogger(level: LogLevel, redact: (line: string) => string): Logger {
  let writing: ReturnType<typeof load> | undefined
  const load = async () => (await import('./log-lines.ts')).createLines(level, redact)
  const isLevelEnabled = (asked: LogLevel) => logLevels.indexOf(asked) >= logLevels.indexOf(level)
  const at =
    (own: 'debug' | 'warn' | 'error'): LogFn =>
    (...line: [string]) => {
      if (isLevelEnabled(own)) void (writing ??= load()).then((lines) => lines[own](...line))
    }
  return {
    debug: at('debug'),
    warn: at('warn'),
    error: at('error'),
    isLevelEnabled,
    written: () => Promise.resolve(writing),
  }
}
