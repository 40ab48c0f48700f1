import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import { Fault } from '../../src/errors.ts'
import type { ChatAsk, Event } from '../../src/gateway.ts'
import type { HttpResponse } from '../../src/http/message.ts'
import type { Target } from '../../src/provider.ts'
import { needsResponses, responses } from '../../src/providers/openai-responses.ts'
import { eventsIn, joined } from '../harness/events.ts'

/** OpenAI's /responses: what is sent for an ask, and what its events mean, however the bytes are cut. */

type Json = Record<string, unknown>

const shared = (path: string) => new URL(`../../../shared/${path}`, import.meta.url)
const target: Target = { provider: 'openai', model: 'gpt-5-pro', baseUrl: 'https://api.openai.com/v1', headers: {} }
const hello: ChatAsk = { kind: 'chat', messages: [{ role: 'user', content: [{ type: 'text', text: 'Say hello' }] }] }

/** The body as it goes over the wire. */
function sent(ask: ChatAsk, model = 'gpt-5-pro') {
  const { method, url, json, warnings, slowStart } = responses.encode(ask, { ...target, model })
  return { method, url, json: JSON.parse(JSON.stringify(json)) as Json, warnings, slowStart }
}

const weather = {
  name: 'get_weather',
  description: 'The weather of a place',
  inputSchema: { type: 'object', properties: { place: { type: 'string' } }, required: ['place'] },
}
const pixel = 'iVBORw0KGgo='
const base = { model: 'gpt-5-pro', store: false, stream: true }

const requests: { name: string; ask: ChatAsk; model?: string; json: Json; warnings?: string[] }[] = [
  {
    name: 'a question',
    ask: hello,
    json: { ...base, input: [{ role: 'user', content: 'Say hello' }] },
  },
  {
    name: 'instructions that stand first have their own field, later ones their place',
    ask: {
      kind: 'chat',
      messages: [
        { role: 'system', content: [{ type: 'text', text: 'Be brief.' }] },
        { role: 'developer', content: [{ type: 'text', text: 'In French.' }] },
        { role: 'user', content: [{ type: 'text', text: 'Hi' }] },
        { role: 'assistant', content: [{ type: 'text', text: 'Salut' }] },
        { role: 'system', content: [{ type: 'text', text: 'Now in German.' }] },
        { role: 'user', content: [{ type: 'text', text: 'Again' }] },
      ],
    },
    json: {
      ...base,
      instructions: 'Be brief.\n\nIn French.',
      input: [
        { role: 'user', content: 'Hi' },
        { role: 'assistant', content: 'Salut' },
        { role: 'system', content: 'Now in German.' },
        { role: 'user', content: 'Again' },
      ],
    },
  },
  {
    name: 'instructions alone are the input',
    ask: { kind: 'chat', messages: [{ role: 'system', content: [{ type: 'text', text: 'Say hello.' }] }] },
    json: { ...base, input: [{ role: 'system', content: 'Say hello.' }] },
  },
  {
    name: 'an image, its address, a file, and audio',
    ask: {
      kind: 'chat',
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'What is this?' },
            { type: 'image', data: pixel, mimeType: 'image/png' },
            { type: 'image-url', url: 'https://example.com/a.png' },
            { type: 'file', data: 'JVBERg==', mimeType: 'application/pdf', name: 'a.pdf' },
            { type: 'audio', data: 'UklGRg==', mimeType: 'audio/wav' },
          ],
        },
      ],
    },
    json: {
      ...base,
      input: [
        {
          role: 'user',
          content: [
            { type: 'input_text', text: 'What is this?' },
            { type: 'input_image', image_url: 'data:image/png;base64,iVBORw0KGgo=', detail: 'auto' },
            { type: 'input_image', image_url: 'https://example.com/a.png', detail: 'auto' },
            { type: 'input_file', filename: 'a.pdf', file_data: 'data:application/pdf;base64,JVBERg==' },
          ],
        },
      ],
    },
    warnings: ['audio was left out: this endpoint takes none'],
  },
  {
    name: 'a loop of tools: thought, words, two calls, their results in one turn',
    ask: {
      kind: 'chat',
      tools: [weather],
      messages: [
        { role: 'user', content: [{ type: 'text', text: 'Paris or Rome?' }] },
        {
          role: 'assistant',
          content: [
            {
              type: 'reasoning',
              block: { type: 'reasoning', id: 'rs_1', summary: [], encrypted_content: 'sealed', status: null },
            },
            { type: 'reasoning', block: { type: 'thinking', thinking: 'elsewhere', signature: 's' } },
            { type: 'text', text: 'I will ' },
            { type: 'text', text: 'look.' },
            { type: 'tool-use', id: 'call_1', name: 'get_weather', arguments: { place: 'Paris' } },
            { type: 'tool-use', id: '', name: 'get_weather', arguments: {} },
          ],
        },
        {
          role: 'user',
          content: [
            { type: 'text', text: 'Go on.' },
            { type: 'tool-result', id: 'call_1', content: [{ type: 'text', text: '18 °C' }], isError: false },
            { type: 'tool-result', id: '', content: [{ type: 'text', text: 'no such place' }], isError: true },
          ],
        },
      ],
    },
    json: {
      ...base,
      input: [
        { role: 'user', content: 'Paris or Rome?' },
        { type: 'reasoning', id: 'rs_1', summary: [], encrypted_content: 'sealed' },
        { role: 'assistant', content: 'I will look.' },
        { type: 'function_call', call_id: 'call_1', name: 'get_weather', arguments: '{"place":"Paris"}' },
        { type: 'function_call', call_id: '_', name: 'get_weather', arguments: '{}' },
        { type: 'function_call_output', call_id: 'call_1', output: '18 °C' },
        { type: 'function_call_output', call_id: '_', output: 'Error: no such place' },
        { role: 'user', content: 'Go on.' },
      ],
      include: ['reasoning.encrypted_content'],
      tools: [
        {
          type: 'function',
          name: 'get_weather',
          description: 'The weather of a place',
          parameters: { type: 'object', properties: { place: { type: 'string' } }, required: ['place'] },
          strict: false,
        },
      ],
    },
    warnings: ['thoughts of an earlier turn were left out: this kind of provider cannot take them back'],
  },
  {
    name: 'a picture in a result stays there; an id that is too long keeps its end',
    ask: {
      kind: 'chat',
      messages: [
        {
          role: 'assistant',
          content: [{ type: 'tool-use', id: `x${'a'.repeat(64)}`, name: 'look', arguments: {} }],
        },
        {
          role: 'tool',
          content: [
            {
              type: 'tool-result',
              id: `x${'a'.repeat(64)}`,
              content: [{ type: 'image', data: pixel, mimeType: 'image/png' }],
              isError: true,
            },
          ],
        },
      ],
    },
    json: {
      ...base,
      input: [
        { type: 'function_call', call_id: 'a'.repeat(64), name: 'look', arguments: '{}' },
        {
          type: 'function_call_output',
          call_id: 'a'.repeat(64),
          output: [
            { type: 'input_text', text: 'Error: ' },
            { type: 'input_image', image_url: 'data:image/png;base64,iVBORw0KGgo=', detail: 'auto' },
          ],
        },
      ],
    },
  },
  {
    name: 'what has no place is left out and told',
    ask: {
      kind: 'chat',
      messages: [
        {
          role: 'user',
          content: [
            { type: 'image-url', url: 'https://example.com/a.png' },
            { type: 'tool-use', id: 'c', name: 'f', arguments: {} },
          ],
        },
        { role: 'assistant', content: [{ type: 'image', data: pixel, mimeType: 'image/png' }] },
        { role: 'assistant', content: [{ type: 'text', text: '' }] },
      ],
    },
    json: {
      ...base,
      input: [
        {
          role: 'user',
          content: [{ type: 'input_image', image_url: 'https://example.com/a.png', detail: 'auto' }],
        },
      ],
    },
    warnings: [
      'a tool_use block has no place in this role and was left out',
      'content of type image has no place in the assistant’s turn and was left out',
    ],
  },
  {
    name: 'a schema, an effort, a forced tool; options have the last word',
    ask: {
      ...hello,
      responseSchema: { type: 'object', properties: { a: { type: 'number', minimum: 1 } } },
      reasoningEffort: 'high',
      tools: [weather],
      toolChoice: 'get_weather',
      options: { store: true, metadata: { a: 'b' } },
    },
    json: {
      ...base,
      store: true,
      metadata: { a: 'b' },
      input: [{ role: 'user', content: 'Say hello' }],
      reasoning: { effort: 'high', summary: 'auto' },
      include: ['reasoning.encrypted_content'],
      text: {
        format: {
          type: 'json_schema',
          name: 'response',
          schema: { type: 'object', properties: { a: { type: 'number', minimum: 1 } } },
          strict: false,
        },
      },
      tools: [
        {
          type: 'function',
          name: 'get_weather',
          description: 'The weather of a place',
          parameters: { type: 'object', properties: { place: { type: 'string' } }, required: ['place'] },
          strict: false,
        },
      ],
      tool_choice: { type: 'function', name: 'get_weather' },
    },
  },
  {
    name: 'a reasoning model samples in its own way',
    ask: { ...hello, maxTokens: 5, temperature: 0.5, topP: 0.9, stop: ['x'], seed: 7 },
    json: {
      ...base,
      input: [{ role: 'user', content: 'Say hello' }],
      max_output_tokens: 16,
    },
    warnings: [
      'temperature was left out: gpt-5-pro refuses it while it reasons',
      'topP was left out: gpt-5-pro refuses it while it reasons',
      'stop was left out: the endpoint of gpt-5-pro has none',
      'seed was left out: the endpoint of gpt-5-pro has none',
      'maxTokens was raised to 16, the least that gpt-5-pro takes',
    ],
  },
  {
    name: 'an ordinary model samples; effort none asks for no summary',
    model: 'gpt-5.1',
    ask: { ...hello, maxTokens: 16, temperature: 0.5, topP: 0.9, reasoningEffort: 'none', tools: [weather] },
    json: {
      ...base,
      model: 'gpt-5.1',
      input: [{ role: 'user', content: 'Say hello' }],
      max_output_tokens: 16,
      temperature: 0.5,
      top_p: 0.9,
      reasoning: { effort: 'none' },
      tools: [
        {
          type: 'function',
          name: 'get_weather',
          description: 'The weather of a place',
          parameters: { type: 'object', properties: { place: { type: 'string' } }, required: ['place'] },
          strict: false,
        },
      ],
    },
  },
]

const schemaFile = shared('schemas/openai-openapi.json')

/** The published schema, with what OpenAPI 3.0 left in it folded into the types. */
function requestSchema(): ValidateFunction {
  const fold = (value: unknown, name?: string): unknown => {
    if (Array.isArray(value)) return value.map((item) => fold(item))
    if (typeof value !== 'object' || value === null) return value
    const { nullable, ...rest } = value as Json
    const folded = Object.fromEntries(Object.entries(rest).map(([key, inner]) => [key, fold(inner, key)]))
    if (nullable === true && typeof folded['type'] === 'string') folded['type'] = [folded['type'], 'null']
    // A message with a list of parts is two of these at once, word for word.
    if (name === 'InputItem') {
      folded['anyOf'] = folded['oneOf']
      delete folded['oneOf']
    }
    return folded
  }
  const document = fold(JSON.parse(readFileSync(schemaFile, 'utf8'))) as Json
  const ajv = new Ajv2020({ strict: false, validateFormats: false })
  ajv.addSchema(document, 'openai.json')
  return ajv.compile({ $ref: 'openai.json#/components/schemas/CreateResponse' })
}

let validate: ValidateFunction | undefined

for (const { name, ask, model, json, warnings = [] } of requests) {
  test(`request: ${name}`, () => {
    const request = sent(ask, model)
    assert.equal(request.method, 'POST')
    assert.equal(request.url, 'https://api.openai.com/v1/responses')
    assert.deepEqual(request.json, json)
    assert.deepEqual(request.warnings, warnings)
  })

  test(`schema: ${name}`, { skip: !existsSync(schemaFile) && 'no ../shared/schemas here' }, () => {
    validate ??= requestSchema()
    assert.ok(validate(sent(ask, model).json), JSON.stringify(validate.errors))
  })
}

test('a choice among no tools is left out, and told', () => {
  assert.equal(sent({ ...hello, tools: [weather], toolChoice: 'required' }).json['tool_choice'], 'required')
  for (const tools of [undefined, []]) {
    const { json, warnings } = sent({ ...hello, tools, toolChoice: 'required' })
    assert.equal(json['tool_choice'], undefined)
    assert.deepEqual(warnings, ['toolChoice was left out: there are no tools to choose from'])
  }
})

test('a model that reasons may be slow to begin', () => {
  assert.equal(sent(hello).slowStart, true)
  assert.equal(sent(hello, 'codex-mini-latest').slowStart, true)
  assert.equal(sent(hello, 'gpt-4o').slowStart, false)
})

test('a tool whose name the endpoint would refuse', () => {
  assert.throws(() => sent({ ...hello, tools: [{ name: 'a.b', inputSchema: {} }] }), { code: 'invalid_request' })
})

const withoutChat = [
  'gpt-5-pro',
  'gpt-5-pro-2025-10-06',
  'gpt-5.2-pro',
  'gpt-5.4-pro',
  'gpt-5.5-pro-2026-04-23',
  'gpt-5-codex',
  'gpt-5.1-codex-max',
  'gpt-5.1-codex-mini',
  'gpt-5.3-codex',
  'GPT-5-Codex',
  'o1-pro',
  'o1-pro-2025-03-19',
  'o3-pro',
  'codex-mini-latest',
  'o3-deep-research',
  'o4-mini-deep-research-2025-06-26',
  'gpt-4o-deep-research',
  'computer-use-preview',
  'gpt-5.6-cyber',
]
const withChat = [
  'gpt-5',
  'gpt-5-mini',
  'gpt-5.5',
  'gpt-5-prose',
  'gpt-4o',
  'o1',
  'o3',
  'o1-preview',
  'o4-mini',
  'openai/gpt-5-codex',
  'sonar-deep-research',
  'codex',
  'gemini-2.5-pro',
  '',
]

test('models that have no chat endpoint', () => {
  assert.deepEqual(
    withoutChat.filter((model) => !needsResponses(model)),
    [],
  )
  assert.deepEqual(withChat.filter(needsResponses), [])
})

function response(chunks: readonly Uint8Array[], type = 'text/event-stream'): HttpResponse {
  return {
    status: 200,
    headers: { 'content-type': type, 'x-request-id': 'req_1' },
    body: (async function* () {
      yield* chunks
    })(),
  }
}

async function eventsOf(answer: HttpResponse): Promise<Event[]> {
  const events: Event[] = []
  for await (const event of eventsIn(responses.decode(answer, hello))) events.push(event)
  return events
}

const bytes = (text: string) => Buffer.from(text, 'utf8')
const named = (type: string, data: Json) => `event: ${type}\ndata: ${JSON.stringify({ type, ...data })}\n\n`

/** A stream as the server numbers it. */
function stream(events: readonly [string, Json][]): string {
  return events.map(([type, data], number) => named(type, { ...data, sequence_number: number })).join('')
}

const usage = {
  input_tokens: 30,
  input_tokens_details: { cached_tokens: 20, cache_write_tokens: 0 },
  output_tokens: 12,
  output_tokens_details: { reasoning_tokens: 8 },
  total_tokens: 42,
}
const counted: Event = {
  type: 'usage',
  usage: { promptTokens: 30, completionTokens: 12, totalTokens: 42, cachedPromptTokens: 20, reasoningTokens: 8 },
}
const begun = { id: 'resp_1', object: 'response', status: 'in_progress', model: 'gpt-5-pro', error: null, output: [] }
const thoughtItem = {
  type: 'reasoning',
  id: 'rs_1',
  summary: [
    { type: 'summary_text', text: '**Look**' },
    { type: 'summary_text', text: '**Ask**' },
  ],
  encrypted_content: 'sealed',
}
const messageItem = {
  type: 'message',
  id: 'msg_1',
  role: 'assistant',
  status: 'completed',
  content: [{ type: 'output_text', text: 'Wait… 😀', annotations: [] }],
}
const callItems = ['Paris', 'Rome'].map((place, at) => ({
  type: 'function_call',
  id: `fc_${at}`,
  call_id: `call_${at}`,
  name: 'get_weather',
  arguments: JSON.stringify({ place }),
  status: 'completed',
}))
const whole = {
  ...begun,
  status: 'completed',
  incomplete_details: null,
  output: [thoughtItem, messageItem, ...callItems],
  usage,
}
const announced: Event = { type: 'response', requestId: 'req_1', model: 'gpt-5-pro' }

const loop: [string, Json][] = [
  ['response.created', { response: begun }],
  ['response.in_progress', { response: begun }],
  ['response.output_item.added', { output_index: 0, item: { type: 'reasoning', id: 'rs_1', summary: [] } }],
  ['response.reasoning_summary_part.added', { item_id: 'rs_1', summary_index: 0, part: { text: '' } }],
  ['response.reasoning_summary_text.delta', { item_id: 'rs_1', summary_index: 0, delta: '**Lo' }],
  ['response.reasoning_summary_text.delta', { item_id: 'rs_1', summary_index: 0, delta: 'ok**' }],
  ['response.reasoning_summary_text.done', { item_id: 'rs_1', summary_index: 0, text: '**Look**' }],
  ['response.reasoning_summary_part.added', { item_id: 'rs_1', summary_index: 1, part: { text: '' } }],
  ['response.reasoning_summary_text.delta', { item_id: 'rs_1', summary_index: 1, delta: '**Ask**' }],
  ['response.output_item.done', { output_index: 0, item: thoughtItem }],
  ['response.output_item.added', { output_index: 1, item: { ...messageItem, content: [] } }],
  ['response.content_part.added', { item_id: 'msg_1', part: { type: 'output_text', text: '' } }],
  ['response.output_text.delta', { item_id: 'msg_1', delta: 'Wa', obfuscation: 'x9' }],
  ['response.output_text.delta', { item_id: 'msg_1', delta: '' }],
  ['response.output_text.delta', { item_id: 'msg_1', delta: 'it… 😀' }],
  ['response.output_text.done', { item_id: 'msg_1', text: 'Wait… 😀' }],
  ['response.output_item.done', { output_index: 1, item: messageItem }],
  ['response.output_item.added', { output_index: 2, item: { ...callItems[0], arguments: '' } }],
  ['response.output_item.added', { output_index: 3, item: { ...callItems[1], arguments: '' } }],
  ['response.function_call_arguments.delta', { item_id: 'fc_0', delta: '{"pl' }],
  ['response.function_call_arguments.delta', { item_id: 'fc_1', delta: '{"place":"Rome"}' }],
  ['response.function_call_arguments.delta', { item_id: 'fc_0', delta: 'ace":"Paris"}' }],
  ['response.function_call_arguments.done', { item_id: 'fc_0', arguments: '{"place":"Paris"}' }],
  ['response.output_item.done', { output_index: 2, item: callItems[0] as Json }],
  ['response.output_item.done', { output_index: 3, item: callItems[1] as Json }],
  ['response.some_later_invention', { delta: 'unknown' }],
  ['response.completed', { response: whole }],
]
const loopEvents: Event[] = [
  announced,
  { type: 'reasoning-delta', text: '**Look**\n\n**Ask**' },
  { type: 'reasoning-block', block: thoughtItem },
  { type: 'text-delta', text: 'Wait… 😀' },
  { type: 'tool-call', id: 'call_0', name: 'get_weather', argumentsText: '{"place":"Paris"}' },
  { type: 'tool-call', id: 'call_1', name: 'get_weather', argumentsText: '{"place":"Rome"}' },
  counted,
  { type: 'finish', reason: 'toolCalls', raw: 'completed' },
]

test('a loop of tools: whole, byte by byte, and cut in two at every place', async () => {
  const all = bytes(stream(loop))
  assert.deepEqual(joined(await eventsOf(response([all]))), loopEvents)
  const single = Array.from({ length: all.length }, (_, at) => all.subarray(at, at + 1))
  assert.deepEqual(joined(await eventsOf(response(single))), loopEvents)
  for (let at = 0; at <= all.length; at++) {
    const cut = [all.subarray(0, at), new Uint8Array(), all.subarray(at)]
    assert.deepEqual(joined(await eventsOf(response(cut))), loopEvents, `cut at ${at}`)
  }
})

test('a whole answer says what its stream says', async () => {
  const answer = response([bytes(JSON.stringify(whole))], 'application/json; charset=utf-8')
  assert.deepEqual(joined(await eventsOf(answer)), loopEvents)
})

test('calls stand as in the whole answer, in whatever order they were finished', async () => {
  const [paris = {}, rome = {}] = callItems as Json[]
  const done: [string, Json][] = [
    ['response.output_item.done', { output_index: 1, item: rome }],
    ['response.output_item.done', { output_index: 0, item: paris }],
  ]
  for (const output of [[paris, rome], [], undefined]) {
    const text = stream([...done, ['response.completed', { response: { model: 'm', output } }]])
    const calls = (await eventsOf(response([bytes(text)]))).filter(({ type }) => type === 'tool-call')
    assert.deepEqual(
      calls.map((call) => 'id' in call && call.id),
      ['call_0', 'call_1'],
    )
  }
})

test('a stream without pieces is told by its end', async () => {
  const sparse = stream(loop.filter(([type]) => !/delta|part|item|text\.done/.test(type)))
  assert.deepEqual(joined(await eventsOf(response([bytes(sparse)]))), loopEvents)
})

test('events that come twice count once, and servers need not count', async () => {
  const numbered = loop.map(([type, data], number) => named(type, { ...data, sequence_number: number }))
  const resumed = [...numbered.slice(0, 15), ...numbered.slice(4)].join('')
  assert.deepEqual(joined(await eventsOf(response([bytes(resumed)]))), loopEvents)
  for (const number of [undefined, 0, -1]) {
    const uncounted = loop.map(([type, data]) => named(type, { ...data, sequence_number: number })).join('')
    assert.deepEqual(joined(await eventsOf(response([bytes(uncounted)]))), loopEvents, `${number}`)
  }
})

test('nothing is read behind the end, and names may stand outside the data', async () => {
  const unnamed = loop.map(([type, data]) => `event: ${type}\ndata: ${JSON.stringify(data)}\n\n`).join('')
  const noisy = `: keep-alive\n\n${unnamed}data: {broken\n\n`
  assert.deepEqual(joined(await eventsOf(response([bytes(noisy)]))), loopEvents)
})

const faultOf = async (answer: HttpResponse): Promise<Fault> => {
  try {
    await eventsOf(answer)
  } catch (error) {
    assert.ok(error instanceof Fault, String(error))
    return error
  }
  return assert.fail('no fault')
}

test('a stream that is cut anywhere before its end is truncated', async () => {
  const text = stream(loop)
  const events = text.split('\n\n').slice(0, -1)
  for (let kept = 1; kept < events.length; kept++) {
    const cut = events
      .slice(0, kept)
      .map((event) => `${event}\n\n`)
      .join('')
    const fault = await faultOf(response([bytes(cut)]))
    assert.deepEqual([fault.code, fault.detail.cause, fault.detail.retryable], ['truncated', 'no_end_marker', true])
  }
  const done = `${events.slice(0, -1).join('\n\n')}\n\ndata: [DONE]\n\n`
  assert.equal((await faultOf(response([bytes(done)]))).code, 'truncated')
})

const delta: [string, Json] = ['response.output_text.delta', { delta: 'Hi' }]
const endings: { name: string; events: [string, Json][]; says: Event[] }[] = [
  {
    name: 'an answer',
    events: [delta, ['response.completed', { response: { status: 'completed', model: 'm', usage } }]],
    says: [
      { type: 'text-delta', text: 'Hi' },
      { type: 'response', requestId: 'req_1', model: 'm' },
      counted,
      { type: 'finish', reason: 'stop', raw: 'completed' },
    ],
  },
  {
    name: 'an end without the response',
    events: [delta, ['response.completed', {}]],
    says: [
      { type: 'text-delta', text: 'Hi' },
      { type: 'response', requestId: 'req_1' },
      { type: 'finish', reason: 'stop', raw: 'completed' },
    ],
  },
  {
    name: 'a refusal',
    events: [
      ['response.refusal.delta', { delta: 'I can’t.' }],
      ['response.completed', { response: { model: 'm', output: [] } }],
    ],
    says: [
      { type: 'text-delta', text: 'I can’t.' },
      { type: 'response', requestId: 'req_1', model: 'm' },
      { type: 'finish', reason: 'refusal', raw: 'completed' },
    ],
  },
  {
    name: 'a refusal that comes whole',
    events: [
      [
        'response.completed',
        { response: { model: 'm', output: [{ type: 'message', content: [{ type: 'refusal', refusal: 'No.' }] }] } },
      ],
    ],
    says: [
      { type: 'response', requestId: 'req_1', model: 'm' },
      { type: 'text-delta', text: 'No.' },
      { type: 'finish', reason: 'refusal', raw: 'completed' },
    ],
  },
  ...(
    [
      ['max_output_tokens', 'length'],
      ['content_filter', 'contentFilter'],
      ['some_new_reason', 'other'],
      ['constructor', 'other'],
    ] as const
  ).map(([reason, reads]) => ({
    name: `incomplete for ${reason}`,
    events: [delta, ['response.incomplete', { response: { model: 'm', incomplete_details: { reason } } }]] satisfies [
      string,
      Json,
    ][],
    says: [
      { type: 'text-delta', text: 'Hi' },
      { type: 'response', requestId: 'req_1', model: 'm' },
      { type: 'finish', reason: reads, raw: reason },
    ] satisfies Event[],
  })),
  {
    name: 'incomplete for no reason',
    events: [['response.incomplete', { response: { model: 'm', incomplete_details: null } }]],
    says: [
      { type: 'response', requestId: 'req_1', model: 'm' },
      { type: 'finish', reason: 'other', raw: 'incomplete' },
    ],
  },
  {
    name: 'a call without id or arguments',
    events: [
      ['response.output_item.done', { item: { type: 'function_call', name: 'f' } }],
      ['response.completed', { response: { model: 'm', output: [{ type: 'function_call', name: 'f' }] } }],
    ],
    says: [
      { type: 'response', requestId: 'req_1', model: 'm' },
      { type: 'tool-call', id: 'call_0', name: 'f', argumentsText: '' },
      { type: 'finish', reason: 'toolCalls', raw: 'completed' },
    ],
  },
  {
    name: 'a call of a custom tool, which has a text in place of arguments',
    events: [
      ['response.custom_tool_call_input.delta', { item_id: 'ctc_1', delta: 'SELECT 1' }],
      [
        'response.output_item.done',
        { item: { type: 'custom_tool_call', id: 'ctc_1', call_id: 'call_1', name: 'sql', input: 'SELECT 1' } },
      ],
      ['response.completed', { response: { model: 'm' } }],
    ],
    says: [
      { type: 'response', requestId: 'req_1', model: 'm' },
      { type: 'tool-call', id: 'call_1', name: 'sql', argumentsText: 'SELECT 1' },
      { type: 'finish', reason: 'toolCalls', raw: 'completed' },
    ],
  },
  {
    name: 'open thoughts',
    events: [
      ['response.reasoning_text.delta', { delta: 'hm' }],
      ['response.completed', { response: { model: 'm' } }],
    ],
    says: [
      { type: 'reasoning-delta', text: 'hm' },
      { type: 'response', requestId: 'req_1', model: 'm' },
      { type: 'finish', reason: 'stop', raw: 'completed' },
    ],
  },
]

for (const { name, events, says } of endings) {
  test(`ends with ${name}`, async () => {
    assert.deepEqual(await eventsOf(response([bytes(stream(events))])), says)
  })
}

const failed = (error: Json): [string, Json][] => [delta, ['response.failed', { response: { ...begun, error } }]]
const faults: {
  name: string
  text: string
  type?: string
  code: string
  cause: string
  retryable?: boolean
  providerCode?: string
}[] = [
  {
    name: 'an error event, flat as it is documented',
    text: stream([['error', { code: 'server_error', message: 'Sorry', param: null }]]),
    code: 'provider_error',
    cause: 'stream_error',
    retryable: true,
    providerCode: 'server_error',
  },
  {
    // As the service has been seen to send it: openai-dotnet #881.
    name: 'an error event, nested',
    text: stream([
      delta,
      ['error', { error: { type: 'too_many_requests', code: 'too_many_requests', message: 'Too Many Requests' } }],
    ]),
    code: 'rate_limited',
    cause: 'stream_error',
    retryable: true,
    providerCode: 'too_many_requests',
  },
  {
    name: 'an error of chat’s shape',
    text: 'data: {"error":{"message":"insufficient quota","type":"insufficient_quota","code":"rate_limit_exceeded"}}\n\n',
    code: 'quota',
    cause: 'stream_error',
    retryable: false,
    providerCode: 'rate_limit_exceeded',
  },
  {
    name: 'a failure of the server',
    text: stream(failed({ code: 'server_error', message: 'The model failed' })),
    code: 'provider_error',
    cause: 'stream_error',
    retryable: true,
  },
  {
    name: 'a limit of rate',
    text: stream(failed({ code: 'rate_limit_exceeded', message: 'Slow down' })),
    code: 'rate_limited',
    cause: 'stream_error',
    retryable: true,
  },
  {
    name: 'a prompt that is refused',
    text: stream(failed({ code: 'invalid_prompt', message: 'Invalid prompt: it may violate the policy' })),
    code: 'invalid_request',
    cause: 'stream_error',
    retryable: false,
  },
  {
    name: 'a failure that gives no reason',
    text: stream([['response.failed', { response: { status: 'failed', error: null } }]]),
    code: 'provider_error',
    cause: 'stream_error',
    retryable: true,
  },
  {
    name: 'a piece that is no JSON',
    text: 'event: response.created\ndata: {"type":\n\n',
    code: 'invalid_response',
    cause: 'bad_json',
  },
  { name: 'a piece that is no object', text: 'data: 7\n\n', code: 'invalid_response', cause: 'bad_json' },
  {
    name: 'a web page',
    text: '<!doctype html>',
    type: 'text/html',
    code: 'invalid_response',
    cause: 'bad_content_type',
  },
  {
    name: 'a whole answer that failed',
    text: JSON.stringify({ ...begun, status: 'failed', error: { code: 'server_error', message: 'no' } }),
    type: 'application/json',
    code: 'provider_error',
    cause: 'stream_error',
  },
  {
    name: 'a whole answer that is not finished',
    text: JSON.stringify({ ...begun, status: 'queued' }),
    type: 'application/json',
    code: 'invalid_response',
    cause: 'unfinished',
  },
  {
    name: 'a whole answer of another shape',
    text: '{"choices":[]}',
    type: 'application/json',
    code: 'invalid_response',
    cause: 'bad_json',
  },
]

for (const { name, text, type, code, cause, retryable, providerCode } of faults) {
  test(`fault: ${name}`, async () => {
    const fault = await faultOf(response([bytes(text)], type))
    assert.equal(fault.code, code, fault.message)
    assert.equal(fault.detail.cause, cause)
    if (retryable !== undefined) assert.equal(fault.detail.retryable, retryable)
    if (providerCode !== undefined) assert.equal(fault.detail.providerCode, providerCode)
  })
}

/** Exchanges with llama-server, which counts no events and names the model at the end only. */
type Recording = { response: { headers: Record<string, string>; body?: unknown; chunks?: { text: string }[] } }

const recordings = [
  {
    file: 'responses-stream.json',
    text: '‑\r Louisiever Move disappro Activities forestsijkLAN DualoplanConf confinement mentally Move',
  },
  {
    file: 'responses.json',
    text: '‑ Accessories inspired Armageddonurateン703 apartheidPattern procure polQuotes advertisingIDES2020 Chal',
  },
]

for (const { file, text } of recordings) {
  const path = shared(`recordings/llama-server-openai/${file}`)
  test(`recorded: ${file}`, { skip: !existsSync(path) && 'no ../shared/recordings here' }, async () => {
    const { headers, body, chunks } = (JSON.parse(readFileSync(path, 'utf8')) as Recording).response
    const pieces = chunks?.map((chunk) => bytes(chunk.text)) ?? [bytes(JSON.stringify(body))]
    const events = joined(await eventsOf(response(pieces, headers['content-type'])))
    const named = events.filter((event) => event.type === 'response' && event.model === 'tiny')
    assert.equal(named.length, 1)
    assert.deepEqual(
      events.filter(({ type }) => type !== 'response'),
      [
        { type: 'text-delta', text },
        {
          type: 'usage',
          usage: { promptTokens: 29, completionTokens: 16, totalTokens: 45, cachedPromptTokens: 28 },
        },
        { type: 'finish', reason: 'stop', raw: 'completed' },
      ],
    )
  })
}
