import fc from 'fast-check'
import type { Json } from '../../harness/gateway.ts'

/** What the generators of random answers share: texts, arguments, their pieces, and how they are written down. */

/** One answer, as the events of a stream and as a whole: they say the same. */
export type Sample = { stream: string[]; whole: string }

export type Dialect = {
  name: string
  /** Where both the SDK and the gateway ask. */
  path: string
  streamType: string
  /** What makes the gateway speak this dialect: arguments of the call, and variables. */
  arguments: Json
  env: Record<string, string>
  /** The event that ends a stream which fails. */
  failure: string
  samples: fc.Arbitrary<Sample>
}

/** What readers have been seen to trip over, among plain random characters of every length in UTF-8. */
const text: fc.Arbitrary<string> = fc
  .array(
    fc.oneof(
      fc.string({ unit: 'grapheme', maxLength: 12 }),
      fc.string({ unit: 'binary', maxLength: 6 }),
      fc.constantFrom(
        '\n\ndata: [DONE]\n\n',
        '[DONE]',
        '\u2028',
        '\u0085',
        '\ufeff',
        '\r\n',
        '👩‍🚀',
        'é',
        '</think>',
        '"}',
      ),
    ),
    { maxLength: 5 },
  )
  .map((parts) => parts.join(''))

/** A text in pieces, cut anywhere, also inside a surrogate pair; some are empty. */
export const pieces: fc.Arbitrary<string[]> = inPieces(text)

/** The same, with at least one character. */
export const somePieces: fc.Arbitrary<string[]> = inPieces(text.map((words) => words || 'ok'))

export function inPieces(texts: fc.Arbitrary<string>): fc.Arbitrary<string[]> {
  const places = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 6 })
  return fc.tuple(texts, places).map(([whole, cuts]) => {
    const offsets = [0, ...cuts.map((cut) => Math.floor(cut * whole.length)).sort((a, b) => a - b)]
    return offsets.map((from, at) => whole.slice(from, offsets[at + 1] ?? whole.length))
  })
}

/** Some that no number holds, and some that a number holds but writes with other digits. */
const integers: fc.Arbitrary<bigint> = fc.oneof(
  fc.bigInt(-(2n ** 80n), 2n ** 80n),
  fc.nat(80).map((exponent) => 2n ** BigInt(exponent)),
)

export type Call = { id: string; name: string; value: Json; pieces: string[] }

const name = fc.stringMatching(/^[a-zA-Z][a-zA-Z0-9_-]{0,20}$/)

/** Calls with ids of their own. A call without arguments has an empty text, or an empty object. */
export const calls: fc.Arbitrary<Call[]> = fc
  .array(
    fc.record({
      name,
      written: inPieces(
        fc
          .tuple(
            fc.dictionary(fc.string({ maxLength: 8 }), fc.jsonValue({ maxDepth: 3 }), { maxKeys: 4 }),
            fc.nat(1),
            fc.option(integers),
          )
          .map(([value, spaces, integer]) => {
            const fields = JSON.stringify(value, undefined, spaces).slice(1)
            if (integer === null) return `{${fields}`
            return `{"integer":${integer}${fields === '}' ? '' : ','}${fields}`
          }),
      ),
      silent: fc.boolean(),
    }),
    { maxLength: 4 },
  )
  .map((list) =>
    list.map(({ name, written, silent }, at) => {
      const whole = written.join('')
      const fragments = silent && whole === '{}' ? [''] : written
      return { id: `call_${at}_${name}`, name, value: JSON.parse(whole) as Json, pieces: fragments }
    }),
  )

/** The calls as they are where a limit cuts the answer short: the last has arguments that are no JSON. */
export function cutShort(list: readonly Call[]): Call[] {
  return list.map((call, at) => (at < list.length - 1 ? call : { ...call, pieces: ['{"a": ', '"cut'] }))
}

/** A count, a null, or nothing at all under the name. */
export function maybeCount<Name extends string>(field: Name): fc.Arbitrary<{ [N in Name]?: number | null }> {
  return fc.oneof(fc.nat(9999), fc.constant(null), fc.constant(undefined)).map((count) => {
    return (count === undefined ? {} : { [field]: count }) as { [N in Name]?: number | null }
  })
}

/** What OpenAI counts at both of its endpoints, each under names of its own; the details may be missing as a whole. */
export const openaiCounts = fc.record({
  prompt: fc.nat(9999),
  completion: fc.nat(9999),
  cached: fc.option(maybeCount('cached_tokens'), { nil: undefined }),
  reasoning: fc.option(maybeCount('reasoning_tokens'), { nil: undefined }),
})

/** The lists merged into one, each in its own order; the numbers decide which is next. */
export function interleaved<T>(lists: readonly (readonly T[])[], picks: readonly number[]): T[] {
  const rest = lists.map((list) => [...list])
  const merged: T[] = []
  for (let turn = 0; rest.some((list) => list.length > 0); turn += 1) {
    const open = rest.filter((list) => list.length > 0)
    const next = open[(picks[turn % picks.length] ?? 0) % open.length]?.shift()
    if (next !== undefined) merged.push(next)
  }
  return merged
}

export const picks = fc.array(fc.nat(7), { minLength: 1, maxLength: 12 })

/** How the same events are written: all of these ways are the same to a reader. */
export type Hand = { ascii: boolean; lineEnd: string; space: string; trail: string; comments: readonly number[] }

export const hand: fc.Arbitrary<Hand> = fc.record({
  ascii: fc.boolean(),
  lineEnd: fc.constantFrom('\n', '\n', '\r\n', '\r'),
  space: fc.constantFrom(' ', ' ', ''),
  trail: fc.constantFrom('', '', '   '),
  comments: fc.array(fc.nat(20), { maxLength: 3 }),
})

/** JSON, with every character beyond ASCII escaped or none. */
export function written(value: unknown, { ascii }: Pick<Hand, 'ascii'>): string {
  const json = JSON.stringify(value)
  if (!ascii) return json
  return json.replace(/[^\0-\x7e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

export type ServerEvent = { event?: string; data: unknown }

/** Server-sent events; comments stand before those of the given numbers. Data that is a string is written as it is. */
export function asEvents(events: readonly ServerEvent[], writing: Hand): string[] {
  const { lineEnd, space, trail, comments } = writing
  return events.map(({ event, data }, at) => {
    const lines = [
      ...(comments.includes(at) ? [': still there', ''] : []),
      ...(event === undefined ? [] : [`event:${space}${event}`]),
      `data:${space}${typeof data === 'string' ? data : `${written(data, writing)}${trail}`}`,
      '',
      '',
    ]
    return lines.join(lineEnd)
  })
}
