import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import { createReporter, type ProgressToken } from '../../src/mcp/progress.ts'
import type { Exchange } from '../../src/rpc/dispatcher.ts'

type Report = { atMs: number; progress: number; message?: string }

/** The global timers and clock, standing still until the test moves them. (Those of node:test know no refresh.) */
function takeOverTime(t: TestContext) {
  type Timer = { dueMs: number; run(): void; everyMs: number; repeats: boolean }
  const timers = new Set<Timer>()
  let nowMs = 1_000
  const start = (repeats: boolean) => (run: () => void, everyMs: number) => {
    const timer: Timer = { dueMs: nowMs + everyMs, run, everyMs, repeats }
    timers.add(timer)
    return Object.assign(timer, {
      refresh: () => (timer.dueMs = nowMs + everyMs),
      unref: () => timer,
    }) as unknown as NodeJS.Timeout
  }
  const stop = (timer: unknown) => void timers.delete(timer as Timer)
  t.mock.method(globalThis, 'setTimeout', start(false) as typeof setTimeout)
  t.mock.method(globalThis, 'setInterval', start(true) as typeof setInterval)
  t.mock.method(globalThis, 'clearTimeout', stop)
  t.mock.method(globalThis, 'clearInterval', stop)
  t.mock.method(performance, 'now', () => nowMs)
  return {
    nowMs: () => nowMs - 1_000,
    pass(ms: number) {
      for (let passed = 0; passed < ms; passed++) {
        nowMs += 1
        for (const timer of [...timers].filter(({ dueMs }) => dueMs <= nowMs)) {
          timer.dueMs = nowMs + timer.everyMs
          if (!timer.repeats) timers.delete(timer)
          timer.run()
        }
      }
    },
    running: () => timers.size,
  }
}

/** A reporter, and what it has said and when. */
function open(t: TestContext, token: ProgressToken = 't') {
  const time = takeOverTime(t)
  let congested = false
  const reports: Report[] = []
  const exchange: Exchange = {
    id: 1,
    signal: new AbortController().signal,
    draining: new AbortController().signal,
    batched: false,
    notify(method, params) {
      assert.equal(method, 'notifications/progress')
      const { progressToken, ...report } = params as Omit<Report, 'atMs'> & { progressToken: ProgressToken }
      assert.equal(progressToken, token)
      reports.push({ ...report, atMs: time.nowMs() })
    },
    congested: () => congested,
    drained: () => Promise.resolve(),
  }
  return {
    ...time,
    reporter: createReporter(token, exchange),
    reports,
    congest(value: boolean) {
      congested = value
    },
  }
}

const messages = (reports: readonly Report[]) => reports.map(({ message }) => message)

describe('progress', () => {
  test('the first text goes out at once, what follows is gathered', (t) => {
    const { reporter, reports, pass } = open(t)
    reporter.step({ message: 'a' })
    assert.deepEqual(messages(reports), ['a'])
    for (const piece of ['b', 'c', 'd']) {
      reporter.step({ message: piece })
      pass(10)
    }
    assert.deepEqual(messages(reports), ['a'])
    pass(30)
    assert.deepEqual(messages(reports), ['a', 'bcd'])
  })

  test('the messages are the text, however it is cut, and the numbers rise', (t) => {
    const { reporter, reports, pass } = open(t)
    const pieces = Array.from({ length: 500 }, (_, index) => `${index},`)
    for (const [index, piece] of pieces.entries()) {
      reporter.step({ message: piece })
      pass((index * 7) % 13)
    }
    reporter.close()
    assert.equal(messages(reports).join(''), pieces.join(''))
    for (const [index, report] of reports.slice(1).entries()) {
      const before = reports[index] ?? report
      assert.ok(report.progress > before.progress)
      if (index < reports.length - 2) assert.ok(report.atMs - before.atMs >= 50, 'at most 20 a second')
    }
  })

  test('what is held back goes out before the end, and nothing after it', (t) => {
    const { reporter, reports, pass, running } = open(t)
    reporter.step({ message: 'a' })
    reporter.step({ message: 'b' })
    reporter.close()
    assert.deepEqual(messages(reports), ['a', 'b'])
    assert.equal(running(), 0, 'no timer is left')
    pass(60_000)
    assert.equal(reports.length, 2)
  })

  test('without a step there is nothing to tell at the end', (t) => {
    const { reporter, reports } = open(t)
    reporter.close()
    assert.deepEqual(reports, [])
  })

  test('a step without text moves the number and has no message', (t) => {
    const { reporter, reports, pass } = open(t)
    reporter.step({})
    assert.equal(reports.length, 1)
    assert.ok(reports[0] && !('message' in reports[0]))
    reporter.step({})
    reporter.step({})
    pass(60)
    reporter.step({ message: 'text' })
    pass(60)
    assert.deepEqual(messages(reports), [undefined, undefined, 'text'])
    assert.ok((reports[2]?.progress ?? 0) > (reports[1]?.progress ?? 0))
  })

  describe('silence is filled every 10 s', () => {
    const begins: { name: string; beforeMs: number; text?: string }[] = [
      { name: 'from the beginning', beforeMs: 0 },
      { name: 'behind the first text', beforeMs: 0, text: 'a' },
      { name: 'behind a text half a second later', beforeMs: 500, text: 'a' },
      { name: 'behind a text just before a beat', beforeMs: 9_999, text: 'a' },
      { name: 'behind a text just after a beat', beforeMs: 10_001, text: 'a' },
    ]
    for (const { name, beforeMs, text } of begins) {
      test(name, (t) => {
        const { reporter, reports, pass } = open(t)
        pass(beforeMs)
        if (text) reporter.step({ message: text })
        pass(65_000)
        const times = [0, ...reports.map(({ atMs }) => atMs), beforeMs + 65_000]
        for (const [index, time] of times.slice(1).entries()) {
          assert.ok(time - (times[index] ?? 0) <= 10_000, `${times}`)
        }
        for (const [index, { progress }] of reports.entries()) {
          assert.ok(progress > (reports[index - 1]?.progress ?? 0))
        }
        assert.deepEqual(
          reports.filter((report) => 'message' in report).map(({ message }) => message),
          text ? [text] : [],
        )
        assert.ok(reports.length <= 9)
      })
    }

    test('and only silence', (t) => {
      const { reporter, reports, pass } = open(t)
      for (let second = 0; second < 60; second++) {
        reporter.step({ message: 'x' })
        pass(1_000)
      }
      assert.deepEqual(messages(reports), Array(60).fill('x'))
    })
  })

  test('while the reader is behind, text waits and none is lost', (t) => {
    const { reporter, reports, pass, congest } = open(t)
    reporter.step({ message: 'a' })
    congest(true)
    reporter.step({ message: 'b' })
    pass(30_000)
    reporter.step({ message: 'c' })
    pass(1_000)
    assert.deepEqual(messages(reports), ['a'])
    congest(false)
    pass(100)
    assert.deepEqual(messages(reports), ['a', 'bc'])
    congest(true)
    reporter.step({ message: 'd' })
    reporter.close()
    assert.deepEqual(messages(reports), ['a', 'bc', 'd'])
  })

  test('a token is echoed in its own type', (t) => {
    const { reporter, reports } = open(t, 0)
    reporter.step({ message: 'a' })
    assert.equal(reports.length, 1)
  })
})

test('a place in the queue is told beside the text, not in it, and only while it lasts', (t) => {
  const { reporter, reports, pass } = open(t)
  reporter.step({ place: 2 })
  pass(60)
  reporter.step({ place: 1 })
  pass(60)
  reporter.step({ message: 'a' })
  pass(60)
  reporter.close()
  assert.deepEqual(
    reports.map(({ atMs: _, ...report }) => report),
    [
      { progress: 1, _meta: { 'genai-gateway/queue': { place: 2 } } },
      { progress: 2, _meta: { 'genai-gateway/queue': { place: 1 } } },
      { progress: 3, message: 'a' },
    ],
  )
})
