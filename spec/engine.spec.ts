import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'

/** In a process of its own, whose young space nothing else has made larger. */
const youngSpace = `
  import { setTimeout as rest } from 'node:timers/promises'
  import { getHeapSpaceStatistics } from 'node:v8'
  import { spareMemory, tuneEngine } from './src/engine.ts'

  const youngMb = () => {
    const space = getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space')
    return space.physical_space_size / 2 ** 20
  }
  const outlive = (each) => {
    const held = []
    for (let round = 0; round < 200; round++) {
      each()
      for (let at = 0; at < 2_000; at++) held.push({ at })
    }
    return youngMb()
  }
  tuneEngine()
  const before = youngMb()
  const kept = outlive(spareMemory)
  await rest(1_100)
  let grown = 0
  for (let times = 0; times < 20 && grown < 8; times++) grown = outlive(() => {})
  console.log(JSON.stringify({ before, kept, grown }))
`

const run = (script: string) =>
  execFileSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], { encoding: 'utf8' })

const untried = !/^1[23]\./.test(process.versions.v8)

test('the space of young objects does not grow while it is kept, and again a second later', { skip: untried }, () => {
  const output = run(youngSpace)
  const { before, kept, grown } = JSON.parse(output)
  assert.ok(before < 4 && kept <= 4 && grown >= 8, output)
})

/** V8 takes parsed code under no settings but those under which it was parsed. */
const changed = (change: string) => `
  import { setTimeout as rest } from 'node:timers/promises'
  import { Script } from 'node:vm'
  import { skipSecondCompiler, spareMemory } from './src/engine.ts'

  // Another text each time, as long as the first: the same would not be looked at again.
  let number = 10
  const source = () => \`(function () { return \${number++} })()\`
  const cachedData = new Script(source()).createCachedData()
  const isTaken = () => !new Script(source(), { cachedData }).cachedDataRejected
  const before = isTaken()
  ${change}
  console.log(JSON.stringify([before, during, isTaken()]))
`

test('what is set while the parser is compiled is as it was a turn later', { skip: untried }, () => {
  const change = 'skipSecondCompiler(); const during = isTaken(); await undefined'
  assert.deepEqual(JSON.parse(run(changed(change))), [true, false, true])
})

test('what is set while memory is spared is as it was a second later', { skip: untried }, () => {
  const change = 'spareMemory(); const during = isTaken(); await rest(1_100)'
  assert.deepEqual(JSON.parse(run(changed(change))), [true, false, true])
})
