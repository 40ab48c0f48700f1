// Keeps what Node makes of the bundles when it has parsed them, for an image in which nothing can be written at run time:
//   node scripts/code-cache.mjs BUNDLES CACHE USER
// Node takes it from there for the same version, user and paths, and parses as ever where one differs.
import { spawnSync } from 'node:child_process'
import { chownSync, globSync, mkdirSync } from 'node:fs'

const [bundles, cache, user] = process.argv.slice(2)
const id = Number(user)
mkdirSync(cache)
chownSync(cache, id, id)
const files = globSync(`${bundles}/*.mjs`).sort()
for (const file of files) {
  // V8's seed stands in what it keeps: with another one, the same bundles would make other bytes.
  spawnSync(process.execPath, ['--random-seed=1', file], {
    uid: id,
    gid: id,
    env: { NODE_COMPILE_CACHE: cache },
    stdio: 'ignore',
    timeout: 10_000,
  })
}
const kept = globSync(`${cache}/*/*`).length
if (kept !== files.length) throw new Error(`Of ${files.length} bundles, ${kept} are in the cache.`)
