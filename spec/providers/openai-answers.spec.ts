import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import fc from 'fast-check'
import { Fault } from '../../src/errors.ts'
import type { ChatAsk, Event } from '../../src/gateway.ts'
import type { HttpResponse } from '../../src/http/message.ts'
import { openai } from '../../src/providers/openai.ts'
import { eventsIn } from '../harness/events.ts'

/** What comes back in the dialect of OpenAI, and in what the many servers that speak it make of it. */

type Json = Record<string, unknown>

const ask: ChatAsk = { kind: 'chat', messages: [] }
const eventStream = { 'content-type': 'text/event-stream' }

function respond(
  chunks: readonly (string | Uint8Array)[],
  headers: Record<string, string> = eventStream,
): HttpResponse {
  async function* body() {
    for (const chunk of chunks) yield typeof chunk === 'string' ? Buffer.from(chunk) : chunk
  }
  return { status: 200, headers, body: body() }
}

async function decode(chunks: readonly (string | Uint8Array)[], headers?: Record<string, string>): Promise<Event[]> {
  assert.ok(openai.chat)
  const events: Event[] = []
  for await (const event of eventsIn(openai.chat.decode(respond(chunks, headers), ask))) events.push(event)
  return events
}

type Answer = {
  text: string
  reasoning: string
  calls: { id: string; name: string; argumentsText: string }[]
  usage: Json | undefined
  reason: string
  raw: string | undefined
  model: string | undefined
}

/** What the events say, with neighbouring pieces joined. */
function answerOf(events: readonly Event[]): Answer {
  const joined = (type: Event['type']) =>
    events.map((event) => (event.type === type && 'text' in event ? event.text : '')).join('')
  const finish = events.findLast((event) => event.type === 'finish')
  return {
    text: joined('text-delta'),
    reasoning: joined('reasoning-delta'),
    calls: events.flatMap((event) =>
      event.type === 'tool-call' ? [{ id: event.id, name: event.name, argumentsText: event.argumentsText }] : [],
    ),
    usage: events.findLast((event) => event.type === 'usage')?.usage,
    reason: finish?.reason ?? '',
    raw: finish?.raw,
    model: events.find((event) => event.type === 'response')?.model,
  }
}

const answer = async (chunks: readonly (string | Uint8Array)[], headers?: Record<string, string>) =>
  answerOf(await decode(chunks, headers))

async function faultOf(
  promise: Promise<unknown>,
): Promise<{ code: string; cause: string | undefined; retryable: boolean | undefined }> {
  try {
    await promise
  } catch (error) {
    assert.ok(error instanceof Fault, String(error))
    return { code: error.code, cause: error.detail.cause, retryable: error.detail.retryable }
  }
  return assert.fail('no fault')
}

const frame = (value: unknown) => `data: ${JSON.stringify(value)}\n\n`
const chunk = (delta: unknown, finish: string | null = null, more: Json = {}) =>
  frame({
    id: 'c1',
    object: 'chat.completion.chunk',
    created: 1,
    model: 'm',
    choices: [{ index: 0, delta, finish_reason: finish }],
    ...more,
  })
const done = 'data: [DONE]\n\n'
const call = (index: number | undefined, more: { id?: string; name?: string; args?: unknown }) =>
  chunk({
    tool_calls: [
      {
        ...(index === undefined ? {} : { index }),
        ...(more.id === undefined ? {} : { id: more.id, type: 'function' }),
        function: {
          ...(more.name === undefined ? {} : { name: more.name }),
          ...('args' in more ? { arguments: more.args } : {}),
        },
      },
    ],
  })
const usage = { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 }
const counted = { promptTokens: 1, completionTokens: 2, totalTokens: 3 }

test('the smallest stream of a tool call, as the grammar has it', async () => {
  const stream = [
    'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":""}}]},"finish_reason":null}]}\n\n',
    'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]},"finish_reason":null}]}\n\n',
    'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}\n\n',
    'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}\n\n',
    'data: [DONE]\n\n',
  ]
  assert.deepEqual(await answer(stream), {
    text: '',
    reasoning: '',
    calls: [{ id: 'call_1', name: 'f', argumentsText: '{}' }],
    usage: { promptTokens: 1, completionTokens: 1, totalTokens: 2 },
    reason: 'toolCalls',
    raw: 'tool_calls',
    model: 'm',
  })
})

test('pieces of text come one by one, and the head of the answer first', async () => {
  const events = await decode(
    [
      chunk({ role: 'assistant', content: '' }),
      chunk({ content: 'a' }),
      chunk({ content: 'b' }),
      chunk({}, 'stop'),
      done,
    ],
    {
      ...eventStream,
      'x-request-id': 'req_1',
    },
  )
  assert.deepEqual(events, [
    { type: 'response', requestId: 'req_1', model: 'm' },
    { type: 'text-delta', text: 'a' },
    { type: 'text-delta', text: 'b' },
    { type: 'finish', reason: 'stop', raw: 'stop' },
  ])
})

// The same content, streamed and whole: the answers must be equal.
const contents: { name: string; message: Json; deltas: Json[]; finish: string; expected: Partial<Answer> }[] = [
  {
    name: 'text',
    message: { role: 'assistant', content: 'Hello é😀', refusal: null },
    deltas: [{ role: 'assistant', content: '' }, { content: 'Hello ' }, { content: 'é😀' }],
    finish: 'stop',
    expected: { text: 'Hello é😀', reason: 'stop' },
  },
  {
    name: 'two calls',
    message: {
      role: 'assistant',
      content: null,
      tool_calls: [
        { id: 'a', type: 'function', function: { name: 'f', arguments: '{"x":1}' } },
        { id: 'b', type: 'function', function: { name: 'g', arguments: '{"y":2}' } },
      ],
    },
    deltas: [
      { tool_calls: [{ index: 0, id: 'a', type: 'function', function: { name: 'f', arguments: '' } }] },
      { tool_calls: [{ index: 0, function: { arguments: '{"x"' } }] },
      { tool_calls: [{ index: 0, function: { arguments: ':1}' } }] },
      { tool_calls: [{ index: 1, id: 'b', type: 'function', function: { name: 'g', arguments: '{"y":2}' } }] },
    ],
    finish: 'tool_calls',
    expected: {
      calls: [
        { id: 'a', name: 'f', argumentsText: '{"x":1}' },
        { id: 'b', name: 'g', argumentsText: '{"y":2}' },
      ],
      reason: 'toolCalls',
    },
  },
  {
    name: 'words beside a call',
    message: {
      content: 'I look.',
      tool_calls: [{ id: 'a', type: 'function', function: { name: 'f', arguments: '{}' } }],
    },
    deltas: [{ content: 'I look.' }, { tool_calls: [{ index: 0, id: 'a', function: { name: 'f', arguments: '{}' } }] }],
    finish: 'tool_calls',
    expected: { text: 'I look.', calls: [{ id: 'a', name: 'f', argumentsText: '{}' }], reason: 'toolCalls' },
  },
  {
    name: 'a refusal',
    message: { content: null, refusal: 'I cannot.' },
    deltas: [{ refusal: 'I ' }, { refusal: 'cannot.' }],
    finish: 'stop',
    expected: { text: 'I cannot.', reason: 'refusal' },
  },
  {
    name: 'reasoning, as DeepSeek and llama-server spell it',
    message: { reasoning_content: 'Hm.', content: 'Yes' },
    deltas: [{ reasoning_content: 'H' }, { reasoning_content: 'm.' }, { content: 'Yes' }],
    finish: 'stop',
    expected: { text: 'Yes', reasoning: 'Hm.', reason: 'stop' },
  },
  {
    name: 'reasoning, as OpenRouter and Groq spell it',
    message: { reasoning: 'Hm.', content: 'Yes' },
    deltas: [{ reasoning: 'Hm.' }, { content: 'Yes', reasoning: null }],
    finish: 'stop',
    expected: { text: 'Yes', reasoning: 'Hm.' },
  },
  {
    name: 'typed parts, as Mistral sends them',
    message: {
      content: [
        { type: 'thinking', thinking: [{ type: 'text', text: 'Hm.' }] },
        { type: 'text', text: 'Yes' },
      ],
    },
    deltas: [
      { content: [{ type: 'thinking', thinking: [{ type: 'text', text: 'Hm.' }] }] },
      { content: [{ type: 'text', text: 'Yes' }] },
    ],
    finish: 'stop',
    expected: { text: 'Yes', reasoning: 'Hm.' },
  },
  {
    name: 'an answer that was cut at the limit',
    message: { content: 'Once upon' },
    deltas: [{ content: 'Once upon' }],
    finish: 'length',
    expected: { text: 'Once upon', reason: 'length' },
  },
  {
    name: 'a filtered answer without a message',
    message: {},
    deltas: [{}],
    finish: 'content_filter',
    expected: { text: '', reason: 'contentFilter' },
  },
  {
    name: 'the old function call',
    message: { content: null, function_call: { name: 'f', arguments: '{"x":1}' } },
    deltas: [{ function_call: { name: 'f', arguments: '{"x"' } }, { function_call: { arguments: ':1}' } }],
    finish: 'function_call',
    expected: { calls: [{ id: 'call_0', name: 'f', argumentsText: '{"x":1}' }], reason: 'toolCalls' },
  },
]

for (const { name, message, deltas, finish, expected } of contents) {
  test(`streamed and whole are the same: ${name}`, async () => {
    const whole = JSON.stringify({
      id: 'c1',
      object: 'chat.completion',
      created: 1,
      model: 'm',
      choices: [{ index: 0, message, finish_reason: finish }],
      usage,
    })
    const streamed = [
      ...deltas.map((delta) => chunk(delta)),
      chunk({}, finish),
      frame({ id: 'c1', model: 'm', choices: [], usage }),
      done,
    ]
    const fromWhole = await answer([whole], { 'content-type': 'application/json; charset=utf-8' })
    const fromStream = await answer(streamed)
    assert.deepEqual(fromStream, fromWhole)
    assert.deepEqual(fromStream, {
      text: '',
      reasoning: '',
      calls: [],
      usage: counted,
      raw: finish,
      model: 'm',
      ...{ reason: 'stop' },
      ...expected,
    })
  })
}

// Bugs that keep coming back, by the number under which the reference lists them.
const threeCalls = ['a', 'b', 'c'].map((id) => ({ id, name: `f_${id}`, argumentsText: `{"of":"${id}"}` }))

test('4: empty fragments of arguments change nothing', async () => {
  const stream = [
    call(0, { id: 'a', name: 'f', args: '' }),
    call(0, { args: '' }),
    call(0, { args: '{"x"' }),
    call(0, { args: '' }),
    call(0, {}),
    call(0, { args: null }),
    call(0, { args: ':1}' }),
    call(0, { args: '' }),
    chunk({}, 'tool_calls'),
    done,
  ]
  assert.deepEqual((await answer(stream)).calls, [{ id: 'a', name: 'f', argumentsText: '{"x":1}' }])
})

const parallel: [string, string[]][] = [
  [
    'each with its index',
    threeCalls.map(({ id, name, argumentsText }, at) => call(at, { id, name, args: argumentsText })),
  ],
  [
    'all in one chunk',
    [
      chunk({
        tool_calls: threeCalls.map(({ id, name, argumentsText }, index) => ({
          index,
          id,
          type: 'function',
          function: { name, arguments: argumentsText },
        })),
      }),
    ],
  ],
  [
    'without any index, each whole',
    threeCalls.map(({ id, name, argumentsText }) => call(undefined, { id, name, args: argumentsText })),
  ],
  [
    'without any index, in fragments behind their id',
    threeCalls.flatMap(({ id, name, argumentsText }) => [
      call(undefined, { id, name, args: '' }),
      call(undefined, { args: argumentsText.slice(0, 4) }),
      call(undefined, { args: argumentsText.slice(4) }),
    ]),
  ],
  [
    'all with index 0, each whole, as Ollama sent them',
    threeCalls.map(({ id, name, argumentsText }) => call(0, { id, name, args: argumentsText })),
  ],
  [
    'all with index 0, in fragments behind their id',
    threeCalls.flatMap(({ id, name, argumentsText }) => [
      call(0, { id, name, args: '' }),
      call(0, { args: argumentsText }),
    ]),
  ],
  [
    'with an id on every fragment',
    threeCalls.flatMap(({ id, name, argumentsText }, at) => [
      call(at, { id, name, args: argumentsText.slice(0, 4) }),
      call(at, { id, args: argumentsText.slice(4) }),
    ]),
  ],
  [
    'with another id on every fragment, of which only the first has the name',
    threeCalls.flatMap(({ id, name, argumentsText }, at) => [
      call(at, { id, name, args: argumentsText.slice(0, 4) }),
      call(at, { id: `${id}-2`, args: argumentsText.slice(4, 6) }),
      call(at, { id: `${id}-3`, args: argumentsText.slice(6) }),
    ]),
  ],
  [
    'with an empty id and name on later fragments',
    threeCalls.flatMap(({ id, name, argumentsText }, at) => [
      call(at, { id, name, args: argumentsText.slice(0, 4) }),
      call(at, { id: '', name: '', args: argumentsText.slice(4) }),
    ]),
  ],
]
for (const [name, stream] of parallel) {
  test(`5: three calls stay three, ${name}`, async () => {
    const { calls, reason } = await answer([...stream, chunk({}, 'tool_calls'), done])
    assert.deepEqual(calls, threeCalls)
    assert.equal(reason, 'toolCalls')
  })
}

for (const [how, index, id] of [
  ['neither index nor id', undefined, undefined],
  ['one index and no id', 0, undefined],
  ['one index and empty ids', 0, ''],
] as const) {
  test(`5: calls that are whole, with ${how}, stay apart`, async () => {
    const named = (name: string, args: string) => call(index, { ...(id === undefined ? {} : { id }), name, args })
    const stream = [named('f', '{"x":1}'), named('g', '{"y":2}'), named('g', '{}'), chunk({}, 'tool_calls'), done]
    assert.deepEqual(
      (await answer(stream)).calls.map(({ name, argumentsText }) => [name, argumentsText]),
      [
        ['f', '{"x":1}'],
        ['g', '{"y":2}'],
        ['g', '{}'],
      ],
    )
  })
}

test('5: fragments of one call that repeat its name without an id stay together', async () => {
  const stream = ['{"x"', ':{}', '}'].map((args) => call(0, { name: 'f', args }))
  const { calls } = await answer([...stream, chunk({}, 'tool_calls'), done])
  assert.deepEqual(
    calls.map(({ argumentsText }) => argumentsText),
    ['{"x":{}}'],
  )
})

test('6: fragments of calls that interleave in any order go to their own call', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(2), { maxLength: 40 }), async (order) => {
      const left = threeCalls.map(({ argumentsText }) => [...argumentsText])
      const fragments = order.flatMap((index) => {
        const piece = left[index]?.shift()
        return piece === undefined ? [] : [call(index, { args: piece })]
      })
      const rest = left.map((pieces, index) => call(index, { args: pieces.join('') }))
      const opened = threeCalls.map(({ id, name }, index) => call(index, { id, name, args: '' }))
      assert.deepEqual(
        (await answer([...opened, ...fragments, ...rest, chunk({}, 'tool_calls'), done])).calls,
        threeCalls,
      )
    }),
    { numRuns: 60 },
  )
})

test('6: an index is a place, whichever call begins first', async () => {
  const [a, b, c] = threeCalls.map(({ id, name, argumentsText }, at) => call(at, { id, name, args: argumentsText }))
  for (const order of [
    [b, a, c],
    [c, b, a],
    [b, c, a],
  ]) {
    const stream = [...order.filter((one) => one !== undefined), chunk({}, 'tool_calls'), done]
    assert.deepEqual((await answer(stream)).calls, threeCalls)
  }
})

for (const index of [-1, 1.5, '0', {}, '__proto__']) {
  test(`an impossible index of a call, ${JSON.stringify(index)}, is a fault`, async () => {
    const stream = [
      chunk({ tool_calls: [{ index, id: 'a', function: { name: 'f', arguments: '{}' } }] }),
      chunk({}, 'tool_calls'),
      done,
    ]
    assert.equal((await faultOf(decode(stream))).code, 'invalid_response')
  })
}

for (const index of [1024, 1e9]) {
  test(`a huge index of a call, ${index}, is a name for it or a fault, and costs no memory`, async () => {
    const stream = [call(index, { id: 'a', name: 'f', args: '{}' }), chunk({}, 'tool_calls'), done]
    const got = await answer(stream).then(
      ({ calls }) => calls,
      (error: unknown) => (error instanceof Fault ? error.code : error),
    )
    assert.deepEqual(got, got === 'invalid_response' ? got : [{ id: 'a', name: 'f', argumentsText: '{}' }])
  })
}

test('calls without end are a fault, even where all have one index', async () => {
  const many = Array.from({ length: 2000 }, (_, at) => call(0, { id: `c${at}`, name: 'f', args: '' }))
  assert.equal((await faultOf(decode([...many, chunk({}, 'tool_calls'), done]))).code, 'invalid_response')
})

test('arguments that come as an object are text all the same', async () => {
  const { calls } = await answer([call(0, { id: 'a', name: 'f', args: { x: 1 } }), chunk({}, 'tool_calls'), done])
  assert.deepEqual(calls, [{ id: 'a', name: 'f', argumentsText: '{"x":1}' }])
})

test('a call of a custom tool has a text in place of arguments', async () => {
  const custom = { index: 0, id: 'a', type: 'custom', custom: { name: 'sql', input: 'SELECT ' } }
  const more = { index: 0, custom: { input: '1' } }
  const stream = [chunk({ tool_calls: [custom] }), chunk({ tool_calls: [more] }), chunk({}, 'tool_calls'), done]
  assert.deepEqual((await answer(stream)).calls, [{ id: 'a', name: 'sql', argumentsText: 'SELECT 1' }])
})

test('names of members that objects inherit are only names', async () => {
  const { calls, reason } = await answer([
    call(0, { id: '__proto__', name: 'constructor', args: '{"__proto__":1}' }),
    chunk({}, 'toString'),
    done,
  ])
  assert.deepEqual(calls, [{ id: '__proto__', name: 'constructor', argumentsText: '{"__proto__":1}' }])
  assert.equal(reason, 'other')
})

const stream = [
  chunk({ role: 'assistant', content: '' }),
  chunk({ content: 'He' }),
  chunk({ content: 'llo' }),
  chunk({}, 'stop'),
  done,
]

test('13: a stream that is cut at any byte is truncated, unless its end was already told', async () => {
  const whole = Buffer.from(stream.join(''))
  const told = Buffer.from(stream.slice(0, 4).join('')).length
  for (let length = 1; length < whole.length; length++) {
    const pieces = [whole.subarray(0, length)]
    if (length < told) {
      assert.deepEqual(
        await faultOf(decode(pieces)),
        { code: 'truncated', cause: 'no_end_marker', retryable: true },
        `at ${length}`,
      )
    } else {
      assert.equal((await answer(pieces)).text, 'Hello', `at ${length}`)
    }
  }
})

test('13: what came before the cut has been delivered', async () => {
  assert.ok(openai.chat)
  const texts: string[] = []
  await assert.rejects(async () => {
    assert.ok(openai.chat)
    for await (const event of eventsIn(openai.chat.decode(respond(stream.slice(0, 3)), ask)))
      if (event.type === 'text-delta') texts.push(event.text)
  }, Fault)
  assert.equal(texts.join(''), 'Hello')
})

test('13: [DONE] without a finish reason is an end, and so is a finish reason without [DONE]', async () => {
  assert.deepEqual(await answer([chunk({ content: 'a' }), done]).then(({ text, reason, raw }) => [text, reason, raw]), [
    'a',
    'stop',
    undefined,
  ])
  assert.deepEqual(
    await answer([chunk({ content: 'a' }), chunk({}, 'stop')]).then(({ text, reason }) => [text, reason]),
    ['a', 'stop'],
  )
})

test('what comes behind [DONE] is not read', async () => {
  assert.equal((await answer([...stream, 'data: {broken\n\n', Buffer.from([0xff])])).text, 'Hello')
})

for (const [name, pieces] of [
  ['nothing but [DONE]', [done]],
  ['an empty body', []],
  ['only comments', [': PROCESSING\n\n']],
] as const) {
  test(`${name} is no answer`, async () => {
    const { code, retryable } = await faultOf(decode(pieces))
    assert.ok(code === 'truncated' || code === 'invalid_response', code)
    assert.equal(retryable, true)
  })
}

test("14: Azure's first chunk, without choices and with empty names", async () => {
  const first = frame({
    id: '',
    object: '',
    created: 0,
    model: '',
    choices: [],
    prompt_filter_results: [{ prompt_index: 0 }],
  })
  const late = frame({
    id: 'c1',
    model: 'gpt-4o',
    choices: [{ index: 0, finish_reason: null, content_filter_offsets: {} }],
  })
  const named = (delta: Json, finish: string | null = null) => chunk(delta, finish, { model: 'gpt-4o-2024-11-20' })
  assert.deepEqual(await answer([first, named({ content: 'a' }), late, named({}, 'stop'), done]), {
    text: 'a',
    reasoning: '',
    calls: [],
    usage: undefined,
    reason: 'stop',
    raw: 'stop',
    model: 'gpt-4o-2024-11-20',
  })
})

const usages: [string, string[]][] = [
  [
    'in a chunk of its own with empty choices',
    [chunk({ content: 'a' }), chunk({}, 'stop'), frame({ choices: [], usage }), done],
  ],
  ['in a chunk of its own without choices', [chunk({ content: 'a' }), chunk({}, 'stop'), frame({ usage }), done]],
  ['with the finish', [chunk({ content: 'a' }), chunk({}, 'stop', { usage }), done]],
  ['twice', [chunk({ content: 'a' }), chunk({}, 'stop', { usage }), frame({ choices: [], usage }), done]],
  [
    'null before, whole at the end',
    [
      chunk({ content: 'a' }, null, { usage: null }),
      chunk({}, 'stop', { usage: null }),
      frame({ choices: [], usage }),
      done,
    ],
  ],
  [
    'growing',
    [
      chunk({ content: 'a' }, null, { usage: { ...usage, completion_tokens: 1, total_tokens: 2 } }),
      chunk({}, 'stop', { usage }),
      done,
    ],
  ],
  [
    'as Moonshot sends it',
    [
      chunk({ content: 'a' }),
      frame({ id: 'c1', model: 'm', choices: [{ index: 0, delta: {}, finish_reason: 'stop', usage }] }),
      done,
    ],
  ],
  ['as Groq sends it', [chunk({ content: 'a' }), chunk({}, 'stop', { x_groq: { id: 'r', usage } }), done]],
]
for (const [name, pieces] of usages) {
  test(`15: usage ${name} is counted once`, async () => {
    const events = await decode(pieces)
    assert.deepEqual(
      events.filter(({ type }) => type === 'usage'),
      [{ type: 'usage', usage: counted }],
    )
    assert.equal(answerOf(events).text, 'a')
  })
}

const details: [Json, Json][] = [
  [
    { ...usage, prompt_tokens_details: { cached_tokens: 1 }, completion_tokens_details: { reasoning_tokens: 2 } },
    { ...counted, cachedPromptTokens: 1, reasoningTokens: 2 },
  ],
  [
    { ...usage, prompt_cache_hit_tokens: 1 },
    { ...counted, cachedPromptTokens: 1 },
  ],
  [
    { ...usage, cached_tokens: 1 },
    { ...counted, cachedPromptTokens: 1 },
  ],
  [{ prompt_tokens: 1, completion_tokens: 2 }, counted],
  [{ ...usage, prompt_tokens_details: null, completion_tokens_details: { reasoning_tokens: null } }, counted],
  [
    { prompt_tokens: '1', completion_tokens: -2, total_tokens: 3 },
    { promptTokens: 0, completionTokens: 0, totalTokens: 3 },
  ],
]
for (const [given, expected] of details) {
  test(`usage ${JSON.stringify(given)}`, async () => {
    assert.deepEqual(
      (await answer([chunk({ content: 'a' }), chunk({}, 'stop', { usage: given }), done])).usage,
      expected,
    )
  })
}

const reasons: [string, string][] = [
  ['stop', 'stop'],
  ['eos', 'stop'],
  ['length', 'length'],
  ['model_length', 'length'],
  ['tool_calls', 'toolCalls'],
  ['function_call', 'toolCalls'],
  ['content_filter', 'contentFilter'],
  ['pause_turn', 'other'],
  ['model_context_window_exceeded', 'other'],
  ['error', 'other'],
  ['something new', 'other'],
  ['__proto__', 'other'],
]
for (const [raw, reason] of reasons) {
  test(`19: the finish reason ${raw} is ${reason}, and never silently stop`, async () => {
    const got = await answer([chunk({ content: 'a' }), chunk({}, raw), done])
    assert.deepEqual([got.reason, got.raw], [reason, raw])
  })
}

test('an empty finish reason says nothing: neither that the answer is complete nor why', async () => {
  const unfinished = chunk({ content: 'a' }, '')
  assert.equal((await faultOf(decode([unfinished]))).code, 'truncated')
  const { text, reason, raw } = await answer([unfinished, chunk({}, 'length'), chunk({}, ''), done])
  assert.deepEqual([text, reason, raw], ['a', 'length', 'length'])
})

test('19: a relayed refusal is not stop', async () => {
  assert.notEqual((await answer([chunk({ content: 'a' }), chunk({}, 'refusal'), done])).reason, 'stop')
})

test('7: stop behind tool calls means the calls', async () => {
  assert.equal(
    (await answer([call(0, { id: 'a', name: 'f', args: '{}' }), chunk({}, 'stop'), done])).reason,
    'toolCalls',
  )
})

test('27: comments and keep-alives are passed over', async () => {
  for (const nothing of [': OPENROUTER PROCESSING\n\n', 'data: \n\n', 'data\n\n']) {
    assert.equal((await answer(stream.flatMap((piece) => [nothing, piece]))).text, 'Hello')
  }
})

const failing: [string, string, string, boolean][] = [
  [
    'a chunk that holds an error',
    frame({ error: { message: 'Overloaded', type: 'overloaded_error' } }),
    'overloaded',
    true,
  ],
  [
    'a chunk that holds an error beside choices',
    frame({
      id: 'c1',
      model: 'm',
      error: { code: 502, message: 'Provider disconnected' },
      choices: [{ index: 0, delta: { content: '' }, finish_reason: 'error' }],
    }),
    'provider_error',
    true,
  ],
  [
    'a choice that holds an error',
    frame({
      id: 'c1',
      model: 'm',
      choices: [
        {
          index: 0,
          delta: {},
          finish_reason: 'error',
          error: { code: 429, message: 'slow', type: 'rate_limit_error' },
        },
      ],
    }),
    'rate_limited',
    true,
  ],
  [
    'an event named error',
    `event: error\n${frame({ message: 'bad', type: 'invalid_request_error' })}`,
    'invalid_request',
    false,
  ],
  [
    'a chunk that is an error',
    frame({ object: 'error', message: 'too long', type: 'invalid_request_error', param: null, code: 400 }),
    'invalid_request',
    false,
  ],
  ['an error that is only words', frame({ error: 'something broke' }), 'provider_error', true],
  ['a rate limit', frame({ error: { message: 'slow down', type: 'rate_limit_error' } }), 'rate_limited', true],
  [
    'no quota',
    frame({ error: { message: 'pay', code: 'insufficient_quota', type: 'rate_limit_error' } }),
    'quota',
    false,
  ],
]
for (const [name, piece, code, retryable] of failing) {
  for (const before of [0, 1, 3]) {
    test(`27: ${name} after ${before} chunks fails the answer`, async () => {
      const fault = await faultOf(decode([...stream.slice(0, before), piece, ...stream.slice(before)]))
      assert.deepEqual(fault, { code, cause: 'stream_error', retryable })
    })
  }
}

for (const [name, piece, cause] of [
  ['a chunk that is no JSON', 'data: {"a":\n\n', 'bad_json'],
  ['a chunk that is no object', 'data: [1]\n\n', 'bad_json'],
  ['a chunk with broken UTF-8', Buffer.from([0x64, 0x61, 0x74, 0x61, 0x3a, 0xff, 0x0a, 0x0a]), 'bad_encoding'],
] as const) {
  test(`${name} fails the answer, and is not quoted`, async () => {
    await assert.rejects(decode([...stream.slice(0, 2), piece]), (error) => {
      assert.ok(error instanceof Fault)
      assert.deepEqual([error.code, error.detail.cause], ['invalid_response', cause])
      assert.doesNotMatch(error.message, /\{|\[1/)
      return true
    })
  })
}

test('a web page in place of an answer', async () => {
  assert.deepEqual(await faultOf(decode(['<html>Sign in</html>'], { 'content-type': 'text/html' })), {
    code: 'invalid_response',
    cause: 'bad_content_type',
    retryable: undefined,
  })
})

const bodies: [string, string, { code: string; cause: string | undefined }][] = [
  [
    'an error with status 200',
    '{"error":{"message":"no","type":"server_error"}}',
    { code: 'provider_error', cause: 'stream_error' },
  ],
  ['an empty body', '', { code: 'invalid_response', cause: 'empty' }],
  ['half a body', '{"choices":[{"mess', { code: 'invalid_response', cause: 'bad_json' }],
  ['an array', '[]', { code: 'invalid_response', cause: 'bad_json' }],
  ['a page that calls itself JSON', '<html></html>', { code: 'invalid_response', cause: 'bad_content_type' }],
]
for (const [name, body, expected] of bodies) {
  test(`whole, not streamed: ${name}`, async () => {
    const { code, cause } = await faultOf(decode([body], { 'content-type': 'application/json' }))
    assert.deepEqual({ code, cause }, expected)
  })
}

test('further choices have no place in the result, and that is told', async () => {
  const second = frame({ choices: [{ index: 1, delta: { content: 'no' }, finish_reason: null }] })
  const failed = frame({ choices: [{ index: 1, delta: {}, finish_reason: 'error', error: { message: 'no' } }] })
  const events = await decode([...stream.slice(0, 2), second, second, failed, ...stream.slice(2)])
  assert.equal(answerOf(events).text, 'Hello')
  assert.equal(events.filter(({ type }) => type === 'warning').length, 1)
})

test('the legacy completion, streamed and whole', async () => {
  const { text } = openai
  assert.ok(text)
  const gather = async (response: HttpResponse) => {
    const events: Event[] = []
    for await (const event of eventsIn(text.decode(response, { kind: 'text', prompt: '' }))) events.push(event)
    return answerOf(events)
  }
  const piece = (words: string, finish: string | null) =>
    frame({ object: 'text_completion', model: 'm', choices: [{ index: 0, text: words, finish_reason: finish }] })
  const streamed = await gather(
    respond([piece('He', null), piece('llo', 'length'), frame({ choices: [], usage }), done]),
  )
  const whole = await gather(
    respond(
      [
        JSON.stringify({
          object: 'text_completion',
          model: 'm',
          choices: [{ index: 0, text: 'Hello', finish_reason: 'length' }],
          usage,
        }),
      ],
      {
        'content-type': 'application/json',
      },
    ),
  )
  assert.deepEqual(streamed, whole)
  assert.deepEqual([whole.text, whole.reason], ['Hello', 'length'])
})

async function embeddings(body: unknown, input: string[], encoding: 'float' | 'base64'): Promise<Event[]> {
  const { embed } = openai
  assert.ok(embed)
  const events: Event[] = []
  const response = respond([JSON.stringify(body)], { 'content-type': 'application/json' })
  for await (const event of eventsIn(embed.decode(response, { kind: 'embed', input, encoding }))) events.push(event)
  return events
}

// 0.5 and -1 as little-endian 32-bit floats.
const base64 = 'AAAAPwAAgL8='

for (const [encoding, given] of [
  ['float', [0.5, -1]],
  ['float', base64],
  ['base64', base64],
  ['base64', [0.5, -1]],
] as const) {
  test(`embeddings asked for as ${encoding}, come as ${typeof given === 'string' ? 'base64' : 'float'}`, async () => {
    const data = [1, 0].map((index) => ({ object: 'embedding', index, embedding: given }))
    const events = await embeddings(
      { object: 'list', model: 'e', data, usage: { prompt_tokens: 4, total_tokens: 4 } },
      ['a', 'b'],
      encoding,
    )
    const embedding = encoding === 'float' ? [0.5, -1] : base64
    assert.deepEqual(events, [
      { type: 'response', requestId: undefined, model: 'e' },
      { type: 'embedding', index: 1, embedding },
      { type: 'embedding', index: 0, embedding },
      { type: 'usage', usage: { promptTokens: 4, completionTokens: 0, totalTokens: 4 } },
    ])
  })
}

for (const [name, body] of [
  ['too few', { data: [] }],
  ['too many', { data: [{ embedding: [1] }, { embedding: [1] }] }],
  ['none', {}],
  ['words', { data: [{ embedding: ['a'] }] }],
  ['an error', { error: { message: 'no', type: 'server_error' } }],
] as const) {
  test(`embeddings: ${name} is a fault`, async () => {
    await assert.rejects(embeddings(body, ['a'], 'float'), Fault)
  })
}

const lists: [string, unknown, unknown[]][] = [
  [
    'OpenAI',
    { object: 'list', data: [{ id: 'a', object: 'model', created: 7, owned_by: 'me' }] },
    [{ name: 'a', created: 7, ownedBy: 'me' }],
  ],
  ['OpenRouter', { data: [{ id: 'a/b', context_length: 9 }] }, [{ name: 'a/b', contextWindow: 9 }]],
  ['vLLM', { data: [{ id: 'a', max_model_len: 9 }] }, [{ name: 'a', contextWindow: 9 }]],
  [
    'llama-server',
    { models: [{ name: 'x' }], data: [{ id: 'a', meta: { n_ctx: 9 } }] },
    [{ name: 'a', contextWindow: 9 }],
  ],
  ['a bare list', [{ id: 'a' }, { id: 7 }, null, 'b', {}], [{ name: 'a' }]],
  ['an empty list', { data: [] }, []],
]
for (const [name, body, expected] of lists) {
  test(`the models of ${name}`, async () => {
    const { models } = openai
    assert.ok(models)
    const listed: unknown[] = []
    for await (const event of eventsIn(
      models.decode(respond([JSON.stringify(body)], {}), { kind: 'models', provider: 'p' }),
    )) {
      if (event.type === 'model') listed.push(event.model)
    }
    assert.deepEqual(listed, expected)
  })
}

test('a list of models that is none is a fault', async () => {
  for (const body of ['{}', '"a"', '{"data":{}}', '{"error":{"message":"no"}}']) {
    await assert.rejects(async () => {
      assert.ok(openai.models)
      for await (const _ of openai.models.decode(respond([body], {}), { kind: 'models', provider: 'p' }));
    }, Fault)
  }
})

const recordings = new URL('../../../shared/recordings/llama-server-openai/', import.meta.url)

test('22: recorded streams give the same answer byte by byte and cut in two at every place', async (t) => {
  if (!existsSync(recordings)) return t.diagnostic('skipped: ../shared/recordings is not here')
  let played = 0
  for (const name of globSync('chat*.json', { cwd: recordings })) {
    const { response } = JSON.parse(readFileSync(new URL(name, recordings), 'utf8')) as {
      response: { headers: Record<string, string>; chunks?: ({ text: string } | { base64: string })[] }
    }
    if (!response.chunks) continue
    const pieces = response.chunks.map((piece) =>
      'text' in piece ? Buffer.from(piece.text) : Buffer.from(piece.base64, 'base64'),
    )
    const whole = Buffer.concat(pieces)
    const expected = await answer(pieces, response.headers)
    assert.ok(expected.reason !== '', name)
    assert.deepEqual(
      await answer(
        Array.from(whole, (_, at) => whole.subarray(at, at + 1)),
        response.headers,
      ),
      expected,
      name,
    )
    for (let at = 0; at <= whole.length; at += Math.max(1, Math.floor(whole.length / 100))) {
      assert.deepEqual(
        await answer([whole.subarray(0, at), whole.subarray(at)], response.headers),
        expected,
        `${name} at ${at}`,
      )
    }
    played += 1
  }
  assert.ok(played >= 5)
})

test('22: any text, cut anywhere, arrives as it was', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.string({ unit: 'grapheme', maxLength: 8 }), { maxLength: 5 }),
      fc.nat(2000),
      async (pieces, at) => {
        const whole = Buffer.from([...pieces.map((content) => chunk({ content })), chunk({}, 'stop'), done].join(''))
        const got = await answer([whole.subarray(0, at), whole.subarray(at)])
        assert.equal(got.text, pieces.join(''))
      },
    ),
    { numRuns: 100 },
  )
})
