/** Where two JSON values differ, told in a few short lines. */

const maxLines = 6
const shownChars = 70

/** One line for each place where `actual` is not as `expected`; none when they are deeply equal. */
export function differences(expected: unknown, actual: unknown, where: string): string[] {
  const lines = compare(expected, actual, where)
  const more = lines.length - maxLines
  return more > 0 ? [...lines.slice(0, maxLines), `… and ${more} more`] : lines
}

function compare(expected: unknown, actual: unknown, where: string): string[] {
  if (Object.is(expected, actual)) return []
  if (expected === undefined) return [`${where}: not expected, and is ${shown(actual)}`]
  if (actual === undefined) return [`${where}: missing, expected ${shown(expected)}`]
  if (typeof expected === 'string' && typeof actual === 'string') return [stringDifference(expected, actual, where)]
  if (!isContainer(expected) || !isContainer(actual) || Array.isArray(expected) !== Array.isArray(actual)) {
    return [`${where}: expected ${shown(expected)}, is ${shown(actual)}`]
  }
  const names = new Set([...Object.keys(expected), ...Object.keys(actual)])
  return [...names].flatMap((name) =>
    compare(expected[name], actual[name], Array.isArray(expected) ? `${where}[${name}]` : `${where}.${name}`),
  )
}

/** Long texts are shown from shortly before the place where they part. */
function stringDifference(expected: string, actual: string, where: string): string {
  let at = 0
  while (at < expected.length && expected[at] === actual[at]) at += 1
  const from = expected.length <= shownChars && actual.length <= shownChars ? 0 : Math.max(0, at - 20)
  const place = from === 0 ? '' : ` from character ${from} on`
  return `${where}: expected${place} ${shown(expected.slice(from))}, is ${shown(actual.slice(from))}`
}

function isContainer(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'undefined'
  return text.length > shownChars ? `${text.slice(0, shownChars)}…` : text
}
