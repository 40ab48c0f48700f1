import {
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { Fault } from '../errors.ts'

/** Files that belong to somebody else: read with care, and replaced in one step with a copy kept. */

/** The text of a file, or undefined if there is none. */
export function readIfThere(file: string): string | undefined {
  if (!existsSync(file)) {
    // A link that leads nowhere would be replaced by what is written.
    if (lstatSync(file, { throwIfNoEntry: false }))
      throw new Fault('configuration', `${file} is a link that leads nowhere`)
    return undefined
  }
  return attempt(file, 'read', () => {
    if (!statSync(file).isFile()) throw new Fault('configuration', `${file} is not a file`)
    return readFileSync(file, 'utf8')
  })
}

/**
 * Puts the text in the place of the file in one step, behind links if it is one. What was there is copied to a new file
 * beside it first, whose path is returned.
 */
export function replaceFile(file: string, text: string): string | undefined {
  return attempt(file, 'written', () => {
    const there = existsSync(file)
    const target = there ? realpathSync(file) : file
    mkdirSync(dirname(target), { recursive: true })
    const backup = there ? freeName(`${file}.bak`) : undefined
    if (backup !== undefined) copyFileSync(target, backup, constants.COPYFILE_EXCL)
    const draft = `${target}.${process.pid}.tmp`
    try {
      // It may come to hold a key: if it is new, it is its owner's alone.
      const handle = openSync(draft, 'wx', there ? statSync(target).mode & 0o777 : 0o600)
      try {
        writeFileSync(handle, text)
        fsyncSync(handle)
      } finally {
        closeSync(handle)
      }
      renameSync(draft, target)
    } catch (error) {
      rmSync(draft, { force: true })
      throw error
    }
    return backup
  })
}

function freeName(name: string): string {
  for (let number = 1; ; number++) {
    const candidate = number === 1 ? name : `${name}.${number}`
    if (!lstatSync(candidate, { throwIfNoEntry: false })) return candidate
  }
}

function attempt<T>(file: string, done: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (error instanceof Fault) throw error
    throw new Fault(
      'configuration',
      `${file} cannot be ${done} (${(error as NodeJS.ErrnoException).code ?? 'unknown'})`,
    )
  }
}
