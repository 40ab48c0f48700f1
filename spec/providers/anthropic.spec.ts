import assert from 'node:assert/strict'
import { test } from 'node:test'
import { everyByte, insideCharacters, insideLineEnds } from '../../scripts/replay/cuts.ts'
import { Fault } from '../../src/errors.ts'
import type { ChatAsk, ChatMessage, Event, Part } from '../../src/gateway.ts'
import type { HttpResponse } from '../../src/http/message.ts'
import type { Target } from '../../src/provider.ts'
import { anthropic } from '../../src/providers/anthropic.ts'
import { eventsIn } from '../harness/events.ts'

/** Anthropic's /v1/messages: what is sent for what is asked, and what is made of its events. */

type Json = Record<string, unknown>

const target: Target = {
  provider: 'anthropic',
  model: 'claude-sonnet-4-5',
  baseUrl: 'https://api.anthropic.com',
  headers: {},
}
const text = (words: string): Part => ({ type: 'text', text: words })
const user = (...content: Part[]): ChatMessage => ({ role: 'user', content })
const assistant = (...content: Part[]): ChatMessage => ({ role: 'assistant', content })
const result = (id: string, ...content: Part[]): Part => ({ type: 'tool-result', id, content, isError: false })
const use = (id: string): Part => ({ type: 'tool-use', id, name: 'f', arguments: {} })
const hi: ChatAsk = { kind: 'chat', messages: [user(text('Hi'))], maxTokens: 100 }

const { chat } = anthropic
assert.ok(chat)

function sent(ask: ChatAsk, model = target.model): { body: Json; warnings: readonly string[]; slow: boolean } {
  const { method, url, headers, json, warnings, slowStart } = chat?.encode(ask, { ...target, model }) ?? assert.fail()
  assert.equal(method, 'POST')
  assert.equal(url, 'https://api.anthropic.com/v1/messages')
  assert.deepEqual(headers, { 'anthropic-version': '2023-06-01' })
  return { body: JSON.parse(JSON.stringify(json)), warnings, slow: slowStart ?? false }
}

test('the key travels in a header of its own', () => {
  assert.deepEqual(anthropic.authorize('k'), { 'x-api-key': 'k' })
})

test('the smallest request: the limit is filled in, and told', () => {
  const { body, warnings, slow } = sent({ kind: 'chat', messages: [user(text('Hi'))] })
  assert.deepEqual(body, {
    model: 'claude-sonnet-4-5',
    max_tokens: 4096,
    messages: [{ role: 'user', content: [{ type: 'text', text: 'Hi' }] }],
    stream: true,
  })
  assert.deepEqual(warnings, ['maxTokens was set to 4096: this provider requires a limit'])
  assert.equal(slow, false)
})

test('options have the last word', () => {
  const { body } = sent({ ...hi, options: { max_tokens: 7, top_k: 5, metadata: { user_id: 'u' } } })
  assert.deepEqual([body['max_tokens'], body['top_k'], body['metadata']], [7, 5, { user_id: 'u' }])
})

const said = (words: string) => ({ type: 'text', text: words })
const png = 'iVBORw0KGgo='
const conversations: {
  name: string
  messages: ChatMessage[]
  system?: string
  sent: Json[]
  warnings?: string[]
}[] = [
  {
    name: 'instructions at the head become system, joined by a blank line',
    messages: [
      { role: 'system', content: [text('A'), text('b')] },
      { role: 'developer', content: [text('')] },
      { role: 'developer', content: [text('C')] },
      user(text('Hi')),
    ],
    system: 'Ab\n\nC',
    sent: [{ role: 'user', content: [said('Hi')] }],
  },
  {
    name: 'a later instruction is the user’s, marked',
    messages: [user(text('a')), { role: 'system', content: [text('b')] }, user(text('c'))],
    sent: [{ role: 'user', content: [said('a'), said('<system>b</system>'), said('c')] }],
    warnings: ['a system message in mid-conversation was sent as the user’s, marked as an instruction'],
  },
  {
    name: 'turns of one side are one; empty text, and a turn of nothing else, are left out',
    messages: [user(text('a')), user(text(' \n'), text('b')), assistant(text('')), assistant(text('c'), text('d'))],
    sent: [
      { role: 'user', content: [said('a'), said('b')] },
      { role: 'assistant', content: [said('c'), said('d')] },
    ],
  },
  {
    name: 'white space around words stays',
    messages: [user(text('  a\n'))],
    sent: [{ role: 'user', content: [said('  a\n')] }],
  },
  {
    name: 'results of one turn’s calls stand together and first, wherever the user’s words were',
    messages: [
      assistant(text('Look.'), use('t1'), use('t2')),
      user(text('Quick.')),
      { role: 'tool', content: [result('t1', text('1'))] },
      user(text('Please.'), result('t2', text('2'), { type: 'image', data: png, mimeType: 'image/png' })),
    ],
    sent: [
      {
        role: 'assistant',
        content: [
          said('Look.'),
          { type: 'tool_use', id: 't1', name: 'f', input: {} },
          { type: 'tool_use', id: 't2', name: 'f', input: {} },
        ],
      },
      {
        role: 'user',
        content: [
          { type: 'tool_result', tool_use_id: 't1', content: [said('1')] },
          {
            type: 'tool_result',
            tool_use_id: 't2',
            content: [
              said('2'),
              { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'iVBORw0KGgo=' } },
            ],
          },
          said('Quick.'),
          said('Please.'),
        ],
      },
    ],
  },
  {
    name: 'ids of others are rewritten in calls and results alike; a result may be empty, and an error',
    messages: [
      assistant(use('call:1/ä'), use('')),
      { role: 'tool', content: [{ type: 'tool-result', id: 'call:1/ä', content: [text('')], isError: true }] },
      { role: 'tool', content: [result('')] },
    ],
    sent: [
      {
        role: 'assistant',
        content: [
          { type: 'tool_use', id: 'call_1__', name: 'f', input: {} },
          { type: 'tool_use', id: '_', name: 'f', input: {} },
        ],
      },
      {
        role: 'user',
        content: [
          { type: 'tool_result', tool_use_id: 'call_1__', is_error: true },
          { type: 'tool_result', tool_use_id: '_' },
        ],
      },
    ],
  },
  {
    name: 'thoughts go back as they came, where this provider has sealed them, and in the assistant’s turn alone',
    messages: [
      assistant(
        { type: 'reasoning', block: { type: 'thinking', thinking: '', signature: 'sig+/==' } },
        { type: 'reasoning', block: { type: 'redacted_thinking', data: 'Em+/' } },
        { type: 'reasoning', block: { type: 'thinking', thinking: 'unsigned', signature: '' } },
        { type: 'reasoning', block: { type: 'thinking', thinking: 'unsigned' } },
        { type: 'reasoning', block: { type: 'redacted_thinking' } },
        { type: 'reasoning', block: { type: 'reasoning', id: 'rs_1', encrypted_content: 'x' } },
        use('t1'),
      ),
      user({ type: 'reasoning', block: { type: 'thinking', thinking: 'a', signature: 'b' } }, text('Hi')),
    ],
    sent: [
      {
        role: 'assistant',
        content: [
          { type: 'thinking', thinking: '', signature: 'sig+/==' },
          { type: 'redacted_thinking', data: 'Em+/' },
          { type: 'tool_use', id: 't1', name: 'f', input: {} },
        ],
      },
      { role: 'user', content: [said('Hi')] },
    ],
    warnings: ['thoughts of an earlier turn were left out: this kind of provider cannot take them back'],
  },
  {
    name: 'pictures and documents',
    messages: [
      user(
        { type: 'image', data: png, mimeType: 'image/webp' },
        { type: 'image-url', url: 'https://example.com/a.png' },
        { type: 'file', data: 'JVBERg==', mimeType: 'application/pdf', name: 'a.pdf' },
        { type: 'file', data: 'R3LDvGV6aQ==', mimeType: 'text/markdown' },
      ),
    ],
    sent: [
      {
        role: 'user',
        content: [
          { type: 'image', source: { type: 'base64', media_type: 'image/webp', data: 'iVBORw0KGgo=' } },
          { type: 'image', source: { type: 'url', url: 'https://example.com/a.png' } },
          {
            type: 'document',
            source: { type: 'base64', media_type: 'application/pdf', data: 'JVBERg==' },
            title: 'a.pdf',
          },
          { type: 'document', source: { type: 'text', media_type: 'text/plain', data: 'Grüezi' } },
        ],
      },
    ],
  },
  {
    name: 'what it cannot take is left out, and told once',
    messages: [
      user(
        text('Hi'),
        { type: 'audio', data: 'UklGRg==', mimeType: 'audio/wav' },
        { type: 'audio', data: 'UklGRg==', mimeType: 'audio/wav' },
        { type: 'file', data: 'UEs=', mimeType: 'application/zip' },
      ),
    ],
    sent: [{ role: 'user', content: [said('Hi')] }],
    warnings: [
      'audio was left out: this provider takes none',
      'a file of type application/zip was left out: this provider takes PDF and text',
    ],
  },
  {
    name: 'a picture of another type is sent, and told',
    messages: [user({ type: 'image', data: png, mimeType: 'image/tiff' })],
    sent: [
      {
        role: 'user',
        content: [{ type: 'image', source: { type: 'base64', media_type: 'image/tiff', data: 'iVBORw0KGgo=' } }],
      },
    ],
    warnings: ['an image of type image/tiff was sent, which this provider may refuse'],
  },
]

for (const { name, messages, system, sent: expected, warnings = [] } of conversations) {
  test(`sends: ${name}`, () => {
    const request = sent({ ...hi, messages })
    assert.deepEqual(request.body['messages'], expected)
    assert.equal(request.body['system'], system)
    assert.deepEqual(request.warnings, warnings)
  })
}

test('instructions alone leave no turn: refused before anything is sent', () => {
  const messages: ChatMessage[] = [{ role: 'system', content: [text('A')] }]
  assert.throws(() => sent({ ...hi, messages }), /there is nothing to send/)
})

const tools = [
  { name: 'f', description: 'F', inputSchema: { type: 'object', properties: {} } },
  { name: 'auto_f', inputSchema: { type: 'object' } },
]
const choices: { choice: string | undefined; sent: Json | undefined }[] = [
  { choice: undefined, sent: undefined },
  { choice: 'auto', sent: { type: 'auto' } },
  { choice: 'none', sent: { type: 'none' } },
  { choice: 'required', sent: { type: 'any' } },
  { choice: 'auto_f', sent: { type: 'tool', name: 'auto_f' } },
  { choice: 'constructor', sent: { type: 'tool', name: 'constructor' } },
]

for (const { choice, sent: expected } of choices) {
  test(`tool choice ${choice}`, () => {
    const { body, warnings } = sent({ ...hi, tools, toolChoice: choice })
    assert.deepEqual(body['tools'], [
      { name: 'f', description: 'F', input_schema: { type: 'object', properties: {} } },
      { name: 'auto_f', input_schema: { type: 'object' } },
    ])
    assert.deepEqual(body['tool_choice'], expected)
    assert.deepEqual(warnings, [])
  })
}

test('without tools there is nothing to choose', () => {
  for (const none of [undefined, []]) assert.equal(sent({ ...hi, tools: none }).body['tools'], undefined)
  assert.equal(sent({ ...hi, toolChoice: 'none' }).body['tool_choice'], undefined)
  assert.equal(sent({ ...hi, tools: [], toolChoice: 'required' }).body['tool_choice'], undefined)
})

test('a forced tool stays forced where the model thinks as it sees fit, and becomes auto beside a budget', () => {
  const ask = { ...hi, tools, toolChoice: 'f', reasoningEffort: 'low' }
  assert.deepEqual(sent(ask, 'claude-opus-4-7').body['tool_choice'], { type: 'tool', name: 'f' })
  const budget = sent(ask, 'claude-opus-4-5')
  assert.deepEqual(budget.body['tool_choice'], { type: 'auto' })
  assert.ok(budget.warnings.includes('toolChoice became auto: a tool cannot be forced while the model thinks'))
})

/** By generation: what `reasoningEffort: "high"` sends, and whether temperature and topP may stand beside each other. */
const generations: { models: string[]; thinking: 'none' | 'budget' | 'adaptive'; samples: 'both' | 'one' | 'none' }[] =
  [
    {
      models: ['claude-2.1', 'claude-instant-1.2', 'claude-3-opus-20240229', 'claude-3-5-sonnet-20241022'],
      thinking: 'none',
      samples: 'both',
    },
    {
      models: ['claude-3-7-sonnet-20250219', 'claude-3-7-sonnet-latest', 'claude-sonnet-4-20250514', 'claude-opus-4-0'],
      thinking: 'budget',
      samples: 'both',
    },
    {
      models: [
        'claude-opus-4-1-20250805',
        'claude-sonnet-4-5',
        'claude-sonnet-4-5-20250929',
        'claude-haiku-4-5-20251001',
        'anthropic/claude-opus-4.5',
        'CLAUDE-OPUS-4-5',
      ],
      thinking: 'budget',
      samples: 'one',
    },
    { models: ['claude-opus-4-6', 'claude-sonnet-4-6-20260217'], thinking: 'adaptive', samples: 'one' },
    {
      models: [
        'claude-opus-4-7',
        'claude-opus-4-8-20260601',
        'claude-sonnet-5',
        'claude-sonnet-5-20260701',
        'claude-opus-5',
      ],
      thinking: 'adaptive',
      samples: 'none',
    },
  ]

for (const { models, thinking, samples } of generations) {
  for (const model of models) {
    test(`${model} thinks: ${thinking}; samples: ${samples}`, () => {
      const { body, slow } = sent({ ...hi, reasoningEffort: 'high' }, model)
      assert.equal(slow, thinking !== 'none')
      if (thinking === 'none') assert.deepEqual([body['thinking'], body['max_tokens']], [undefined, 100])
      if (thinking === 'budget') {
        assert.deepEqual(body['thinking'], { type: 'enabled', budget_tokens: 16_384 })
        assert.equal(body['max_tokens'], 16_484)
      }
      if (thinking === 'adaptive') {
        assert.deepEqual(body['thinking'], { type: 'adaptive', display: 'summarized' })
        assert.deepEqual(body['output_config'], { effort: 'high' })
        assert.equal(body['max_tokens'], 100)
      }
      const sampled = sent({ ...hi, temperature: 0.5, topP: 0.9 }, model)
      assert.equal(sampled.body['temperature'], samples === 'none' ? undefined : 0.5)
      assert.equal(sampled.body['top_p'], samples === 'both' ? 0.9 : undefined)
      assert.equal(sampled.warnings.length, samples === 'both' ? 0 : samples === 'one' ? 1 : 2)
    })
  }
}

/** Of a budget and maxTokens together, what the family allows (vendor's table of models). */
const budgets: { model: string; effort: string; maxTokens: number; limit: number; budget: number }[] = [
  { model: 'claude-opus-4-1-20250805', effort: 'max', maxTokens: 4096, limit: 32_000, budget: 27_904 },
  { model: 'claude-opus-4-20250514', effort: 'xhigh', maxTokens: 7424, limit: 32_000, budget: 24_576 },
  { model: 'claude-opus-4-0', effort: 'max', maxTokens: 31_500, limit: 32_000, budget: 1024 },
  { model: 'claude-opus-4-1', effort: 'low', maxTokens: 50_000, limit: 32_000, budget: 1024 },
  { model: 'claude-sonnet-4-5', effort: 'max', maxTokens: 40_000, limit: 64_000, budget: 24_000 },
  { model: 'claude-opus-4-5', effort: 'max', maxTokens: 32_000, limit: 64_000, budget: 32_000 },
  { model: 'claude-3-7-sonnet-20250219', effort: 'max', maxTokens: 64_000, limit: 64_000, budget: 1024 },
]

for (const { model, effort, maxTokens, limit, budget } of budgets) {
  test(`effort ${effort} and ${maxTokens} tokens at ${model}`, () => {
    const { body, warnings } = sent({ ...hi, reasoningEffort: effort, maxTokens }, model)
    assert.equal(body['max_tokens'], limit)
    assert.deepEqual(body['thinking'], { type: 'enabled', budget_tokens: budget })
    const [told = '', ...more] = warnings
    assert.deepEqual(more, [])
    assert.match(told, limit === maxTokens + budget ? /raised by|maxTokens became/ : /maxTokens became/)
    if (/became/.test(told)) assert.ok(told.includes(`${limit}, of which its thinking may take ${budget}`), told)
  })
}

test('an effort that a model has no word for is sent as the nearest, and told', () => {
  const { body, warnings } = sent({ ...hi, reasoningEffort: 'xhigh', maxTokens: 100 }, 'claude-opus-4-6')
  assert.deepEqual(body['output_config'], { effort: 'high' })
  assert.deepEqual(warnings, ['reasoningEffort xhigh was sent as high, the nearest here'])
  assert.deepEqual(sent({ ...hi, reasoningEffort: 'xhigh', maxTokens: 100 }, 'claude-opus-4-7').warnings, [])
})

test('efforts: each has its budget, and its word where there is no budget', () => {
  const rows = ['minimal', 'low', 'medium', 'high', 'xhigh', 'max'].map((reasoningEffort) => [
    (sent({ ...hi, reasoningEffort }).body['thinking'] as Json)['budget_tokens'],
    (sent({ ...hi, reasoningEffort }, 'claude-opus-4-7').body['output_config'] as Json)['effort'],
  ])
  assert.deepEqual(rows, [
    [1024, 'low'],
    [2048, 'low'],
    [8192, 'medium'],
    [16_384, 'high'],
    [24_576, 'xhigh'],
    [32_000, 'max'],
  ])
})

test('no effort leaves thinking alone; none switches it off where there is any', () => {
  assert.equal(sent(hi).body['thinking'], undefined)
  assert.deepEqual(sent({ ...hi, reasoningEffort: 'none' }).body['thinking'], { type: 'disabled' })
  assert.deepEqual(sent({ ...hi, reasoningEffort: 'none' }, 'claude-opus-5').body['thinking'], { type: 'disabled' })
  const without = sent({ ...hi, reasoningEffort: 'none' }, 'claude-3-haiku-20240307')
  assert.deepEqual([without.body['thinking'], without.warnings], [undefined, []])
})

const samplings: { name: string; ask: Partial<ChatAsk>; model?: string; body: Json; warnings: string[] }[] = [
  {
    name: 'temperature is lowered to 1, not scaled',
    ask: { temperature: 1.7 },
    body: { temperature: 1 },
    warnings: ['temperature was lowered to 1, the most here'],
  },
  { name: 'a temperature of 0 is one', ask: { temperature: 0 }, body: { temperature: 0 }, warnings: [] },
  { name: 'topP alone', ask: { topP: 0.5 }, body: { top_p: 0.5 }, warnings: [] },
  {
    name: 'seed is left out',
    ask: { seed: 7 },
    body: {},
    warnings: ['seed was left out: this provider has none'],
  },
  {
    name: 'stop texts of white space are left out',
    ask: { stop: ['\n', 'END', ' '] },
    body: { stop_sequences: ['END'] },
    warnings: ['a stop text of white space was left out: this provider refuses it'],
  },
  {
    name: 'nothing but white space is no stop text',
    ask: { stop: [' '] },
    body: {},
    warnings: ['a stop text of white space was left out: this provider refuses it'],
  },
  { name: 'an empty list is none', ask: { stop: [] }, body: {}, warnings: [] },
  {
    name: 'while it thinks, it refuses both',
    ask: { temperature: 0.5, topP: 0.5, reasoningEffort: 'low' },
    body: { thinking: { type: 'enabled', budget_tokens: 2048 } },
    warnings: [
      'claude-sonnet-4-5 thinks within its limit, so that maxTokens was raised by the 2048 tokens of its thinking',
      'temperature was left out: claude-sonnet-4-5 refuses it while it thinks',
      'topP was left out: claude-sonnet-4-5 refuses it while it thinks',
    ],
  },
]

for (const { name, ask, body: expected, warnings } of samplings) {
  test(`sampling: ${name}`, () => {
    const request = sent({ ...hi, ...ask })
    const { model: _, max_tokens: __, messages: ___, stream: ____, ...rest } = request.body
    assert.deepEqual(rest, expected)
    assert.deepEqual(request.warnings, warnings)
  })
}

test('a schema is closed, and its bounds on values become words; the caller’s own is not touched', () => {
  const schema = {
    type: 'object',
    properties: {
      // The name of a member, not a keyword.
      minimum: { type: 'integer', minimum: 0, maximum: 9, description: 'Least' },
      list: {
        type: 'array',
        minItems: 1,
        items: { type: 'object', properties: { s: { type: 'string', pattern: 'a' } } },
      },
      any: { anyOf: [{ type: 'string', minLength: 2 }, { type: 'null' }], default: { type: 'object' } },
    },
    required: ['minimum'],
    $defs: { d: { type: 'object', additionalProperties: true } },
  }
  const before = JSON.stringify(schema)
  const { body, warnings } = sent({ ...hi, responseSchema: schema, reasoningEffort: 'low' }, 'claude-opus-4-7')
  assert.deepEqual(body['output_config'], {
    effort: 'low',
    format: {
      type: 'json_schema',
      schema: {
        type: 'object',
        properties: {
          minimum: { type: 'integer', description: 'Least (minimum: 0, maximum: 9)' },
          list: {
            type: 'array',
            items: {
              type: 'object',
              properties: { s: { type: 'string', description: '(pattern: "a")' } },
              additionalProperties: false,
            },
            description: '(minItems: 1)',
          },
          any: {
            anyOf: [{ type: 'string', description: '(minLength: 2)' }, { type: 'null' }],
            default: { type: 'object' },
          },
        },
        required: ['minimum'],
        $defs: { d: { type: 'object', additionalProperties: false } },
        additionalProperties: false,
      },
    },
  })
  assert.equal(JSON.stringify(schema), before)
  assert.equal(warnings.length, 1)
})

test('the list of models: what is asked, page by page, and what each line tells', async () => {
  const { models } = anthropic
  assert.ok(models)
  const ask = { kind: 'models' as const, provider: 'anthropic' }
  assert.equal(models.encode(ask, target).url, 'https://api.anthropic.com/v1/models?limit=1000')
  assert.equal(
    models.encode({ ...ask, after: 'a/b&c' }, target).url,
    'https://api.anthropic.com/v1/models?limit=1000&after_id=a%2Fb%26c',
  )
  const data = [
    { id: 'claude-a', created_at: '2026-04-14T00:00:00Z', max_input_tokens: 1000 },
    { id: 'claude-b', created_at: 'long ago', max_input_tokens: null, capabilities: null },
    { id: 7 },
    'claude-c',
  ]
  const body = { data, has_more: true, last_id: 'claude-b' }
  const events: Event[] = []
  const response = responseOf([Buffer.from(JSON.stringify(body))], 'application/json')
  for await (const event of eventsIn(models.decode(response, ask))) events.push(event)
  assert.deepEqual(events, [
    {
      type: 'model',
      model: { name: 'claude-a', ownedBy: 'anthropic', created: 1776124800, contextWindow: 1000 },
    },
    { type: 'model', model: { name: 'claude-b', ownedBy: 'anthropic' } },
    { type: 'next-page', after: 'claude-b' },
  ])
})

// What comes back.

const usage = { input_tokens: 12, output_tokens: 1 }
const start = (more: Json = {}) => ({
  type: 'message_start',
  message: { model: 'claude-x', content: [], usage, ...more },
})
const open = (index: number, content_block: Json) => ({ type: 'content_block_start', index, content_block })
const delta = (index: number, piece: Json) => ({ type: 'content_block_delta', index, delta: piece })
const words = (index: number, piece: string) => delta(index, { type: 'text_delta', text: piece })
const json = (index: number, piece: string) => delta(index, { type: 'input_json_delta', partial_json: piece })
const close = (index: number) => ({ type: 'content_block_stop', index })
const ending = (stop_reason: string | null, counts: Json = { output_tokens: 5 }) => ({
  type: 'message_delta',
  delta: { stop_reason, stop_sequence: null },
  usage: counts,
})
const stop = { type: 'message_stop' }
const ping = { type: 'ping' }
const textOpen = (index: number) => open(index, { type: 'text', text: '' })
const toolOpen = (index: number, more: Json = { input: {} }) =>
  open(index, { type: 'tool_use', id: `toolu_${index}`, name: 'f', ...more })

const framed = (events: readonly Json[]) =>
  events.map((event) => `event: ${event['type']}\ndata: ${JSON.stringify(event)}\n\n`).join('')

function responseOf(chunks: readonly Uint8Array[], contentType: string): HttpResponse {
  async function* body() {
    yield* chunks
  }
  return { status: 200, headers: { 'content-type': contentType, 'request-id': 'req_1' }, body: body() }
}

type Gathered = { text: string; thoughts: string; calls: Json[]; sealed: Json[]; last: Json; fault: Fault | undefined }

/** The same events, joined as a caller sees them. */
async function gathered(chunks: readonly Uint8Array[], contentType = 'text/event-stream'): Promise<Gathered> {
  const events: Event[] = []
  let fault: Fault | undefined
  try {
    for await (const event of eventsIn((chat as NonNullable<typeof chat>).decode(responseOf(chunks, contentType), hi)))
      events.push(event)
  } catch (error) {
    assert.ok(error instanceof Fault, String(error))
    fault = error
  }
  const pick = <T extends Event['type']>(type: T) =>
    events.filter((event): event is Extract<Event, { type: T }> => event.type === type)
  return {
    text: pick('text-delta').reduce((all, event) => all + event.text, ''),
    thoughts: pick('reasoning-delta').reduce((all, event) => all + event.text, ''),
    calls: pick('tool-call').map(({ type: _, ...call }) => call),
    sealed: pick('reasoning-block').map(({ block }) => block),
    last: {
      response: pick('response'),
      usage: pick('usage').map((event) => event.usage),
      warnings: pick('warning').map((event) => event.message),
      finish: pick('finish').map(({ reason, raw }) => [reason, raw]),
    },
    fault,
  }
}

const decode = (events: readonly Json[]) => gathered([Buffer.from(framed(events))])

const reasons: { raw: string; reason: string }[] = [
  { raw: 'end_turn', reason: 'stop' },
  { raw: 'stop_sequence', reason: 'stop' },
  { raw: 'max_tokens', reason: 'length' },
  { raw: 'model_context_window_exceeded', reason: 'length' },
  { raw: 'tool_use', reason: 'toolCalls' },
  { raw: 'refusal', reason: 'refusal' },
  { raw: 'pause_turn', reason: 'other' },
  { raw: 'never_heard_of', reason: 'other' },
  { raw: 'constructor', reason: 'other' },
]

for (const { raw, reason } of reasons) {
  test(`stop reason ${raw} is ${reason}, streamed and whole`, async () => {
    const streamed = await decode([start(), textOpen(0), words(0, 'a'), close(0), ending(raw), stop])
    assert.deepEqual(streamed.last['finish'], [[reason, raw]])
    const message = { type: 'message', model: 'claude-x', content: [said('a')], stop_reason: raw, usage }
    const whole = await gathered([Buffer.from(JSON.stringify(message))], 'application/json')
    assert.deepEqual([whole.text, whole.last['finish']], ['a', [[reason, raw]]])
  })
}

test('why an answer was refused is told, streamed and whole', async () => {
  const stop_details = { type: 'refusal', category: 'cyber', explanation: 'This could\ndo harm.' }
  const delta = { stop_reason: 'refusal', stop_sequence: null, stop_details }
  const streamed = framed([start(), { type: 'message_delta', delta, usage: { output_tokens: 1 } }, stop])
  const whole = JSON.stringify({ type: 'message', model: 'claude-x', content: [], ...delta, usage })
  for (const [body, type] of [
    [streamed, 'text/event-stream'],
    [whole, 'application/json'],
  ] as const) {
    const { last, fault } = await gathered([Buffer.from(body)], type)
    assert.equal(fault, undefined)
    assert.deepEqual(last['warnings'], ['the answer was refused: cyber: This could do harm.'])
    assert.deepEqual(last['finish'], [['refusal', 'refusal']])
  }
})

test('end_turn behind a call is a call all the same', async () => {
  const { last } = await decode([start(), toolOpen(0), json(0, '{}'), close(0), ending('end_turn'), stop])
  assert.deepEqual(last['finish'], [['toolCalls', 'end_turn']])
})

test('a message without a stop reason ends as other', async () => {
  const { last, fault } = await decode([start(), textOpen(0), words(0, 'a'), ending(null), stop])
  assert.equal(fault, undefined)
  assert.deepEqual(last['finish'], [['other', undefined]])
})

const counted: { name: string; start: Json; end: Json; usage: Json }[] = [
  {
    name: 'the last count holds, and none is added up',
    start: { input_tokens: 43, output_tokens: 2 },
    end: { input_tokens: 61, output_tokens: 7 },
    usage: { promptTokens: 61, completionTokens: 7, totalTokens: 68 },
  },
  {
    name: 'what the end leaves out or does not know, the beginning has told',
    start: { input_tokens: 10, cache_creation_input_tokens: 3, cache_read_input_tokens: 4, output_tokens: 1 },
    end: { input_tokens: null, cache_read_input_tokens: null, output_tokens: 7 },
    usage: { promptTokens: 17, completionTokens: 7, totalTokens: 24, cachedPromptTokens: 4 },
  },
  {
    name: 'the cache may be told at the end alone',
    start: { input_tokens: 8834, output_tokens: 1 },
    end: { input_tokens: 3, cache_read_input_tokens: 8831, cache_creation_input_tokens: 0, output_tokens: 18 },
    usage: { promptTokens: 8834, completionTokens: 18, totalTokens: 8852, cachedPromptTokens: 8831 },
  },
  {
    name: 'thinking is a part of the output',
    start: { input_tokens: 1, output_tokens: 1, output_tokens_details: null },
    end: { output_tokens: 60, output_tokens_details: { thinking_tokens: 48 } },
    usage: { promptTokens: 1, completionTokens: 60, totalTokens: 61, reasoningTokens: 48 },
  },
  {
    name: 'a count of zero is a count',
    start: { input_tokens: 1, output_tokens: 1, cache_read_input_tokens: 0 },
    end: { output_tokens: 0 },
    usage: { promptTokens: 1, completionTokens: 0, totalTokens: 1, cachedPromptTokens: 0 },
  },
  {
    name: 'what is no count is none',
    start: { input_tokens: 'many', output_tokens: 1 },
    end: { input_tokens: -1, output_tokens: 2 },
    usage: { promptTokens: 0, completionTokens: 2, totalTokens: 2 },
  },
]

for (const { name, start: first, end, usage: expected } of counted) {
  test(`usage: ${name}`, async () => {
    const { last } = await decode([start({ usage: first }), ending('end_turn', end), stop])
    assert.deepEqual(last['usage'], [expected])
  })
}

test('without any count there is no usage', async () => {
  const { last } = await decode([start({ usage: null }), { type: 'message_delta', delta: {} }, stop])
  assert.deepEqual(last['usage'], [])
})

const lived: { name: string; events: Json[]; text?: string; thoughts?: string; calls?: Json[]; sealed?: Json[] }[] = [
  {
    name: 'pings anywhere, events that nobody knows, and a second beginning',
    events: [
      ping,
      start(),
      ping,
      start({ model: 'claude-y' }),
      textOpen(0),
      ping,
      words(0, 'a'),
      { type: 'brand_new', index: 0, delta: { text: 'x' } },
      words(0, 'b'),
      close(0),
      ending('end_turn'),
      ping,
      stop,
    ],
    text: 'ab',
  },
  {
    name: 'a block whose end is missing',
    events: [start(), textOpen(0), words(0, 'a'), textOpen(1), words(1, 'b'), ending('end_turn'), stop],
    text: 'ab',
  },
  {
    name: 'text at a block’s beginning',
    events: [start(), open(0, { type: 'text', text: 'a' }), words(0, 'b'), close(0), ending('end_turn'), stop],
    text: 'ab',
  },
  {
    name: 'words of a block that was never begun, deltas of no kind, and of blocks that nobody knows',
    events: [
      start(),
      words(7, 'x'),
      open(0, { type: 'server_tool_use', id: 's', name: 'web_search', input: {} }),
      json(0, '{"query":"x"}'),
      open(1, { type: 'web_search_tool_result', content: [] }),
      textOpen(2),
      delta(2, { type: 'citations_delta', citation: { cited_text: 'x' } }),
      words(2, 'a'),
      ending('end_turn'),
      stop,
    ],
    text: 'xa',
  },
  {
    name: 'a call’s arguments in fragments, the first empty',
    events: [start(), toolOpen(0), json(0, ''), json(0, '{"a"'), json(0, ':1}'), close(0), ending('tool_use'), stop],
    calls: [{ id: 'toolu_0', name: 'f', argumentsText: '{"a":1}' }],
  },
  {
    name: 'text in a call that was not closed',
    events: [start(), toolOpen(0), json(0, '{"a":'), words(0, 'Hi'), json(0, '1}'), ending('tool_use'), stop],
    text: 'Hi',
    calls: [{ id: 'toolu_0', name: 'f', argumentsText: '{"a":1}' }],
  },
  {
    name: 'two calls with one index',
    events: [
      start(),
      toolOpen(0),
      json(0, '{"a":1}'),
      close(0),
      open(0, { type: 'tool_use', id: 'toolu_1', name: 'g', input: {} }),
      json(0, '{"b":2}'),
      close(0),
      ending('tool_use'),
      stop,
    ],
    calls: [
      { id: 'toolu_0', name: 'f', argumentsText: '{"a":1}' },
      { id: 'toolu_1', name: 'g', argumentsText: '{"b":2}' },
    ],
  },
  {
    name: 'a call of a tool without parameters',
    events: [start(), toolOpen(0), json(0, ''), close(0), ending('tool_use'), stop],
    calls: [{ id: 'toolu_0', name: 'f', argumentsText: '{}' }],
  },
  {
    name: 'a call without input and without fragments',
    events: [start(), toolOpen(0, {}), close(0), ending('tool_use'), stop],
    calls: [{ id: 'toolu_0', name: 'f', argumentsText: '{}' }],
  },
  {
    name: 'a call whose input stands at its beginning alone',
    events: [start(), toolOpen(0, { input: { a: 1 } }), close(0), ending('tool_use'), stop],
    calls: [{ id: 'toolu_0', name: 'f', argumentsText: '{"a":1}' }],
  },
  {
    name: 'calls whose fragments come in turns, after words',
    events: [
      start(),
      textOpen(0),
      words(0, 'Look.'),
      toolOpen(1),
      toolOpen(2),
      json(1, '{"a":'),
      json(2, '{"b":'),
      json(1, '1}'),
      json(2, '2}'),
      close(1),
      close(2),
      ending('tool_use'),
      stop,
    ],
    text: 'Look.',
    calls: [
      { id: 'toolu_1', name: 'f', argumentsText: '{"a":1}' },
      { id: 'toolu_2', name: 'f', argumentsText: '{"b":2}' },
    ],
  },
  {
    name: 'broken arguments are handed on as they are',
    events: [start(), toolOpen(0), json(0, '{"a": "b'), close(0), ending('max_tokens'), stop],
    calls: [{ id: 'toolu_0', name: 'f', argumentsText: '{"a": "b' }],
  },
  {
    name: 'thoughts, hidden thoughts and thoughts again: sealed in the order in which they came',
    events: [
      start(),
      open(0, { type: 'thinking', thinking: '', signature: '' }),
      delta(0, { type: 'thinking_delta', thinking: 'One ' }),
      delta(0, { type: 'thinking_delta', thinking: 'two.' }),
      delta(0, { type: 'signature_delta', signature: 'si' }),
      delta(0, { type: 'signature_delta', signature: 'g+/==' }),
      close(0),
      open(1, { type: 'redacted_thinking', data: 'Em+/' }),
      close(1),
      open(2, { type: 'thinking', thinking: '', signature: '' }),
      delta(2, { type: 'signature_delta', signature: 'hidden' }),
      close(2),
      textOpen(3),
      words(3, 'a'),
      close(3),
      ending('end_turn'),
      stop,
    ],
    text: 'a',
    thoughts: 'One two.',
    sealed: [
      { type: 'thinking', thinking: 'One two.', signature: 'sig+/==' },
      { type: 'redacted_thinking', data: 'Em+/' },
      { type: 'thinking', thinking: '', signature: 'hidden' },
    ],
  },
  {
    name: 'calls of tools that share one index, the last without an id',
    events: [
      start(),
      open(0, { type: 'tool_use', id: 'a', name: 'f', input: {} }),
      json(0, '{"x":1}'),
      close(0),
      open(0, { type: 'tool_use', id: 'b', name: 'g', input: {} }),
      json(0, '{}'),
      close(0),
      open(0, { type: 'tool_use', name: 'h', input: {} }),
      close(0),
      ending('tool_use'),
      stop,
    ],
    calls: [
      { id: 'a', name: 'f', argumentsText: '{"x":1}' },
      { id: 'b', name: 'g', argumentsText: '{}' },
      { id: 'call_2', name: 'h', argumentsText: '{}' },
    ],
  },
  { name: 'an answer without content', events: [start(), ending('end_turn'), stop] },
]

for (const { name, events, text: said = '', thoughts = '', calls = [], sealed = [] } of lived) {
  test(`reads: ${name}`, async () => {
    const answer = await decode(events)
    assert.equal(answer.fault, undefined)
    assert.deepEqual([answer.text, answer.thoughts], [said, thoughts])
    assert.deepEqual(answer.calls, calls)
    assert.deepEqual(answer.sealed, sealed)
    assert.deepEqual(answer.last['response'], [{ type: 'response', requestId: 'req_1', model: 'claude-x' }])
  })
}

test('a whole message has what a stream of it has', async () => {
  const message = {
    type: 'message',
    model: 'claude-x',
    content: [
      { type: 'thinking', thinking: 'One.', signature: 'sig' },
      { type: 'redacted_thinking', data: 'Em' },
      { type: 'text', text: 'a' },
      { type: 'tool_use', id: 't1', name: 'f', input: { a: 1 } },
      { type: 'tool_use', id: 't2', name: 'f', input: {} },
      { type: 'text', text: 'b' },
    ],
    stop_reason: 'tool_use',
    usage: { ...usage, cache_read_input_tokens: 8 },
  }
  const answer = await gathered([Buffer.from(JSON.stringify(message))], 'application/json')
  assert.deepEqual([answer.text, answer.thoughts], ['ab', 'One.'])
  assert.deepEqual(answer.sealed, message.content.slice(0, 2))
  assert.deepEqual(answer.calls, [
    { id: 't1', name: 'f', argumentsText: '{"a":1}' },
    { id: 't2', name: 'f', argumentsText: '{}' },
  ])
  assert.deepEqual(answer.last, {
    response: [{ type: 'response', requestId: 'req_1', model: 'claude-x' }],
    usage: [{ promptTokens: 20, completionTokens: 1, totalTokens: 21, cachedPromptTokens: 8 }],
    warnings: [],
    finish: [['toolCalls', 'tool_use']],
  })
})

const full = [
  start(),
  ping,
  textOpen(0),
  words(0, 'Grüezi 東京 🦆'),
  close(0),
  toolOpen(1),
  json(1, '{"a":'),
  json(1, '"Zürich"}'),
  close(1),
  ending('tool_use'),
  stop,
]

test('however the bytes are cut, and whichever line ends they have, the answer is the same', async () => {
  const expected = await decode(full)
  assert.equal(expected.text, 'Grüezi 東京 🦆')
  for (const stream of [
    framed(full),
    framed(full).replaceAll('\n', '\r\n'),
    framed(full).replaceAll('}\n', '}   \n'),
  ]) {
    const bytes = Buffer.from(stream)
    for (const cut of [everyByte, insideCharacters, insideLineEnds]) {
      assert.deepEqual(await gathered(cut.of([bytes]) ?? [bytes]), expected, cut.name)
    }
    for (let at = 1; at < bytes.length; at += 1) {
      assert.deepEqual(await gathered([bytes.subarray(0, at), bytes.subarray(at)]), expected, `cut at ${at}`)
    }
  }
})

test('an end before message_stop is a failure, wherever it comes', async () => {
  for (let count = 1; count < full.length; count += 1) {
    const { fault, calls, last } = await decode(full.slice(0, count))
    assert.deepEqual([fault?.code, fault?.detail.cause, fault?.detail.retryable], ['truncated', 'no_end_marker', true])
    assert.deepEqual([calls, last['finish'], last['usage']], [[], [], []])
  }
})

test('an error in mid-stream is a failure, wherever it comes, and keeps its type', async () => {
  const error = { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' }, request_id: 'req_2' }
  for (let count = 0; count < full.length; count += 1) {
    const { fault, last } = await decode([...full.slice(0, count), error])
    assert.deepEqual([fault?.code, fault?.detail.cause], ['overloaded', 'stream_error'])
    assert.deepEqual([fault?.detail.providerCode, fault?.detail.retryable], ['overloaded_error', true])
    assert.deepEqual(last['finish'], [])
  }
})

test('what comes behind message_stop is not read', async () => {
  const { text: read, fault } = await decode([...full, words(0, 'x'), { type: 'error', error: { type: 'api_error' } }])
  assert.deepEqual([read, fault], ['Grüezi 東京 🦆', undefined])
})

const broken: { name: string; stream: string; type?: string; code: string; cause: string }[] = [
  { name: 'data that is no JSON', stream: 'data: {"type":\n\n', code: 'invalid_response', cause: 'bad_json' },
  { name: 'data that is no object', stream: 'data: [1]\n\n', code: 'invalid_response', cause: 'bad_json' },
  {
    name: 'an impossible index',
    stream: framed([start(), textOpen(-1)]),
    code: 'invalid_response',
    cause: 'bad_json',
  },
  {
    name: 'an index beyond all measure',
    stream: framed([start(), textOpen(1e9)]),
    code: 'invalid_response',
    cause: 'bad_json',
  },
  {
    name: 'a web page',
    stream: '<html>',
    type: 'text/html',
    code: 'invalid_response',
    cause: 'bad_content_type',
  },
  {
    name: 'an error as a whole answer',
    stream: '{"type":"error","error":{"type":"api_error","message":"no"}}',
    type: 'application/json',
    code: 'provider_error',
    cause: 'stream_error',
  },
  {
    name: 'an error in another dialect’s shape',
    stream: '{"error":{"code":500,"message":"no","type":"server_error"}}',
    type: 'application/json',
    code: 'provider_error',
    cause: 'stream_error',
  },
]

for (const { name, stream, type, code, cause } of broken) {
  test(`fails: ${name}`, async () => {
    const { fault } = await gathered([Buffer.from(stream)], type)
    assert.deepEqual([fault?.code, fault?.detail.cause], [code, cause])
  })
}

const refused: { status: number; type: string; message?: string; more?: Json; code: string; retryable: boolean }[] = [
  { status: 400, type: 'invalid_request_error', code: 'invalid_request', retryable: false },
  {
    status: 400,
    type: 'invalid_request_error',
    message: 'prompt is too long: 203456 tokens > 200000 maximum',
    code: 'context_length',
    retryable: false,
  },
  { status: 401, type: 'authentication_error', code: 'authentication', retryable: false },
  { status: 402, type: 'billing_error', code: 'quota', retryable: false },
  { status: 403, type: 'permission_error', code: 'permission', retryable: false },
  { status: 404, type: 'not_found_error', message: 'model: claude-nope', code: 'model_not_found', retryable: false },
  { status: 413, type: 'request_too_large', code: 'too_large', retryable: false },
  { status: 429, type: 'rate_limit_error', code: 'rate_limited', retryable: true },
  {
    status: 429,
    type: 'rate_limit_error',
    more: { details: { error_code: 'enforced_spend_limit_reached' } },
    code: 'quota',
    retryable: false,
  },
  { status: 500, type: 'api_error', code: 'provider_error', retryable: true },
  { status: 504, type: 'timeout_error', code: 'provider_error', retryable: true },
  { status: 529, type: 'overloaded_error', code: 'overloaded', retryable: true },
]

for (const { status, type, message = 'no', more = {}, code, retryable } of refused) {
  test(`${status} ${type}${more['details'] ? ', for money,' : ''} is ${code}`, () => {
    const body = JSON.stringify({ type: 'error', error: { type, message, ...more }, request_id: 'req_1' })
    const fault = anthropic.fault(status, { 'request-id': 'req_1' }, body)
    assert.deepEqual([fault.code, fault.detail.retryable, fault.detail.requestId], [code, retryable, 'req_1'])
  })
}

test('a tool with a name that the server would refuse is refused here', () => {
  const named = (name: string) => () => sent({ ...hi, tools: [{ name, inputSchema: { type: 'object' } }] })
  for (const name of ['', 'two words', 'a.b', 'ä', 'a'.repeat(129)]) assert.throws(named(name), /tool name .*128/)
  assert.doesNotThrow(named('a'.repeat(128)))
})
