// Builds dist/: the wire tower as the program itself, and the chat tower as chunks that it loads after its first answer.
import { chmodSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { build } from 'esbuild'

const { version, engines } = JSON.parse(readFileSync('package.json', 'utf8'))
const program = 'dist/genai-gateway-mcp.mjs'
const chat = './chat.mjs'
const cli = './command.mjs'

const common = {
  bundle: true,
  format: 'esm',
  platform: 'node',
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: 'none',
  outExtension: { '.js': '.mjs' },
  outdir: 'dist',
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
  plugins: [
    {
      name: 'the other tower stays outside',
      setup({ onResolve }) {
        onResolve({ filter: /^\.\/chat\.ts$/ }, () => ({ path: chat, external: true }))
        onResolve({ filter: /^\.\/cli\/command\.ts$/ }, () => ({ path: cli, external: true }))
      },
    },
  ],
})
const later = await build({
  ...common,
  entryPoints: { chat: 'src/chat.ts', command: 'src/cli/command.ts' },
  chunkNames: 'chunk-[hash]',
  splitting: true,
  target: 'node22.19',
  // CommonJS packages inside an ES module still ask for builtins by require.
  banner: { js: "const require=process.getBuiltinModule('module').createRequire(import.meta.url);" },
  metafile: true,
})
chmodSync(program, 0o755)
for (const [file, { bytes }] of Object.entries({ ...wire.metafile.outputs, ...later.metafile.outputs })) {
  console.log(`${String(Math.ceil(bytes / 1024)).padStart(6)} KB  ${file}`)
}
if (process.argv.includes('--metafile')) writeFileSync('dist/meta.json', JSON.stringify(later.metafile))
