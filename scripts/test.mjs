// Runs the tests under node:test, with coverage of what runs in this process; the arguments name single files.
// spec/interop needs packages of its own, and is run by `make interop`; spec/image a container engine, by `make image-test`.
import { spawnSync } from 'node:child_process'
import { globSync } from 'node:fs'

const named = process.argv.slice(2)
const files = named.length > 0 ? named : globSync('spec/**/*.spec.ts', { exclude: ['spec/{interop,image}/**'] }).sort()
const coverage =
  named.length > 0
    ? []
    : ['--experimental-test-coverage', '--test-coverage-include=src/**', '--test-coverage-exclude=**/*.d.ts']
const { status } = spawnSync(
  process.execPath,
  ['--import', 'tsx', '--enable-source-maps', '--test', '--test-reporter=spec', ...coverage, ...files],
  { stdio: 'inherit' },
)
process.exit(status ?? 1)
