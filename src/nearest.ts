const maxLength = 64
const maxCandidates = 2000

/** The candidates that are most like a word, the likest first; by Levenshtein's distance, ignoring case. */
export function nearest(word: string, candidates: readonly string[], count: number): string[] {
  return candidates
    .slice(0, maxCandidates)
    .map((candidate) => ({ candidate, far: distance(candidate, word) }))
    .sort((a, b) => a.far - b.far)
    .slice(0, count)
    .map(({ candidate }) => candidate)
}

/** Of the beginnings only, so that the cost is bounded. */
function distance(left: string, right: string): number {
  const a = left.toLowerCase().slice(0, maxLength)
  const b = right.toLowerCase().slice(0, maxLength)
  let row = Array.from({ length: b.length + 1 }, (_, at) => at)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[j] as number) + 1, (next[j - 1] as number) + 1))
    }
    row = next
  }
  return row[b.length] as number
}
