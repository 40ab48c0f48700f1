// Builds what is handed out, from what is committed, twice and in different places, and compares; then says how to publish it.
//   make release, or with PUBLISH=1 to publish it.
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { bundleOf } from './delivery/bundle.ts'
import { serverYaml, toolsJson } from './delivery/catalogue.ts'
import { product } from './delivery/product.ts'
import { serverJson } from './delivery/registry.ts'
import { bundledSbom } from './delivery/sbom.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const out = join(root, 'release')
const base = `${product.name}-${product.version}`
const imageTag = `${process.env['IMAGE'] ?? product.name}:${product.version}`
const buildOptions = (process.env['DOCKER_BUILD'] ?? '').split(' ').filter((option) => option !== '')
const shell = process.platform === 'win32'

const git = (...args: string[]) => execFileSync('git', args, { cwd: root, maxBuffer: 256 * 1024 * 1024 })
const sha256 = (bytes: string | Uint8Array) => createHash('sha256').update(bytes).digest('hex')

type Files = ReadonlyMap<string, string | Uint8Array>

const commit = git('rev-parse', 'HEAD').toString().trim()
const date = new Date(Number(git('log', '-1', '--format=%ct').toString()) * 1000)
const publishes = process.env['PUBLISH'] !== undefined
if (git('status', '--porcelain', '--untracked-files=no').length > 0)
  fail('A release is made of what is committed: commit first.')
if (publishes && product.owner === 'OWNER') {
  fail('OWNER in package.json stands where the owner’s name belongs: put it there, run make generate, and commit.')
}

const workshop = mkdtempSync(join(tmpdir(), 'release-'))
process.on('exit', () => rmSync(workshop, { recursive: true, force: true }))
const places = ['one', join('another', 'place')].map((name) => join(workshop, name))
const [first, second] = places.map(filesFrom) as [Files, Files]
const differing = [...first]
  .filter(([name, bytes]) => sha256(bytes) !== sha256(second.get(name) ?? ''))
  .map(([name]) => name)

rmSync(out, { recursive: true, force: true })
mkdirSync(join(out, 'docker'), { recursive: true })
for (const [name, bytes] of first) writeFileSync(join(out, name), bytes)
const sums = [...first].map(([name, bytes]) => `${sha256(bytes)}  ${name}\n`).join('')
writeFileSync(join(out, 'SHA256SUMS'), sums)
console.log(`${product.name} ${product.version}, commit ${commit}, in ${out}:\n\n${sums}`)

const images = imagesFrom(places)
if (images.length > 0) console.log(`image ${imageTag}\n${images[0]}\n`)
if (new Set(images).size > 1) differing.push('the image')
if (differing.length > 0) fail(`Built a second time, these came out otherwise: ${differing.join(', ')}.`)
console.log('Built a second time in another place, everything came out the same.\n')

const steps: string[][] = [
  ['npm', 'publish', join(out, `${base}.tgz`)],
  ...(images.length > 0
    ? [
        ['docker', 'tag', imageTag, product.image],
        ['docker', 'push', product.image],
      ]
    : []),
  ['mcp-publisher', 'publish', join(out, 'server.json')],
]
if (publishes) for (const [command = '', ...args] of steps) execFileSync(command, args, { stdio: 'inherit', shell })
else {
  console.log('Nothing was published. With PUBLISH=1, these are run:\n')
  for (const step of steps) console.log(`  ${step.join(' ')}`)
}

/** Builds what is committed in a folder of its own; all files that are handed out, by name. */
function filesFrom(folder: string): Files {
  mkdirSync(folder, { recursive: true })
  execFileSync('tar', ['-x', '-C', folder], { input: git('archive', '--format=tar', 'HEAD') })
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'), 'junction')
  execFileSync(process.execPath, ['scripts/build.mjs'], { cwd: folder })
  const npm = (...args: string[]) =>
    execFileSync('npm', [...args, '--loglevel=error'], { cwd: folder, shell, maxBuffer: 256 * 1024 * 1024 }).toString()
  npm('pack', '--ignore-scripts')
  const bundle = bundleOf(folder)
  const materials = JSON.parse(npm('sbom', '--sbom-format', 'cyclonedx', '--package-lock-only'))
  const notices = readFileSync(join(folder, 'dist', 'THIRD-PARTY-LICENSES'), 'utf8')
  return new Map<string, string | Uint8Array>([
    [`${base}.tgz`, readFileSync(join(folder, `${base}.tgz`))],
    [`${base}.mcpb`, bundle],
    [`${base}.cdx.json`, bundledSbom(materials, product.name, notices, date)],
    ['server.json', serverJson(sha256(bundle))],
    ['docker/server.yaml', serverYaml(commit)],
    ['docker/tools.json', toolsJson()],
  ])
}

/** Builds the image in each folder, where there is an engine; what each came out as. */
function imagesFrom(folders: readonly string[]): string[] {
  if (spawnSync('docker', ['version'], { stdio: 'ignore' }).status !== 0) {
    console.log('No container engine answers: there is no image.\n')
    return []
  }
  const time = ['--build-arg', `SOURCE_DATE_EPOCH=${date.getTime() / 1000}`]
  const labels = ['--label', `org.opencontainers.image.revision=${commit}`]
  return folders.map((folder) =>
    execFileSync('docker', [
      'build',
      '--quiet',
      '--no-cache',
      ...buildOptions,
      ...time,
      ...labels,
      '-t',
      imageTag,
      folder,
    ])
      .toString()
      .trim(),
  )
}

function fail(sentence: string): never {
  console.error(sentence)
  process.exit(1)
}
