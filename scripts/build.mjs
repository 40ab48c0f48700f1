// Builds dist/: the wire tower as the program itself, and the rest as bundles that it loads after its first answer.
import { execFileSync } from 'node:child_process'
import { chmodSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire, isBuiltin } from 'node:module'
import { resolve } from 'node:path'
import { build } from 'esbuild'
import { licencesOf } from './licences.mjs'

const require = createRequire(import.meta.url)
const { version, engines } = JSON.parse(readFileSync('package.json', 'utf8'))
const program = 'dist/genai-gateway-mcp.mjs'

/** Bundles that are loaded on demand; each stands alone, so that none carries what only another needs. */
const parts = {
  chat: 'src/chat.ts',
  command: 'src/cli/command.ts',
  'log-lines': 'src/log-lines.ts',
  plugin: 'src/plugin.ts',
  'plugin-worker': 'src/plugins/worker.ts',
  proxy: 'src/http/proxy.ts',
  'response-schema': 'src/pipeline/response-schema.ts',
}

/** Imports of other bundles stay imports, of the file beside. */
const apart = {
  name: 'parts stay apart',
  setup({ onResolve }) {
    const names = Object.keys(parts).join('|')
    onResolve({ filter: new RegExp(`^\\.{1,2}/(?:[a-z]+/)*(?:${names})\\.ts$`) }, ({ path, kind }) => {
      const name = /([a-z-]+)\.ts$/.exec(path)[1]
      return kind === 'dynamic-import' ? { path: `./${name}.mjs`, external: true } : undefined
    })
  },
}

/** Node's own modules without the facades that an import makes of them: a facade of node:fs loads all that fs can load. */
const builtinsPlain = {
  name: 'builtins as they are',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^[\w:/]+$/ }, ({ path }) => (isBuiltin(path) ? { path, namespace: 'builtin' } : undefined))
    onLoad({ filter: /.*/, namespace: 'builtin' }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule('${path}')`,
    }))
  },
}

/**
 * What the gateway never asks of undici, and would otherwise pay for when it is loaded: HTTP/2, with which node:http2 comes,
 * and bodies that are forms or Blobs.
 */
const withoutUnused = {
  name: 'without what is not used',
  setup({ onResolve, onLoad }) {
    const unused = /^(?:\.\/client-h2|\.\.\/web\/(?:webidl|fetch\/(?:formdata|body)))(?:\.js)?$/
    onResolve({ filter: unused }, ({ path }) => ({ path, namespace: 'left-out' }))
    onLoad({ filter: /.*/, namespace: 'left-out' }, ({ path }) => ({
      contents: `module.exports = () => { throw new Error('${path} is not part of this program') }`,
    }))
    onResolve({ filter: /^node:(?:http|assert|util)$|^\.\/tree$|llhttp\/constants\.js$/ }, ({ path, importer }) =>
      (path === 'node:util' ? logOfUndici : clientOfUndici).test(importer)
        ? { path, namespace: 'in-short' }
        : undefined,
    )
    onLoad({ filter: /.*/, namespace: 'in-short' }, ({ path }) => ({ contents: inShort[path] }))
  },
}

/**
 * undici's parser, as the file that it is: a text of it in the code would be read at each start, and decoded once more. It is
 * asked for right before it is compiled, which is said to V8.
 */
const parserBeside = {
  name: 'the parser stays beside',
  setup({ onLoad }) {
    onLoad({ filter: /llhttp(?:_simd)?-wasm\.js$/ }, ({ path }) => {
      const file = path.includes('_simd') ? 'llhttp-simd.wasm' : 'llhttp.wasm'
      const [, base64] = /'([\w+/]+=*)'/.exec(readFileSync(path, 'utf8'))
      writeFileSync(`dist/${file}`, Buffer.from(base64, 'base64'))
      return {
        contents: `require(${JSON.stringify(resolve('src/engine.ts'))}).skipSecondCompiler()
          module.exports = process.getBuiltinModule('node:fs').readFileSync(new URL('./${file}', bundleUrl))`,
      }
    })
  },
}

const clientOfUndici = /[\\/]undici[\\/]lib[\\/](?:core|dispatcher)[\\/]/
const logOfUndici = /[\\/]undici[\\/]lib[\\/]core[\\/]diagnostics\.js$/
/**
 * Of Node's own client, undici wants to know one number and one class, of node:assert one function, of node:util a log of
 * its own, in which addresses would stand, and of its parser's constants two tables. A tree of the usual header names is
 * built at each start to save the lower-casing of a word.
 */
const { ERROR, TYPE } = require('undici/lib/llhttp/constants.js')
const inShort = {
  'node:http': 'module.exports = { maxHeaderSize: 16 * 1024, IncomingMessage: class {} }',
  'node:assert': `module.exports = (holds, message = 'an assertion of undici does not hold') => {
    if (!holds) throw message instanceof Error ? message : new Error(message)
  }`,
  './tree': 'module.exports = { tree: { lookup() {} } }',
  '../llhttp/constants.js': `module.exports = ${JSON.stringify({ ERROR, TYPE })}`,
  'node:util': 'module.exports = { debuglog: () => Object.assign(() => {}, { enabled: false }) }',
}

/** A package that does not say so: what is not used of it (a formatter with its tables) need not be there. */
const pureJsonc = {
  name: 'jsonc-parser has no side effects',
  setup({ onResolve, resolve }) {
    onResolve({ filter: /^\.\/impl\/|^\.\/[a-z-]+$/ }, async ({ path, importer, resolveDir, kind, pluginData }) => {
      if (pluginData === 'resolving' || !/[\\/]jsonc-parser[\\/]/.test(importer)) return undefined
      const resolved = await resolve(path, { importer, resolveDir, kind, pluginData: 'resolving' })
      return { ...resolved, sideEffects: false }
    })
  },
}

const common = {
  bundle: true,
  format: 'esm',
  platform: 'node',
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: 'none',
  outExtension: { '.js': '.mjs' },
  outdir: 'dist',
  // Paths stand in the bundles; those of linked packages would say where on this machine they are.
  preserveSymlinks: true,
  // Its other form asks for its parts by a require that no bundler can follow.
  alias: { 'jsonc-parser': 'jsonc-parser/lib/esm/main.js' },
  logLevel: 'warning',
}

rmSync('dist', { recursive: true, force: true })
const wire = await build({
  ...common,
  entryPoints: { 'genai-gateway-mcp': 'src/main.ts' },
  // Old enough to be parsed by the Nodes that main.ts then turns away in a sentence.
  target: 'node14.8',
  // Parsing is part of the start.
  minifyIdentifiers: true,
  banner: { js: '#!/usr/bin/env node' },
  define: {
    PACKAGE_VERSION: JSON.stringify(version),
    REQUIRED_NODE: JSON.stringify(/\d+\.\d+/.exec(engines.node)[0]),
  },
  metafile: true,
  plugins: [apart],
})
const later = []
for (const [name, path] of Object.entries(parts)) {
  later.push(
    await build({
      ...common,
      entryPoints: { [name]: path },
      target: 'node22.19',
      // undici's own word for a bundle: its second parser, which is off, stays out.
      define: { esbuildDetection: 'true' },
      metafile: true,
      banner: { js: 'const bundleUrl=import.meta.url;' },
      plugins: [apart, withoutUnused, pureJsonc, builtinsPlain, parserBeside],
    }),
  )
}
chmodSync(program, 0o755)
// What a plugin's author sees of the gateway.
execFileSync(process.execPath, ['node_modules/typescript/bin/tsc', '--project', 'scripts/plugin.tsconfig.json'], {
  stdio: 'inherit',
})
const metafiles = [wire, ...later].map(({ metafile }) => metafile)
// The bundles themselves are without comments.
writeFileSync('dist/THIRD-PARTY-LICENSES', licencesOf(metafiles))
for (const metafile of metafiles) {
  for (const [file, { bytes }] of Object.entries(metafile.outputs)) {
    console.log(`${String(Math.ceil(bytes / 1024)).padStart(6)} KB  ${file}`)
  }
}
