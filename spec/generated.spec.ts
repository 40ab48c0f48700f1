import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { generated } from '../scripts/generated.ts'

/** What is made from the code is as the code makes it now. */

const files = generated()

test('the list of what is made from the code is not empty', () => {
  const paths = files.map(({ path }) => path)
  for (const path of [
    'src/tools/declarations.ts',
    'spec/provider-config.schema.json',
    'delivery/docker/server.yaml',
    'delivery/docker/tools.json',
    'delivery/server.json',
    'Dockerfile',
    'README.md',
  ]) {
    assert.ok(paths.includes(path), `${path} is missing`)
  }
})

for (const { path, text } of files) {
  test(`${path} is up to date`, () => {
    const found = readFileSync(path, 'utf8')
    assert.equal(found, text, `${path} differs from what the code makes: run make generate`)
  })
}
