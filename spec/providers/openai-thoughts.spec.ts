import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ChatAsk, Event, Part } from '../../src/gateway.ts'
import type { Provider, Target } from '../../src/provider.ts'
import { presets } from '../../src/providers/index.ts'
import { eventsIn } from '../harness/events.ts'

/** Thoughts that compatible servers hand out to have them back: gathered from an answer, and sent with the next ask. */

type Json = Record<string, unknown>

function chatOf(type: string): NonNullable<Provider['chat']> {
  const chat = presets[type]?.dialect.chat
  assert.ok(chat)
  return chat
}

const tools = [{ name: 'f', inputSchema: { type: 'object' } }]

async function blocksFrom(type: string, deltas: readonly Json[], ask: Partial<ChatAsk> = { tools }): Promise<Json[]> {
  async function* body() {
    for (const delta of deltas) yield Buffer.from(`data: ${JSON.stringify({ choices: [{ index: 0, delta }] })}\n\n`)
    yield Buffer.from('data: [DONE]\n\n')
  }
  const response = { status: 200, headers: { 'content-type': 'text/event-stream' }, body: body() }
  const events: Event[] = []
  for await (const event of eventsIn(chatOf(type).decode(response, { kind: 'chat', messages: [], ...ask })))
    events.push(event)
  return events.flatMap((event) => (event.type === 'reasoning-block' ? [event.block] : []))
}

const words = (index: number, text: string, more: Json = {}) => ({ type: 'reasoning.text', text, index, ...more })
const detail = (...items: Json[]) => ({ content: 'x', reasoning_details: items })

const gathered: { name: string; deltas: Json[]; blocks: Json[] }[] = [
  {
    name: 'words in pieces, and their signature behind them',
    deltas: [
      detail(words(0, 'a', { signature: null })),
      detail(words(0, 'b')),
      detail(words(0, '', { signature: 's' })),
    ],
    blocks: [words(0, 'ab', { signature: 's' })],
  },
  {
    name: 'words of two thoughts in turns',
    deltas: [detail(words(0, 'a'), words(1, 'x')), detail(words(0, 'b'), words(1, 'y'))],
    blocks: [words(0, 'ab'), words(1, 'xy')],
  },
  {
    name: 'words behind a signature are another thought',
    deltas: [detail(words(0, 'a', { signature: 's' })), detail(words(0, 'b'))],
    blocks: [words(0, 'a', { signature: 's' }), words(0, 'b')],
  },
  {
    name: 'another id is another thought',
    deltas: [detail(words(0, 'a', { id: 'r1' })), detail(words(0, 'b', { id: 'r2' }))],
    blocks: [words(0, 'a', { id: 'r1' }), words(0, 'b', { id: 'r2' })],
  },
  {
    name: 'what is encrypted comes whole, twice at one index',
    deltas: [
      detail({ type: 'reasoning.encrypted', data: 'a', index: 0 }),
      detail({ type: 'reasoning.encrypted', data: 'b', index: 0 }),
    ],
    blocks: [
      { type: 'reasoning.encrypted', data: 'a', index: 0 },
      { type: 'reasoning.encrypted', data: 'b', index: 0 },
    ],
  },
  {
    name: 'summaries, without an index',
    deltas: [detail({ type: 'reasoning.summary', summary: 'a' }), detail({ type: 'reasoning.summary', summary: 'b' })],
    blocks: [{ type: 'reasoning.summary', summary: 'ab' }],
  },
  {
    name: 'what is no list of objects is passed over',
    deltas: [{ content: 'x', reasoning_details: ['a', null, 1] }],
    blocks: [],
  },
]

for (const { name, deltas, blocks } of gathered) {
  test(`details: ${name}`, async () => {
    assert.deepEqual(await blocksFrom('openrouter', deltas), blocks)
  })
}

test('the words of details are shown where they stand nowhere else', async () => {
  const body = { choices: [{ message: { content: 'x', reasoning_details: [words(0, 'a'), words(1, 'b')] } }] }
  async function* whole() {
    yield Buffer.from(JSON.stringify(body))
  }
  const response = { status: 200, headers: { 'content-type': 'application/json' }, body: whole() }
  const shown: string[] = []
  for await (const event of eventsIn(chatOf('groq').decode(response, { kind: 'chat', messages: [] }))) {
    if (event.type === 'reasoning-delta') shown.push(event.text)
  }
  assert.deepEqual(shown, ['ab'])
})

test('a plain text of thoughts is kept where tools can be called, and nowhere else', async () => {
  const deltas = [{ reasoning_content: 'a' }, { reasoning_content: 'b' }, { content: 'x' }]
  assert.deepEqual(await blocksFrom('deepseek', deltas), [{ type: 'reasoning_content', reasoning_content: 'ab' }])
  assert.deepEqual(await blocksFrom('deepseek', deltas, {}), [])
  assert.deepEqual(await blocksFrom('groq', deltas), [])
})

test('a mark of Gemini’s that is no seal is none', async () => {
  const thought = { content: 'hm', extra_content: { google: { thought: true } } }
  assert.deepEqual(await blocksFrom('gemini', [thought]), [])
})

const thought = (block: Json): Part => ({ type: 'reasoning', block })
const sealed: Readonly<Record<string, Json>> = {
  reasoning_details: { type: 'reasoning.encrypted', data: 'c2VhbGVk', index: 0 },
  reasoning_content: { type: 'reasoning_content', reasoning_content: 'Hm.' },
  extra_content: { type: 'extra_content', extra_content: { google: { thought_signature: 'c2VhbGVk' } } },
}

const takers: { type: string; baseUrl?: string; takes: string[] }[] = [
  { type: 'openrouter', takes: ['reasoning_details'] },
  { type: 'gemini', takes: ['extra_content'] },
  { type: 'deepseek', takes: ['reasoning_content'] },
  { type: 'vllm', takes: ['reasoning_content'] },
  { type: 'llamacpp', takes: ['reasoning_content'] },
  { type: 'groq', takes: [] },
  { type: 'mistral', takes: [] },
  { type: 'lmstudio', takes: [] },
  { type: 'azure', baseUrl: 'https://r.openai.azure.com', takes: [] },
  { type: 'openai', takes: [] },
  {
    type: 'openai',
    baseUrl: 'https://llm.example.com/v1',
    takes: ['extra_content', 'reasoning_content', 'reasoning_details'],
  },
]

for (const { type, baseUrl = presets[type]?.baseUrl ?? '', takes } of takers) {
  test(`${type} at ${baseUrl} takes back ${takes.join(', ') || 'nothing'}`, () => {
    const target: Target = { provider: 'mine', model: 'tiny', baseUrl, headers: {} }
    const content: Part[] = [...Object.values(sealed).map(thought), { type: 'text', text: 'Yes' }]
    const ask: ChatAsk = { kind: 'chat', messages: [{ role: 'assistant', content }] }
    const { json, warnings } = chatOf(type).encode(ask, target)
    const [{ role, content: said, ...thoughts } = {} as Json] = (json?.['messages'] ?? []) as Json[]
    assert.deepEqual([role, said], ['assistant', 'Yes'])
    assert.deepEqual(Object.keys(thoughts).sort(), takes)
    const left = takes.length < 3
    assert.deepEqual(
      warnings,
      left ? ['thoughts of an earlier turn were left out: this kind of provider cannot take them back'] : [],
    )
    if (takes.includes('reasoning_details'))
      assert.deepEqual(thoughts['reasoning_details'], [sealed['reasoning_details']])
    if (takes.includes('reasoning_content')) assert.equal(thoughts['reasoning_content'], 'Hm.')
  })
}
