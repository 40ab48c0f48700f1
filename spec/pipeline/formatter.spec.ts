import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { Fault, type FaultCode, type FaultDetail, faultCodes, type Met } from '../../src/errors.ts'
import { withStructuredOutput } from '../../src/extensions/structured-output.ts'
import type { ChatAsk, EmbedAsk, Event, Substituted } from '../../src/gateway.ts'
import { formatCompletion, formatEmbedding, formatFault } from '../../src/pipeline/formatter.ts'
import type { Progress, ToolResult } from '../../src/tool.ts'
import { declarations } from '../../src/tools/declarations.ts'
import { oneByOne } from '../harness/events.ts'

/** Events to progress and results. */

type Json = Record<string, unknown>

async function* flow(events: readonly (Event | Error)[]): AsyncGenerator<Event> {
  for (const event of events) {
    if (event instanceof Error) throw event
    yield event
  }
}

/** A clock that moves ten milliseconds at each look. */
function ticking(): () => number {
  let nowMs = 0
  return () => (nowMs += 10)
}

async function complete(events: readonly (Event | Error)[], ask: Partial<ChatAsk> = {}, streaming = true) {
  const steps: Progress[] = []
  const call = { signal: new AbortController().signal, streaming }
  const answered = withStructuredOutput(oneByOne(() => flow(events)))({ kind: 'chat', messages: [], ...ask }, call)
  const run = formatCompletion({ events: answered, now: ticking(), streaming })
  for (;;) {
    const next = await run.next()
    if (next.done) return { steps, result: next.value }
    steps.push(next.value)
  }
}

const ajv = new Ajv2020({ strict: false })
const validators = new Map(declarations.map(({ name, outputSchema }) => [name, ajv.compile(outputSchema)]))

/** What a program reads of a failed call. */
const factsOf = ({ _meta = {} }: ToolResult) => _meta['genai-gateway/error'] as Json

function assertFits(tool: string, result: ToolResult): void {
  const validate = validators.get(tool)
  assert.ok(validate?.(JSON.parse(JSON.stringify(result.structuredContent))), JSON.stringify(validate?.errors))
}

const served: Extract<Event, { type: 'served' }> = { type: 'served', provider: 'p', model: 'm', attempts: 2 }
const text = (words: string): Event => ({ type: 'text-delta', text: words })
const stop: Event = { type: 'finish', reason: 'stop', raw: 'stop' }
const usage = { promptTokens: 1, completionTokens: 2, totalTokens: 3, cachedPromptTokens: 1, reasoningTokens: 1 }

test('an answer with everything', async () => {
  const { steps, result } = await complete([
    served,
    { type: 'response', requestId: 'req_1', model: 'm-2026' },
    { type: 'warning', message: 'temperature was left out' },
    { type: 'reasoning-delta', text: 'Hm.' },
    text('He'),
    text('llo'),
    { type: 'usage', usage },
    stop,
  ])
  const { timing, ...rest } = result.structuredContent as { timing: { totalMs: number; firstTokenMs: number } } & Json
  assert.deepEqual(rest, {
    model: 'm-2026',
    provider: 'p',
    text: 'Hello',
    reasoning: 'Hm.',
    finishReason: 'stop',
    rawFinishReason: 'stop',
    usage,
    warnings: ['temperature was left out'],
    attempts: 2,
    requestId: 'req_1',
  })
  assert.ok(timing.firstTokenMs > 0 && timing.totalMs > timing.firstTokenMs)
  assert.deepEqual(result.content, [{ type: 'text', text: 'Hello' }])
  assert.equal(result.isError, undefined)
  assertFits('createCompletion', result)
  // Reasoning moves progress and adds no message; the messages joined are the text.
  assert.deepEqual(steps, [{}, { message: 'He' }, { message: 'llo' }])
})

test('the least of an answer: no member without a value', async () => {
  const { result } = await complete([served, text('a'), { type: 'finish', reason: 'stop' }])
  assert.deepEqual(Object.keys(result.structuredContent ?? {}).toSorted(), [
    'attempts',
    'finishReason',
    'model',
    'provider',
    'text',
    'timing',
  ])
  assertFits('createCompletion', result)
})

test('an answer without a word is an empty text', async () => {
  const { result, steps } = await complete([served, stop])
  assert.deepEqual(result.content, [{ type: 'text', text: '' }])
  assert.deepEqual(steps, [])
  assertFits('createCompletion', result)
})

test('an answer of very many pictures is whole', async () => {
  const part = { type: 'image', data: 'x', mimeType: 'image/png' } as const
  const pictures = Array.from({ length: 150_000 }, (): Event => ({ type: 'content', part }))
  const { result } = await complete([...pictures, { type: 'finish', reason: 'stop' }])
  assert.equal(result.isError, undefined)
  assert.equal(result.content.length, 150_001)
})

test('nobody listens: no steps', async () => {
  const { steps, result } = await complete([served, text('a'), { type: 'reasoning-delta', text: 'b' }, stop], {}, false)
  assert.deepEqual(steps, [])
  assert.equal(result.structuredContent?.['text'], 'a')
})

const calls: [string, string, Json, boolean][] = [
  ['an object', '{"x":1}', { arguments: { x: 1 } }, false],
  ['nothing', '', { arguments: {} }, false],
  ['white space', ' \n', { arguments: {} }, false],
  ['broken JSON', '{"x":', { arguments: {}, argumentsText: '{"x":' }, true],
  [
    'an integer that no number can hold',
    '{"id":9007199254740993,"x":[1]}',
    { arguments: { id: 9007199254740992, x: [1] }, argumentsText: '{"id":9007199254740993,"x":[1]}' },
    true,
  ],
  [
    'an integer beyond 2^53 that a number can hold',
    '{"id":9007199254740992}',
    { arguments: { id: 9007199254740992 } },
    false,
  ],
  [
    'an integer that a number holds, but writes with other digits',
    '{"id":1152921504606846976}',
    { arguments: { id: 2 ** 60 }, argumentsText: '{"id":1152921504606846976}' },
    true,
  ],
  [
    'an integer that a number writes as it was read',
    '{"id":-37675332008399210}',
    { arguments: { id: -37675332008399210 } },
    false,
  ],
  ['digits in a string', '{"id":"9007199254740993"}', { arguments: { id: '9007199254740993' } }, false],
  ['a list', '[1]', { arguments: {}, argumentsText: '[1]' }, true],
  ['a name that objects inherit', '{"__proto__":{"a":1}}', { arguments: JSON.parse('{"__proto__":{"a":1}}') }, false],
]
for (const [name, argumentsText, expected, warned] of calls) {
  test(`a call of a tool whose arguments are ${name}`, async () => {
    const { result } = await complete([
      served,
      { type: 'tool-call', id: 'c', name: 'f', argumentsText },
      { type: 'finish', reason: 'toolCalls', raw: 'tool_calls' },
    ])
    const toolCalls = [{ id: 'c', name: 'f', ...expected }]
    assert.deepEqual(result.structuredContent?.['toolCalls'], toolCalls)
    assert.equal(result.structuredContent?.['warnings'] !== undefined, warned)
    // A client that reads content alone sees them as well.
    assert.deepEqual(result.content, [
      { type: 'text', text: '' },
      { type: 'text', text: JSON.stringify({ toolCalls }) },
    ])
    assertFits('createCompletion', result)
  })
}

const responseSchema = {
  type: 'object',
  properties: { n: { type: 'integer', minimum: 1 } },
  required: ['n'],
  additionalProperties: false,
}

test('a schema: the value that fits is returned', async () => {
  const { result } = await complete([served, text('{"n"'), text(':7}'), stop], { responseSchema })
  assert.deepEqual(result.structuredContent?.['object'], { n: 7 })
  assert.equal(result.structuredContent['text'], '{"n":7}')
  assertFits('createCompletion', result)
})

for (const words of ['{"n":"x"}', '{"n":0}', '{}', '{"n":1,"m":2}', 'not JSON', '']) {
  test(`a schema: ${JSON.stringify(words)} does not fit`, async () => {
    const { result } = await complete([served, text(words), stop], { responseSchema })
    assert.equal(result.isError, true)
    assert.equal(result.structuredContent, undefined)
    const error = factsOf(result)
    assert.deepEqual(
      [error['code'], error['cause'], error['provider'], error['model'], error['attempts']],
      ['invalid_response', 'schema', 'p', 'm', 2],
    )
    assert.deepEqual(result.content.slice(1), words === '' ? [] : [{ type: 'text', text: words }])
  })
}

// What breaks a schema is either found or, where the gateway cannot check, told: never passed off as valid.
const breaking: [string, Json, unknown][] = [
  ['a member of the wrong type', { type: 'object', properties: { a: { type: 'number' } } }, { a: 'x' }],
  ['a member that is missing', { type: 'object', properties: { a: { type: 'number' } }, required: ['a'] }, {}],
  ['a member that is missing, of any type', { type: 'object', properties: { a: {} }, required: ['a'] }, {}],
  ['a member that is missing, required by name alone', { type: 'object', required: ['a'] }, {}],
  ['a member that nobody asked for', { type: 'object', properties: {}, additionalProperties: false }, { a: 1 }],
  ['a schema that does not say object', { properties: { a: { type: 'number' } }, required: ['a'] }, {}],
  ['a value outside of an enum', { type: 'object', properties: { a: { enum: ['x', 1] } } }, { a: 'y' }],
  ['a pattern', { type: 'object', properties: { a: { type: 'string', pattern: '^x' } } }, { a: 'y' }],
  [
    'a reference',
    { type: 'object', properties: { a: { $ref: '#/$defs/n' } }, $defs: { n: { type: 'number' } } },
    { a: 'x' },
  ],
  ['an item', { type: 'object', properties: { a: { type: 'array', items: { type: 'number' } } } }, { a: [1, 'x'] }],
  ['a part of allOf', { type: 'object', allOf: [{ type: 'object', required: ['a'], properties: { a: {} } }] }, {}],
  ['not', { type: 'object', properties: { a: { not: { type: 'string' } } } }, { a: 'x' }],
  ['dependentRequired', { type: 'object', dependentRequired: { a: ['b'] } }, { a: 1 }],
]
for (const [name, schema, value] of breaking) {
  test(`a schema: ${name} is found, or told to be unchecked`, async () => {
    const { result } = await complete([served, text(JSON.stringify(value)), stop], { responseSchema: schema })
    const told = /not validated|cannot check/.test(JSON.stringify(result.structuredContent?.['warnings'] ?? ''))
    assert.ok(result.isError === true || told, JSON.stringify(result.structuredContent))
  })
}

test('a schema: what the gateway cannot check is parsed and told', async () => {
  const { result } = await complete([served, text('{"n":7}'), stop], {
    responseSchema: { type: 'object', contains: {}, patternProperties: { a: {} }, not: { required: ['b'] } },
  })
  assert.deepEqual(result.structuredContent?.['object'], { n: 7 })
  assertFits('createCompletion', result)
})

test('a schema: a value that is no object stays in the text, and that is told', async () => {
  const { result } = await complete([served, text('[1,2]'), stop], {
    responseSchema: { type: 'array', items: { type: 'number' } },
  })
  assert.equal(result.structuredContent?.['object'], undefined)
  assert.match(JSON.stringify(result.structuredContent?.['warnings']), /responseSchema/)
  assertFits('createCompletion', result)
})

for (const reason of ['length', 'contentFilter', 'refusal'] as const) {
  test(`a schema: an answer that ended by ${reason} is not held against it`, async () => {
    const { result } = await complete([served, text('{"n"'), { type: 'finish', reason }], { responseSchema })
    assert.equal(result.isError, undefined)
    assert.equal(result.structuredContent?.['finishReason'], reason)
    assert.equal(result.structuredContent['object'], undefined)
  })
}

test('a fault in the middle: one sentence, then the text that had come, then the facts', async () => {
  const fault = new Fault('truncated', 'it broke the connection', {
    cause: 'reset',
    provider: 'p',
    model: 'm',
    attempts: 1,
    retryable: true,
    requestId: 'r',
  })
  const { steps, result } = await complete([served, text('He'), text('l'), fault])
  assert.equal(result.isError, true)
  assert.equal(Object.hasOwn(result, 'structuredContent'), false)
  assert.equal(result.content.length, 2)
  assert.deepEqual(result.content[1], { type: 'text', text: 'Hel' })
  assert.deepEqual(steps, [{ message: 'He' }, { message: 'l' }])
  const { elapsedMs, ...facts } = factsOf(result)
  assert.deepEqual(facts, {
    code: 'truncated',
    cause: 'reset',
    provider: 'p',
    model: 'm',
    requestId: 'r',
    attempts: 1,
    retryable: true,
  })
  assert.ok(Number.isInteger(elapsedMs))
})

// The closed list of the contract: a client may switch over it.
const codes = [
  'invalid_request',
  'configuration',
  'authentication',
  'permission',
  'model_not_found',
  'context_length',
  'content_filter',
  'quota',
  'rate_limited',
  'overloaded',
  'timeout',
  'network',
  'tls',
  'truncated',
  'invalid_response',
  'too_large',
  'provider_error',
  'unavailable',
  'busy',
  'internal',
]

test('the list of codes is closed', () => {
  assert.deepEqual([...faultCodes], codes)
})

for (const code of codes as FaultCode[]) {
  for (const retryable of [false, true]) {
    test(`${code}, ${retryable ? '' : 'not '}retryable: one sentence and what to do`, () => {
      const result = formatFault(
        new Fault(code, 'it said so.', { provider: 'p', model: 'm', retryable, attempts: 3 }),
        42,
      )
      assert.equal(result.isError, true)
      assert.equal(result.structuredContent, undefined)
      const [block, ...more] = result.content
      assert.deepEqual(more, [])
      assert.ok(block?.type === 'text')
      assert.match(`${block.text}`, /^The call to p \(m\) failed: it said so\. [A-Za-z].*\.$/)
      assert.doesNotMatch(`${block.text}`, /\n|undefined/)
      assert.deepEqual(result._meta, {
        'genai-gateway/error': { code, provider: 'p', model: 'm', attempts: 3, retryable, elapsedMs: 42 },
      })
    })
  }
}

const whens: [FaultDetail, RegExp][] = [
  [{ retryable: true, retryAfterMs: 12_300 }, /Try again in 13 s\.$/],
  [{ retryable: true, retryAfterMs: 20 }, /Try again in 1 s\.$/],
  [{ retryable: true }, /Trying again may help\.$/],
  [{ retryable: false }, /Trying again unchanged will not help\.$/],
]
for (const [detail, sentence] of whens) {
  test(`whether and when trying again helps: ${JSON.stringify(detail)}`, () => {
    const [block] = formatFault(new Fault('rate_limited', 'slow down', { ...detail, provider: 'p' }), 0).content
    assert.ok(block?.type === 'text')
    assert.match(`${block.text}`, sentence)
  })
}

const strangers: [string, unknown][] = [
  ['a TypeError', new TypeError('Invalid header: Bearer sk-canary')],
  ['a string', 'sk-canary'],
  ['undefined', undefined],
  ['an error with a cause', new Error('x', { cause: new Error('sk-canary') })],
]
for (const [name, error] of strangers) {
  test(`${name} is internal, and not a word of it is told`, () => {
    const result = formatFault(error, 0)
    assert.equal(factsOf(result)['code'], 'internal')
    assert.doesNotMatch(JSON.stringify(result), /canary|TypeError|at /)
  })
}

async function embed(events: readonly (Event | Error)[], ask: Partial<EmbedAsk> = {}): Promise<ToolResult> {
  return formatEmbedding(
    { kind: 'embed', input: ['a', 'b'], encoding: 'float', ...ask },
    { events: oneByOne(() => flow(events))(), now: ticking(), streaming: false },
  )
}
const vector = (index: number, embedding: number[] | string): Event => ({ type: 'embedding', index, embedding })

test('embeddings come in the order of the input; the text tells how many and how long, and no number', async () => {
  const result = await embed([
    served,
    { type: 'response', model: 'e' },
    vector(1, [3, 4, 5]),
    vector(0, [0, 1, 2]),
    { type: 'usage', usage },
  ])
  assert.deepEqual(result.structuredContent, {
    model: 'e',
    provider: 'p',
    dimensions: 3,
    embeddings: [
      [0, 1, 2],
      [3, 4, 5],
    ],
    usage,
    attempts: 2,
  })
  assert.deepEqual(result.content, [{ type: 'text', text: '2 embeddings of 3 dimensions by e' }])
  assertFits('createEmbedding', result)
})

test('embeddings in base64 are counted by their floats', async () => {
  const result = await embed([served, vector(0, 'AAAAPwAAgL8=')], { input: ['a'], encoding: 'base64' })
  assert.deepEqual(
    [result.structuredContent?.['dimensions'], result.structuredContent?.['embeddings']],
    [2, ['AAAAPwAAgL8=']],
  )
  assert.deepEqual(result.content, [{ type: 'text', text: '1 embedding of 2 dimensions by m' }])
  assertFits('createEmbedding', result)
})

for (const [name, events] of [
  ['one is missing', [served, vector(0, [1])]],
  ['one comes twice', [served, vector(0, [1]), vector(0, [1])]],
  ['an index is beyond all', [served, vector(0, [1]), vector(7, [1])]],
] as const) {
  test(`embeddings: ${name}`, async () => {
    const result = await embed(events)
    assert.equal(result.isError, true)
    assert.equal(factsOf(result)['code'], 'invalid_response')
    assert.equal(result.structuredContent, undefined)
  })
}

test('a pattern of the caller is not run against a text of the model', async () => {
  const responseSchema = { type: 'object', properties: { a: { type: 'string', pattern: '^(a+)+$' } }, required: ['a'] }
  const startedMs = performance.now()
  const { result } = await complete([served, text(JSON.stringify({ a: `${'a'.repeat(40)}!` })), stop], {
    responseSchema,
  })
  assert.ok(performance.now() - startedMs < 1000)
  assert.match(JSON.stringify(result.structuredContent?.['warnings']), /cannot check/)
})

const escapes = 'm\u001b]52;c;AAAA\u0007\u001b[2J-\u202e1\u200b'

test('names that a provider gives are one visible line', async () => {
  const vectors = await embed([served, { type: 'response', model: escapes }, vector(0, [1]), vector(1, [2])])
  assert.deepEqual(vectors.content, [{ type: 'text', text: '2 embeddings of 1 dimensions by m-1' }])
  const call: Event = { type: 'tool-call', id: 'c', name: escapes, argumentsText: 'no JSON' }
  const named: Event = { type: 'response', model: escapes }
  const { result } = await complete([served, named, call, { type: 'finish', reason: 'stop', raw: escapes }])
  assert.partialDeepStrictEqual(result.structuredContent, {
    model: 'm-1',
    rawFinishReason: 'm-1',
    toolCalls: [{ name: escapes }],
    warnings: [
      'the arguments of the call to m-1 are no JSON object; they stand in argumentsText as the model wrote them',
    ],
  })
  const nameless = await complete([served, { type: 'response', model: '\u200b' }, stop])
  assert.equal(nameless.result.structuredContent?.['model'], 'm')
})

test('embeddings by another than the first of a list, and what the requests before have met', async () => {
  const met: Met[] = [{ provider: 'q', model: 'n', code: 'overloaded', status: 503, elapsedMs: 5 }]
  const substituted: Substituted[] = [{ model: 'q/n', code: 'overloaded' }]
  const result = await embed([{ ...served, met, substituted }, vector(0, [1]), vector(1, [2])])
  assert.partialDeepStrictEqual(result, {
    structuredContent: { attempts: 2, substituted },
    _meta: { 'genai-gateway/attempts': met },
  })
  assertFits('createEmbedding', result)
})
