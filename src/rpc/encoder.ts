import type { Outgoing } from './message.ts'

/** Takes secrets out of a text. */
export type Redact = (text: string) => string

/** A message as one line of JSON, without its newline, in which no secret stands. Throws on what cannot be written. */
export function encodeMessage(message: Outgoing, redact: Redact): string {
  const line = JSON.stringify(message)
  if (redact(line) === line) return line
  // Only the strings of a message are cleaned, so that it stays a message whatever a key consists of.
  return JSON.stringify(message, (_, value: unknown) => (typeof value === 'string' ? redact(value) : value))
}
