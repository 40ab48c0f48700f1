import assert from 'node:assert/strict'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { createAccess } from '../src/access.ts'
import { folderFor } from './harness/command-line.ts'

const first = 'first-token-0123456789'
const second = 'second-token-0123456789'

test('each of several tokens is known, by a name of its own that is not the token', () => {
  const learnt: string[] = []
  const access = createAccess(
    { value: ` ${first}, ${second}\n` },
    (token) => void learnt.push(token),
    () => 0,
  )
  const [one, two] = [access.identify(first), access.identify(second)]
  assert.ok(one !== undefined && two !== undefined && one !== two)
  assert.ok(!one.includes(first))
  assert.equal(access.identify(first), one)
  for (const none of ['', ' ', first.slice(1), `${first} `, `${first},`, `${first}, ${second}`, first.toUpperCase()]) {
    assert.equal(access.identify(none), undefined, none)
  }
  assert.deepEqual(learnt, [first, second])
  assert.equal(access.problem(), undefined)
})

const problems: [name: string, text: string, says: RegExp][] = [
  ['a short one', 'fifteen-letters', /at least 16/],
  ['a short one among others', `${first} fifteen-letters`, /at least 16/],
  ['a letter outside ASCII', 'sixteen-létters-and-more', /ASCII/],
  ['a control character', 'sixteen-letters\u0007and-more', /ASCII/],
  ['nothing', ' , ', /^no token is set$/],
]
for (const [name, text, says] of problems) {
  test(`a token that cannot be used: ${name}`, () => {
    const access = createAccess(
      { value: text },
      () => {},
      () => 0,
    )
    assert.match(access.problem() ?? '', says)
    assert.doesNotMatch(access.problem() ?? '', /letters|létters/)
    assert.equal(access.identify(text), undefined)
  })
}

test('a file is looked at again after a second, and while it is gone nobody comes in', (t) => {
  const file = join(folderFor(t), 'tokens')
  const learnt: string[] = []
  let now = 0
  writeFileSync(file, first)
  const access = createAccess(
    { file },
    (token) => void learnt.push(token),
    () => now,
  )
  const known = () => [first, second].map((token) => access.identify(token) !== undefined)
  assert.deepEqual(known(), [true, false])
  writeFileSync(file, `${second}\n`)
  now = 999
  assert.deepEqual(known(), [true, false])
  now = 1000
  assert.deepEqual(known(), [false, true])
  rmSync(file)
  now = 2000
  assert.deepEqual(known(), [false, false])
  assert.match(access.problem() ?? '', /cannot be read/)
  writeFileSync(file, first)
  now = 3000
  assert.deepEqual(known(), [true, false])
  assert.deepEqual(learnt, [first, second, first])
})
