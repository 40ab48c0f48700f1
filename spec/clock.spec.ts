import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { describe, test } from 'node:test'
import { setTimeout as rest } from 'node:timers/promises'
import { systemClock } from '../src/clock.ts'

describe('timers', () => {
  test('end in the order of their times, in whatever order they were set', async () => {
    const ended: number[] = []
    const startMs = systemClock.now()
    const late: number[] = []
    for (const ms of [60, 20, 100, 20, 40, 0])
      systemClock.timer(ms, () => {
        ended.push(ms)
        late.push(systemClock.now() - startMs - ms)
      })
    await rest(200)
    assert.deepEqual(ended, [0, 20, 20, 40, 60, 100])
    assert.ok(
      late.every((ms) => ms >= 0 && ms < 50),
      late.join(),
    )
  })

  test('do not end once they are stopped, not even in the turn in which they would', async () => {
    const ended: string[] = []
    const stopped = systemClock.timer(10, () => ended.push('stopped'))
    const first = systemClock.timer(20, () => {
      ended.push('first')
      second.stop()
    })
    const second = systemClock.timer(20, () => {
      ended.push('second')
      first.stop()
    })
    stopped.stop()
    stopped.stop()
    await rest(80)
    assert.deepEqual(ended, ['first'])
  })

  test('end in that order also when they are late', async () => {
    const ended: number[] = []
    for (const ms of [60, 20, 40]) systemClock.timer(ms, () => ended.push(ms))
    const startMs = systemClock.now()
    while (systemClock.now() - startMs < 100);
    await rest(50)
    assert.deepEqual(ended, [20, 40, 60])
  })

  test('may set others, sooner and later', async () => {
    const ended: string[] = []
    systemClock.timer(1_000, () => {}).stop()
    systemClock.timer(20, () => {
      ended.push('a')
      systemClock.timer(30, () => ended.push('c'))
      systemClock.timer(10, () => ended.push('b'))
    })
    await rest(150)
    assert.deepEqual(ended, ['a', 'b', 'c'])
  })

  const run = (code: string) => {
    const clock = new URL('../src/clock.ts', import.meta.url).href
    const program = `import { systemClock } from '${clock}'\n${code}`
    const startMs = performance.now()
    const { stdout, status } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
      timeout: 10_000,
      encoding: 'utf8',
    })
    return { stdout, status, elapsedMs: performance.now() - startMs }
  }

  test('hold the program while one is to come', () => {
    const code = `systemClock.timer(60000, () => {}).stop(); systemClock.timer(300, () => console.log('ended'))`
    assert.deepEqual(run(code).stdout, 'ended\n')
    const again = `const first = systemClock.timer(200, () => {}); first.stop()
      systemClock.timer(400, () => console.log('ended'))`
    assert.deepEqual(run(again).stdout, 'ended\n')
  })

  test('let the program end when all are stopped', () => {
    const { status, elapsedMs } = run(
      `const timers = [50000, 60000, 40000].map((ms) => systemClock.timer(ms, () => {})); for (const timer of timers) timer.stop()`,
    )
    assert.equal(status, 0)
    assert.ok(elapsedMs < 5_000)
  })
})
