import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createKey, createScanner, spellingsOf } from '../scripts/scorecard/canaries.ts'
import { type Check, notRun, play } from '../scripts/scorecard/check.ts'
import { checkHistory } from '../scripts/scorecard/checker.ts'
import { checks } from '../scripts/scorecard/checks/index.ts'
import type { History, Sent } from '../scripts/scorecard/history.ts'
import type { HttpServer } from '../scripts/scorecard/http-server.ts'
import { createCorpus } from '../scripts/scorecard/json-corpus.ts'
import { createRandom } from '../scripts/scorecard/random.ts'
import { delay, type Stage } from '../scripts/scorecard/stage.ts'

/** The scorecard can be trusted as far as it can fail: it is shown what must not be. */

type Spoken = { sent: Partial<Sent> & { id: string | number } } | { cancel: string | number } | { line: unknown }

/** A history of what was sent, cancelled and heard, in this order, a millisecond apart. */
function historyOf(spoken: readonly Spoken[], more: Partial<History> = {}): History {
  const history: History = {
    requests: [],
    cancels: [],
    lines: [],
    rest: Buffer.alloc(0),
    raw: false,
    cutShort: false,
    attempts: new Map(),
    maxAttempts: 2,
    owed: new Map(),
    ...more,
  }
  for (const [at, one] of spoken.entries()) {
    if ('sent' in one) history.requests.push({ at, atMs: at, method: 'tools/call', ...one.sent })
    else if ('cancel' in one) history.cancels.push({ at, id: one.cancel })
    else {
      const bytes = Buffer.isBuffer(one.line)
        ? one.line
        : Buffer.from(typeof one.line === 'string' ? one.line : JSON.stringify(one.line))
      history.lines.push({ at, atMs: at, bytes })
    }
  }
  return history
}

const result = (id: unknown, text = 'fine') => ({
  line: { jsonrpc: '2.0', id, result: { content: [{ type: 'text', text }] } },
})
const failure = (id: unknown, code: unknown, partial?: string, more: object = {}) => ({
  line: {
    jsonrpc: '2.0',
    id,
    result: {
      isError: true,
      content: [{ type: 'text', text: 'failed' }, ...(partial === undefined ? [] : [{ type: 'text', text: partial }])],
      _meta: { 'genai-gateway/error': { code } },
      ...more,
    },
  },
})
const progress = (progressToken: unknown, value: unknown) => ({
  line: { jsonrpc: '2.0', method: 'notifications/progress', params: { progressToken, progress: value } },
})
const sent = (id: string | number, more: Partial<Sent> = {}) => ({ sent: { id, ...more } })
const owed = new Map([['q', 'one two']])

const sound: Readonly<Record<string, History>> = {
  'a request and its answer': historyOf([sent(1), result(1)]),
  'answers out of order': historyOf([sent(1), sent('1'), result('1'), result(1)]),
  'an id used again': historyOf([sent(1), result(1), sent(1), result(1)]),
  'progress before the result': historyOf([sent(1, { token: 't' }), progress('t', 1), progress('t', 2), result(1)]),
  'a cancelled request without an answer': historyOf([sent(1), { cancel: 1 }, sent(2), result(2)]),
  'an answer that crossed its cancellation': historyOf([sent(1), { cancel: 1 }, result(1), sent(2), result(2)]),
  'all the text that was owed': historyOf([sent(1, { prompt: 'q' }), result(1, 'one two')], { owed }),
  'a partial answer with all that had come': historyOf([sent(1, { prompt: 'q' }), failure(1, 'truncated', 'one two')], {
    owed,
  }),
  'an error without an id to a raw line': historyOf(
    [{ line: { jsonrpc: '2.0', error: { code: -32700, message: 'x' } } }],
    { raw: true },
  ),
  'no answer, because it was cut short': historyOf([sent(1)], { cutShort: true }),
}
for (const [name, history] of Object.entries(sound)) {
  test(`nothing is wrong with ${name}`, () => {
    assert.deepEqual(checkHistory(history), { violations: [], bytesLost: 0 })
  })
}

const deep = `{"jsonrpc":"2.0","id":1,"result":${'['.repeat(10_000)}${']'.repeat(10_000)}}`
const wrong: readonly [name: string, history: History, says: RegExp][] = [
  ['no answer', historyOf([sent(1)]), /^I1: no answer/],
  ['two answers', historyOf([sent(1), result(1), result(1)]), /^I1, I2: an answer with the id 1/],
  ['an answer to nobody', historyOf([sent(1), result(1), result(2)]), /^I1, I2/],
  ['an id of another type', historyOf([sent(1), result('1')]), /^I1, I2: an answer with the id "1"/],
  [
    'an answer after a cancellation was read',
    historyOf([sent(1), { cancel: 1 }, sent(2), result(2), result(1)]),
    /^I3: 1 was answered/,
  ],
  [
    'progress after the result',
    historyOf([sent(1, { token: 't' }), result(1), progress('t', 1)]),
    /^I3: progress for "t" after its result/,
  ],
  [
    'progress after a cancellation was read',
    historyOf([sent(1, { token: 't' }), { cancel: 1 }, sent(2), result(2), progress('t', 1)]),
    /^I3: progress for "t" after its canc/,
  ],
  ['progress for nobody', historyOf([progress('x', 1)]), /^I3: progress for the token "x"/],
  [
    'progress that stands still',
    historyOf([sent(1, { token: 't' }), progress('t', 1), progress('t', 1), result(1)]),
    /^I4/,
  ],
  ['progress that falls', historyOf([sent(1, { token: 't' }), progress('t', 2), progress('t', 1), result(1)]), /^I4/],
  ['progress without a number', historyOf([sent(1, { token: 't' }), progress('t', 'half'), result(1)]), /^I4/],
  ['a line that is no JSON', historyOf([{ line: 'hello' }]), /^I5: stdout holds what is no message/],
  ['a line that is no JSON-RPC', historyOf([{ line: { hello: 1 } }]), /^I5: no JSON-RPC/],
  [
    'bytes that are no UTF-8',
    historyOf([{ line: Buffer.from([0x22, 0xff, 0x22]) }]),
    /^I5: stdout holds what is no UTF-8/,
  ],
  [
    'a raw control byte',
    historyOf([sent(1), { line: '{"jsonrpc":"2.0","id":1,\t"result":{}}' }]),
    /^I5: a raw control byte/,
  ],
  ['a message too deep for a client', historyOf([sent(1), { line: deep }]), /^I5: a message nests/],
  ['half a line', historyOf([], { rest: Buffer.from('{"json') }), /^I5: 6 bytes behind/],
  [
    'too many requests',
    historyOf([sent(1, { prompt: 'q' }), result(1)], { attempts: new Map([['q', 3]]) }),
    /^I6: 3 requests/,
  ],
  [
    'a call that overran',
    {
      ...historyOf([sent(1, { limitMs: 1000 }), result(1)]),
      lines: [{ at: 1, atMs: 1600, bytes: Buffer.from(JSON.stringify(result(1).line)) }],
    },
    /^I6: 1 took 1600 ms/,
  ],
  ['a code of its own', historyOf([sent(1), failure(1, 'oops')]), /^I11: 1 failed with the code oops/],
  ['an error without a code', historyOf([sent(1), failure(1, undefined)]), /^I11/],
  [
    'an error with a structured result',
    historyOf([sent(1), failure(1, 'timeout', undefined, { structuredContent: {} })]),
    /^I11: 1 failed and has/,
  ],
]
for (const [name, history, says] of wrong) {
  test(`caught: ${name}`, () => {
    const { violations } = checkHistory(history)
    assert.ok(
      violations.some((violation) => says.test(violation)),
      JSON.stringify(violations),
    )
  })
}

const deliveries: readonly [name: string, answer: { line: unknown }, bytesLost: number][] = [
  ['a short answer', result(1, 'one'), 4],
  ['another answer', result(1, 'two one'), 7],
  ['no partial answer', failure(1, 'truncated'), 7],
  ['a partial answer that is short', failure(1, 'truncated', 'one tw'), 1],
  ['more than was said', result(1, 'one two three'), 0],
]
for (const [name, answer, bytesLost] of deliveries) {
  test(`caught: ${name}, ${bytesLost} bytes lost`, () => {
    const verdict = checkHistory(historyOf([sent(1, { prompt: 'q' }), answer], { owed }))
    assert.match(verdict.violations.join(), /^I7/)
    assert.equal(verdict.bytesLost, bytesLost)
  })
}

const random = createRandom(7)

test('a piece of twelve characters of a key is found in every spelling, and nothing else is', async () => {
  const keys = { a: createKey(random.branch('a')), b: createKey(random.branch('b')) }
  const scanner = createScanner(keys)
  for (const spelling of spellingsOf(keys.a)) {
    for (const from of [0, 7, spelling.length - 12]) {
      const piece = `words ${spelling.slice(from, from + 12)} words`
      assert.deepEqual(await scanner.scan(Buffer.from(piece)), ['a'], piece)
    }
    assert.deepEqual(await scanner.scan(Buffer.from(`words ${spelling.slice(3, 14)} words`)), [])
  }
  assert.deepEqual(await scanner.scan(Buffer.from(random.text(100_000))), [])
  const far = Buffer.concat([Buffer.alloc(1024 * 1024 - 5), Buffer.from(keys.b), Buffer.alloc(100)])
  assert.deepEqual(await scanner.scan(far), ['b'])
  assert.equal(keys.a.length, 40)
})

test('of the corpus of JSON it is known what is valid', () => {
  const corpus = createCorpus(random)
  for (const { text, valid } of corpus) {
    const parses = () => JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(text))
    if (valid) assert.doesNotThrow(parses, text.toString())
    else assert.throws(parses, text.toString('latin1'))
  }
  assert.ok(corpus.length > 300)
})

test('sixty checks, each with an id of its own', () => {
  const ids = checks.map(({ id }) => id)
  assert.equal(new Set(ids).size, 60)
  assert.deepEqual(
    Object.entries(Object.groupBy(ids, (id) => id[0] as string)).map(([letter, of = []]) => `${letter}${of.length}`),
    ['C14', 'L10', 'S14', 'U22'],
  )
})

const outcomes: readonly [name: string, run: Check['run'], state: string, note: RegExp][] = [
  ['all is well', async () => 'a figure', 'passed', /^a figure$/],
  ['an expectation fails', async (stage) => void stage.expect(false, 'not so') as undefined, 'failed', /^not so$/],
  [
    'values differ',
    async (stage) => void stage.equal([1], [2], 'it') as undefined,
    'failed',
    /^it: \[1\] instead of \[2\]$/,
  ],
  ['the check itself breaks', () => Promise.reject(new Error('oh')), 'failed', /broke off: Error: oh/],
  ['it cannot be played here', () => Promise.reject(notRun('no such thing')), 'not run', /^no such thing$/],
]
for (const [name, run, state, note] of outcomes) {
  test(`the outcome where ${name}`, async () => {
    const outcome = await play({ id: 'X00', what: 'x', run }, random)
    assert.equal(outcome.state, state)
    assert.match(outcome.notes[0] ?? '', note)
  })
}

/** Keeps this process from doing anything else, as a busy machine would. */
async function busily(stage: Stage, failure: string | undefined): Promise<string | undefined> {
  await delay(30)
  const untilMs = performance.now() + 80
  while (performance.now() < untilMs);
  await delay(30)
  if (failure !== undefined) stage.expect(false, failure)
  return undefined
}

const plays: readonly [name: string, failures: readonly (string | undefined)[], state: string, played: number][] = [
  ['is late once', ['it took 60 ms', undefined], 'passed', 2],
  ['is late each time', Array(9).fill('it took 60 ms'), 'failed', 3],
  ['is wrong', Array(9).fill('not so'), 'failed', 1],
]
for (const [name, failures, state, played] of plays) {
  test(`on a busy machine, a check that ${name} is played ${played} times`, async () => {
    let count = 0
    const outcome = await play({ id: 'X02', what: 'x', run: (stage) => busily(stage, failures[count++]) }, random)
    assert.deepEqual([outcome.state, count], [state, played])
    assert.equal(outcome.notes.filter((note) => note.includes('does not count')).length, played - 1)
  })
}

/** A server that answers each request by a sentence of code about `m`, the message, and `say`. */
const impostor = (answer: string) => [
  process.execPath,
  '-e',
  `const say = (v) => process.stdout.write(JSON.stringify(v) + '\\n')
   const ok = (m) => say({ jsonrpc: '2.0', id: m.id, result: {} })
   require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
     const m = JSON.parse(line)
     if (m.id === undefined) return
     if (m.method !== 'tools/call') return ok(m)
     ${answer}
   })`,
]
const impostors: readonly [name: string, answer: string, says: RegExp, leaks: number][] = [
  ['answers twice', 'ok(m); ok(m)', /I1, I2/, 0],
  ['prints rubbish', "process.stdout.write('debug: called\\n'); ok(m)", /I5/, 0],
  [
    'tells its key',
    "say({ jsonrpc: '2.0', id: m.id, result: { key: process.env.CANARY_A } })",
    /I8: the key of a on stdout/,
    1,
  ],
  [
    'logs its key in base64',
    "console.error(Buffer.from('x' + process.env.CANARY_A).toString('base64')); ok(m)",
    /I8: the key of a on stderr/,
    1,
  ],
  ['dies', 'process.exit(3)', /the gateway is gone/, 0],
  ['stays behind', 'ok(m); setInterval(() => {}, 1000)', /did not end within/, 0],
  ['keeps a connection', "require('node:net').createServer().listen(0, '127.0.0.1'); ok(m)", /I10/, 0],
]
for (const [name, answer, says, leaks] of impostors) {
  test(`caught: a program that ${name}`, async () => {
    const outcome = await play(
      {
        id: 'X01',
        what: 'x',
        async run(stage) {
          const gateway = await stage.gateway({
            providers: { a: { at: { origin: 'http://127.0.0.1:9' } } },
            wrapper: impostor(answer),
          })
          await gateway.ask({}, { patienceMs: 1000 })
          return undefined
        },
      },
      random,
    )
    assert.equal(outcome.state, 'failed')
    assert.match(outcome.notes.join('\n'), says)
    assert.equal(outcome.leaks, leaks)
  })
}

const servers: readonly [name: string, harm: (server: HttpServer) => Promise<unknown>, says: RegExp][] = [
  ['is gone', async ({ pid }) => process.kill(pid, 'SIGKILL'), /the gateway over HTTP is gone/],
  ['is stopped', async ({ pid }) => process.kill(pid, 'SIGSTOP'), /ended with null behind SIGTERM/],
]
for (const [name, harm, says] of servers) {
  test(`caught: a server over HTTP that ${name}`, async () => {
    const outcome = await play(
      {
        id: 'X03',
        what: 'x',
        async run(stage) {
          const server = await stage.http({ providers: { a: { at: { origin: 'http://127.0.0.1:9' } } } })
          await harm(server)
          await delay(100)
          return undefined
        },
      },
      random,
    )
    assert.equal(outcome.state, 'failed')
    assert.match(outcome.notes.join('\n'), says)
  })
}

test('caught: a key in an answer over HTTP', async () => {
  const outcome = await play(
    {
      id: 'X04',
      what: 'x',
      async run(stage) {
        const server = await stage.http({ providers: { a: { at: { origin: 'http://127.0.0.1:9' } } } })
        server.answers().push(Buffer.from(`"${stage.key('client')}"`))
        return undefined
      },
    },
    random,
  )
  assert.deepEqual([outcome.state, outcome.leaks], ['failed', 1])
})
