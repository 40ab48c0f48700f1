import type { KeySource } from './secrets.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** Variables as the configuration reads them: empty ones and placeholders count as unset. */
export type Settings = {
  text(name: string): string | undefined
  /** The last of several names that is set, with its name. */
  lastOf(names: readonly string[]): { name: string; value: string } | undefined
  /** Those of several names that are set. */
  setOf(names: readonly string[]): string[]
  /** A key in the variable itself, or in the file that `NAME_FILE` names. */
  key(name: string): KeySource | undefined
  /** A number within bounds; anything else is a problem. */
  number(name: string, most: number, kind: 'whole' | 'seconds'): number | undefined
  /** What stops every call; sentences that name the variable. */
  problems: string[]
  /** What was noticed and stops nothing. */
  notes: string[]
}

/** A value that somebody forgot to fill in, in the ways of the clients that hand it on. */
const placeholder =
  /^(?:<[^<>]*>|\$\{[^}]*\}|\$[A-Za-z_]\w*|\{\{[^}]*\}\}|se:\/\/.*|your[-_ \w]*key[-_ \w]*|\S*(?:\.{3}|…))$/i

export function isPlaceholder(value: string): boolean {
  return placeholder.test(value.trim())
}

export function createSettings(env: Environment): Settings {
  const problems: string[] = []
  const notes: string[] = []
  const noted = new Set<string>()
  const text = (name: string): string | undefined => {
    const value = Object.hasOwn(env, name) ? env[name]?.trim() : undefined
    if (value === undefined || value === '') return undefined
    if (!isPlaceholder(value)) return value
    if (!noted.has(name)) notes.push(`${name} still holds a placeholder and counts as unset`)
    noted.add(name)
    return undefined
  }
  return {
    problems,
    notes,
    text,
    lastOf(names) {
      const set = names.map((name) => ({ name, value: text(name) ?? '' }))
      return set.findLast(({ value }) => value !== '')
    },
    setOf: (names) => names.filter((name) => text(name) !== undefined),
    key(name) {
      const value = text(name)
      const file = text(`${name}_FILE`)
      return value !== undefined ? { value } : file !== undefined ? { file, setBy: `${name}_FILE` } : undefined
    },
    number(name, most, kind) {
      const given = text(name)
      if (given === undefined) return undefined
      const value = Number(given)
      if (value <= most && (kind === 'whole' ? Number.isInteger(value) && value >= 0 : value > 0)) return value
      problems.push(`${name} must be a ${kind === 'whole' ? 'whole number from 0' : 'number of seconds'} up to ${most}`)
      return undefined
    },
  }
}
