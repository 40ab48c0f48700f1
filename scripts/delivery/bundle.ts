import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Zippable, zipSync } from 'fflate'
import { declarations } from '../../src/tools/declarations.ts'
import { product, settings } from './product.ts'

/** The bundle for desktop clients (.mcpb): a zip of the program and of a manifest that makes them ask for keys in a form. */

const program = `dist/${product.name}.mjs`

export function manifestJson(): string {
  const idOf = (name: string) => name.toLowerCase()
  const manifest = {
    manifest_version: '0.3',
    name: product.name,
    display_name: product.title,
    version: product.version,
    description: product.summary,
    long_description: product.description,
    author: { name: product.owner, url: product.repository },
    repository: { type: 'git', url: `${product.repository}.git` },
    homepage: product.homepage,
    license: product.license,
    keywords: product.keywords,
    // Of those to whom the prompts go, if their keys are given.
    privacy_policies: ['https://openai.com/policies/privacy-policy', 'https://www.anthropic.com/legal/privacy'],
    server: {
      type: 'node',
      entry_point: program,
      mcp_config: {
        command: 'node',
        args: [`\${__dirname}/${program}`],
        // A field that stays empty comes as it stands here, and the gateway takes it for unset.
        env: Object.fromEntries(settings.map(({ name }) => [name, `\${user_config.${idOf(name)}}`])),
      },
    },
    tools: declarations.map(({ name, description }) => ({ name, description })),
    user_config: Object.fromEntries(
      settings.map(({ name, title, description, secret }) => [
        idOf(name),
        { type: 'string', title, description, sensitive: secret, required: false },
      ]),
    ),
    compatibility: { platforms: ['darwin', 'win32', 'linux'], runtimes: { node: product.engines.node } },
  }
  return `${JSON.stringify(manifest, undefined, 2)}\n`
}

/**
 * The bytes of the bundle, which depend on nothing but the files that go in.
 * @param root a folder with what was built in it.
 */
export function bundleOf(root: string): Uint8Array {
  const read = (path: string): [string, Uint8Array] => [path, readFileSync(join(root, path))]
  const built = readdirSync(join(root, 'dist'), { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => read(`dist/${name}`))
  const files: [string, Uint8Array][] = [
    ['manifest.json', new TextEncoder().encode(manifestJson())],
    ...[...built, read('LICENSE'), read('README.md')].sort(([a], [b]) => (a < b ? -1 : 1)),
  ]
  const entries: Zippable = Object.fromEntries(files)
  // The first day that a zip can tell, at noon, so that no time zone moves it out of the calendar.
  return zipSync(entries, { level: 9, mtime: new Date(1980, 0, 1, 12) })
}
