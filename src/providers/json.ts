import { isObject, type Json, parseKeepingDigits } from '../json.ts'

export { isObject, type Json, parseKeepingDigits }

/** Narrow readers for JSON that a server sent: what is not of the expected type counts as absent. */

export function countOf(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : undefined
}

/** A vector as the base64 of little-endian 32-bit floats, the form in which OpenAI's embeddings can be had. */
export function encodeFloats(numbers: readonly number[]): string {
  const bytes = Buffer.alloc(numbers.length * 4)
  for (const [at, value] of numbers.entries()) bytes.writeFloatLE(value, at * 4)
  return bytes.toString('base64')
}
