import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type Case, findCases, loadCase } from '../../scripts/replay/cases.ts'
import { asRecorded } from '../../scripts/replay/cuts.ts'
import { startUpstream, type Upstream } from '../../scripts/replay/upstream.ts'
import type { Exchange } from '../../src/http/tape.ts'
import type { Json } from '../harness/gateway.ts'
import { readResult } from './reading.ts'
import { askSdk, isKnown, keepsDigits } from './sdks.ts'

/**
 * The recorded answers of fixtures/, read by the vendors' own SDKs: they find in them what the gateway is expected to
 * find (and does, as `make replay` shows), or fail as it does, with the same status. Only the answer that decides a
 * call is served to the SDK, and all pages of a list.
 */

/** Where the SDK and the gateway differ, and why that is right. A case that no longer differs must leave the table. */
const differences: Readonly<Record<string, string>> = {
  'anthropic/delta-before-start': 'the SDK throws at a delta whose block was never begun',
  'anthropic/end-without-blank-line': 'the SDK passes over a last event that lacks its blank line, and misses the end',
  'anthropic/json-called-stream': 'the SDK finds no event in a document',
  'anthropic/tool-call-broken-arguments': 'the SDK closes cut arguments by itself; the gateway hands them on as text',
  'anthropic/unknown-events': 'the SDK throws at a second message_start, which servers have been seen to send',
  'any-server/cut-event-with-words': 'the SDK counts a last event that lacks its blank line, against the standard',
  'any-server/done-alone-without-blank-line': 'the SDK throws where no finish reason came, also behind [DONE]',
  'any-server/event-names-and-ids': 'the SDK takes an event without data for broken JSON',
  'any-server/json-called-stream': 'the SDK finds no event in a document',
  'any-server/models-hostile-names': 'the SDK throws at an entry that is null',
  'any-server/no-finish-reason': 'the SDK throws where no finish reason came, also behind [DONE]',
  'any-server/nulls-everywhere': 'the SDK throws where choices are null',
  'any-server/redirect': 'the SDK follows redirects; the gateway never does',
  'any-server/stream-called-json': 'asked for one document, as the type has it, the SDK throws at a stream',
  'any-server/tool-call-object-arguments': 'the SDK takes arguments for text and writes [object Object]',
  'any-server/tool-calls-from-one': 'the SDK throws where no call has the index 0',
  'any-server/tool-calls-without-index': 'the SDK throws at a call without an index',
  'azure/finish-content-filter': 'the SDK throws at a choice without a delta',
  'deepseek/developer-role': 'the SDK does not know prompt_cache_hit_tokens',
  'deepseek/text-suffix': 'the SDK does not know prompt_cache_hit_tokens',
  'gemini/thought-signatures': 'the SDK makes up a random id where the server gives none',
  'gemini/tool-calls-empty-id': 'the SDK makes up a random id where the server gives none',
  'groq/reasoning': 'the SDK does not look into x_groq',
  'groq/thoughts-of-others': 'the SDK does not look into x_groq',
  'groq/usage-in-x-groq': 'the SDK does not look into x_groq',
  'lmstudio/empty-answer': 'the SDK throws where no delta names the role',
  'mistral/reasoning': 'the SDK takes content for text and writes [object Object]',
  'mistral/tool-call-whole': 'the SDK throws at a call without a type',
  'ollama/lines-called-json': 'asked for one document, as the type has it, the SDK throws at a second line',
  'openai/embedding-missing': 'the SDK does not count the vectors',
  'openai/function-call': 'the SDK leaves the deprecated function_call where it is',
  'openai/models-search': 'the gateway searches the list',
  'openai/responses-deltas-only': 'the SDK throws where no output_item.done came',
  'openai/responses-stream': 'the SDK throws at events without output_index, which llama-server sends',
  'openai/responses-text-done-only': 'the SDK throws at a text whose part was never added',
  'openai/structured-output-mismatch': 'the gateway checks the answer against its schema',
  'openai/structured-output-repaired': 'the gateway asked twice, and counts the tokens of both answers',
  'openrouter/refusal': 'the SDK throws where no delta names the role',
  'together/models': 'the SDK looks for the list in data alone',
}

const root = fileURLToPath(new URL('../../fixtures/cases', import.meta.url))
const tools = ['createCompletion', 'createEmbedding', 'listModels']
const cases = findCases(root, [])
  .map((name) => loadCase(root, name, false))
  .map((recorded) => ({ recorded, answers: decisiveAnswers(recorded) }))
  .filter(({ recorded, answers }) => tools.includes(recorded.call.tool) && isKnown(answers[0]?.request.path ?? ''))

let upstream: Upstream
before(async () => {
  upstream = await startUpstream()
})
after(() => upstream.close())

for (const { recorded, answers } of cases) {
  test(`${recorded.name}: ${recorded.call.title}`, async () => {
    const [first] = answers
    assert.ok(first)
    const requests = upstream.play(answers, asRecorded)
    const streamed = !(first.response.headers['content-type'] ?? '').includes('application/json')
    const found = await askSdk({ origin: upstream.origin, path: first.request.path, streamed })
    assert.equal(requests.length, answers.length, 'the SDK asked')
    const expected = readResult(recorded.result as Json, keepsDigits(first.request.path))
    const reason = differences[recorded.name]
    if (reason === undefined) assert.deepEqual(found, expected)
    else assert.notDeepEqual(found, expected, `there is no difference any more: ${reason}`)
  })
}

test('every dialect has its cases, and every difference has one', () => {
  const paths = new Set(cases.map(({ answers }) => answers[0]?.request.path.replace(/.*\/|\?.*/g, '')))
  for (const path of [
    'completions',
    'responses',
    'messages',
    'chat',
    'generate',
    'embeddings',
    'embed',
    'models',
    'tags',
  ])
    assert.ok(paths.has(path), path)
  const names = cases.map(({ recorded }) => recorded.name)
  assert.deepEqual(
    Object.keys(differences).filter((name) => !names.includes(name)),
    [],
  )
})

function decisiveAnswers({ call, exchanges }: Case): readonly Exchange[] {
  return call.tool === 'listModels' ? exchanges : exchanges.filter(({ request }) => request.method === 'POST').slice(-1)
}
