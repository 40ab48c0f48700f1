import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, globSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'

/** What can be said of the package without running it. Each function returns what is wrong. */

const root = fileURLToPath(new URL('../../', import.meta.url))

/** Nothing that starts programs or makes code while it runs. */
const forbidden: Readonly<Record<string, RegExp>> = {
  child_process: /child_process/,
  eval: /(?<![\w$.])eval\s*\(/,
  'new Function': /new Function\b/,
  'node:vm': /["'](?:node:)?vm["']/,
}

export function auditBundle(): string[] {
  return readdirSync(join(root, 'dist'))
    .filter((name) => name.endsWith('.mjs'))
    .flatMap((name) => {
      const code = readFileSync(join(root, 'dist', name), 'utf8')
      return Object.entries(forbidden)
        .filter(([, pattern]) => pattern.test(code))
        .map(([what]) => `dist/${name} holds ${what}`)
    })
}

type Lock = {
  packages: Record<
    string,
    { integrity?: string; resolved?: string; link?: boolean; dev?: boolean; hasInstallScript?: boolean }
  >
}

/** Every package is pinned by its hash, from no host in particular; what a user installs runs no scripts. */
export function auditLock(): string[] {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as Lock
  const {
    scripts = {},
    dependencies = {},
    devDependencies,
  } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    scripts?: object
    dependencies?: Record<string, string>
    devDependencies: Record<string, string>
  }
  const foreign = Object.entries(packages).filter(([path, { link }]) => path.includes('node_modules/') && !link)
  return [
    ...foreign
      .filter(([, { integrity = '' }]) => !integrity.startsWith('sha512-'))
      .map(([path]) => `${path} is not pinned by sha512`),
    ...foreign
      .filter(([, { resolved }]) => resolved !== undefined && !/^https:/.test(resolved))
      .map(([path]) => `${path} comes over no https`),
    ...foreign
      .filter(([, { dev, hasInstallScript }]) => !dev && hasInstallScript)
      .map(([path]) => `${path} runs a script when it is installed`),
    ...Object.keys(scripts)
      .filter((name) => /^(?:pre|post)?install$/.test(name))
      .map((name) => `the package has the script ${name}`),
    ...Object.keys(dependencies).map((name) => `${name} is installed with the package, and is in its bundles`),
    ...Object.entries(devDependencies)
      .filter(([, version]) => !/^(?:\d|file:scripts\/)/.test(version))
      .map(([name]) => `${name} is not of one exact version`),
  ]
}

/** What the code matches is bounded to this many characters where it is not its own. */
const longest = 2000
const mostMs = 50

/** Runs each regular expression of the source against what its own characters can be repeated to. */
export async function auditPatterns(): Promise<string[]> {
  const literal = /(?<=[=(,:[!&|?{;\n]\s*|return\s|=>\s*)\/(?![/*])(?:[^/\\\n[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/g
  const patterns = globSync('src/**/*.ts', { cwd: root }).flatMap((path) =>
    [...readFileSync(join(root, path), 'utf8').matchAll(literal)].map(([text]) => ({ path, text })),
  )
  const worker = new Worker(pump, { eval: true, workerData: { patterns: patterns.map(({ text }) => text), longest } })
  const slow = new Map<number, number>()
  let at = 0
  let checked = 0
  const ended = new Promise<void>((resolve, reject) => {
    worker.on('message', (message: { at: number; ms: number }) => {
      at = message.at
      checked += 1
      if (message.ms > mostMs) slow.set(message.at, message.ms)
    })
    worker.on('error', reject)
    worker.on('exit', () => resolve())
  })
  const patience = setTimeout(() => {
    slow.set(at + 1, Number.POSITIVE_INFINITY)
    void worker.terminate()
  }, 60_000)
  await ended
  clearTimeout(patience)
  if (checked < 50) return [`only ${checked} regular expressions were found in the source`]
  return [...slow].map(
    ([index, ms]) =>
      `${patterns[index]?.path}: ${patterns[index]?.text.slice(0, 60)} takes ${Math.round(ms)} ms for ${longest} characters`,
  )
}

/** In a thread of its own, because an explosion does not come back. */
const pump = `
const { parentPort, workerData: { patterns, longest } } = require('node:worker_threads')
for (const [at, text] of patterns.entries()) {
  const end = text.lastIndexOf('/')
  let pattern
  try {
    pattern = new RegExp(text.slice(1, end), text.slice(end + 1))
  } catch {
    continue
  }
  const own = [...new Set(text.replace(/\\\\./g, ' ').replace(/[^\\w ."'<>{}:,-]/g, ''))].slice(0, 8)
  const letters = [...new Set([...own, ' ', 'a', '1', '"', '.'])]
  const pumps = letters.flatMap((one) => [one, ...letters.map((two) => one + two)])
  let worst = 0
  for (const piece of pumps) {
    for (const tail of ['', '\\u0000', '!']) {
      const attack = piece.repeat(Math.ceil(longest / piece.length)) + tail
      // The least of several: whatever else keeps the processor is not the pattern's fault.
      let least = Infinity
      for (let again = 0; again < 8 && least > 5; again++) {
        const startedMs = performance.now()
        pattern.lastIndex = 0
        pattern.test(attack)
        least = Math.min(least, performance.now() - startedMs)
      }
      worst = Math.max(worst, least)
    }
  }
  parentPort.postMessage({ at, ms: worst })
}`

const shipped = [
  'src',
  'scripts',
  'package.json',
  'tsconfig.json',
  'README.md',
  'LICENSE',
  'CHANGELOG.md',
  'SECURITY.md',
]

/** A bill of materials goes with each release: the script behind `make release` has npm write it. */
export function auditRelease(): string[] {
  const [, recipe = ''] = /^release:.*\n((?:\t.*\n?)+)/m.exec(readFileSync(join(root, 'Makefile'), 'utf8')) ?? []
  const [script] = /scripts\/[\w-]+\.(?:ts|mjs)/.exec(recipe) ?? []
  const made = script === undefined ? recipe : readFileSync(join(root, script), 'utf8')
  return /npm['"(, ]+sbom\b/.test(made) ? [] : ['no release comes with a bill of materials (SBOM)']
}

/** Builds and packs two copies of the source in two places. */
export function packTwice(folder: string): string[] {
  const hashes = ['one', 'two'].map((name) => {
    const copy = join(folder, name)
    mkdirSync(copy)
    for (const path of shipped) cpSync(join(root, path), join(copy, path), { recursive: true })
    symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
    execFileSync(process.execPath, ['scripts/build.mjs'], { cwd: copy })
    const told = execFileSync('npm', ['pack', '--ignore-scripts', '--json', '--silent'], {
      cwd: copy,
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    const [packed] = JSON.parse(told.toString()) as { filename: string; files: { path: string }[] }[]
    const bytes = readFileSync(join(copy, packed?.filename ?? ''))
    return { sha: createHash('sha512').update(bytes).digest('hex'), files: packed?.files.map(({ path }) => path) ?? [] }
  })
  const [first, second] = hashes
  const files = first?.files ?? []
  return [
    ...(first?.sha === second?.sha ? [] : ['two packages of the same source differ']),
    ...files
      .filter((path) => !/^(?:dist\/|package\.json$|README\.md$|LICENSE$|CHANGELOG\.md$|SECURITY\.md$)/.test(path))
      .map((path) => `the package holds ${path}`),
  ]
}
