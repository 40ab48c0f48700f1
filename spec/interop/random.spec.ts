import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import fc from 'fast-check'
import type { Call } from '../../scripts/replay/cases.ts'
import { progressFaults } from '../../scripts/replay/checks.ts'
import type { Cut } from '../../scripts/replay/cuts.ts'
import { openStage, type Stage } from '../../scripts/replay/stage.ts'
import type { Exchange } from '../../src/http/tape.ts'
import { type Outcome, readResult } from './reading.ts'
import { askSdk, keepsDigits } from './sdks.ts'
import { chat } from './streams/chat.ts'
import { messages } from './streams/messages.ts'
import { ollama } from './streams/ollama.ts'
import { responses } from './streams/responses.ts'
import type { Dialect } from './streams/sample.ts'
import { completions, generate } from './streams/text.ts'

/** Random answers, well-formed by each vendor's reference: its SDK and the gateway read the same out of the same bytes. */

const seed = Number(process.env['SEED'] ?? 1)
const numRuns = Number(process.env['RUNS'] ?? 200)

let stage: Stage
before(async () => {
  stage = await openStage()
})
after(async () => assert.deepEqual(await stage.close(), []))

for (const dialect of [chat, responses, messages, ollama, completions, generate]) {
  test(`${dialect.name}, streamed`, async () => {
    await fc.assert(
      fc.asyncProperty(dialect.samples, cut, async ({ stream }, pieces) => {
        await agree(dialect, stream.join(''), dialect.streamType, pieces)
      }),
      { seed, numRuns },
    )
  })

  test(`${dialect.name}, whole`, async () => {
    await fc.assert(
      fc.asyncProperty(dialect.samples, cut, async ({ whole }, pieces) => {
        await agree(dialect, whole, 'application/json', pieces)
      }),
      { seed, numRuns },
    )
  })

  test(`${dialect.name}, broken off behind some event`, async () => {
    const place = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
    await fc.assert(
      fc.asyncProperty(dialect.samples, cut, place, fc.boolean(), async ({ stream }, pieces, share, told) => {
        const events = stream.slice(0, Math.floor(share * stream.length))
        const text = [...events, ...(told ? [dialect.failure] : [])].join('')
        const [bySdk, byGateway] = await readTwice(dialect, text, dialect.streamType, pieces)
        assert.deepEqual(withoutStatus(byGateway), withoutStatus(bySdk))
      }),
      { seed, numRuns },
    )
  })
}

/** Where the bytes are cut into chunks, as shares of their length: also inside a character and between CR and LF. */
const cut: fc.Arbitrary<Cut> = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 8 }).map((shares) => ({
  name: 'anywhere',
  of(chunks) {
    const bytes = Buffer.concat(chunks)
    const offsets = [0, ...shares.map((share) => Math.floor(share * bytes.length)).sort((a, b) => a - b)]
    return offsets.map((from, at) => bytes.subarray(from, offsets[at + 1]))
  },
}))

async function agree(dialect: Dialect, text: string, type: string, pieces: Cut): Promise<void> {
  const [bySdk, byGateway] = await readTwice(dialect, text, type, pieces)
  assert.ok('text' in bySdk, 'the SDK refuses what was generated')
  assert.deepEqual(byGateway, bySdk)
}

async function readTwice(dialect: Dialect, text: string, type: string, pieces: Cut): Promise<[Outcome, Outcome]> {
  const exchange: Exchange = {
    request: { method: 'POST', path: dialect.path, headers: {} },
    response: { status: 200, firstByteMs: 0, headers: { 'content-type': type }, chunks: [{ afterMs: 0, text }] },
  }
  const { origin, play } = stage.upstream
  const requestsOfSdk = play([exchange], pieces)
  const bySdk = await askSdk({ origin, path: dialect.path, streamed: type !== 'application/json' })
  const requestsOfGateway = play([exchange], pieces)
  const byGateway = await askGateway(dialect)
  assert.deepEqual([requestsOfSdk.length, requestsOfGateway.length], [1, 1])
  return [bySdk, byGateway]
}

/** What failed behind the head of an answer has a status or none: the SDKs and the gateway need not agree on that. */
function withoutStatus(outcome: Outcome): Outcome {
  return 'failed' in outcome ? { failed: true } : outcome
}

async function askGateway({ path, arguments: args, env }: Dialect): Promise<Outcome> {
  const call: Call = {
    title: 'a random answer',
    source: 'made up',
    tool: 'createCompletion',
    arguments: { ...args, prompt: 'Say hello' },
    env: { MAX_RETRIES: '0', ...env },
  }
  const session = stage.sessionFor(call)
  const answer = await session.callTool('2026-07-28', call, true)
  assert.deepEqual([...progressFaults(answer, call.tool, true), ...session.complaints()], [])
  return readResult(answer.result, keepsDigits(path))
}
