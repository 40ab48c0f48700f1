/** Values as JSON has them, of which only the outside is known. */

export type Json = Record<string, unknown>

export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Whether arrays and objects nest deeper than the limit; found without recursion, which such a value would overflow. */
export function nestsDeeperThan(value: unknown, limit: number): boolean {
  let level: unknown[] = [value]
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > limit) return true
    level = level.flatMap((item) => (typeof item === 'object' && item !== null ? Object.values(item) : []))
  }
  return false
}

/** How JSON.parse hands on the text of a number (ECMAScript, JSON.parse source text access), which no library of types knows yet. */
type Reviver = (key: string, value: unknown, context: { source?: string }) => unknown
const {
  parse: parseWith,
  rawJSON,
  isRawJSON,
} = JSON as unknown as {
  parse(text: string, reviver: Reviver): unknown
  rawJSON(text: string): unknown
  isRawJSON(value: unknown): boolean
}

/** Only a text with so many digits in a row can hold an integer that a number does not keep. */
const longInteger = /\d{16}/

/** JSON.stringify writes the shortest digits that lead back to a number, which need not be those that were read. */
function isLossy(value: unknown, source: string | undefined): source is string {
  if (typeof value !== 'number' || source === undefined || Number.isSafeInteger(value)) return false
  return /^-?\d+$/.test(source) && String(value) !== source
}

/** Whether a JSON text holds an integer that JSON.parse and JSON.stringify would write with other digits. */
export function losesDigits(text: string): boolean {
  if (!longInteger.test(text)) return false
  let lost = false
  parseWith(text, (_key, value, { source }) => {
    lost ||= isLossy(value, source)
    return value
  })
  return lost
}

/** JSON.parse, but an integer that would lose digits becomes a value that JSON.stringify writes with all of them. */
export function parseKeepingDigits(text: string): unknown {
  if (!longInteger.test(text)) return JSON.parse(text)
  return parseWith(text, (_key, value, { source }) => (isLossy(value, source) ? rawJSON(source) : value))
}

/** Whether a value is an integer that keeps its digits so: an object by its type alone. */
export const isExactInteger: (value: unknown) => boolean = isRawJSON
