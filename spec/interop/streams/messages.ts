import fc from 'fast-check'
import {
  asEvents,
  calls,
  type Dialect,
  hand,
  maybeCount,
  pieces,
  type Sample,
  type ServerEvent,
  somePieces,
  written,
} from './sample.ts'

/** Answers of Anthropic's /v1/messages, after its reference (messages, streaming messages). */

type Delta = { type: string; [field: string]: unknown }
/** A block as a whole, as it begins, and what comes between. */
type Block = { whole: object; start: object; deltas: Delta[] }

const words: fc.Arbitrary<Block> = fc
  .record({ first: fc.constantFrom('', '', 'A'), pieces: somePieces, cited: fc.boolean() })
  .map(({ first, pieces, cited }) => {
    const citation = {
      type: 'char_location',
      cited_text: 'x',
      document_index: 0,
      start_char_index: 0,
      end_char_index: 1,
    }
    const deltas: Delta[] = pieces.map((text) => ({ type: 'text_delta', text }))
    return {
      whole: { type: 'text', text: `${first}${pieces.join('')}`, citations: cited ? [citation] : null },
      start: { type: 'text', text: first },
      deltas: cited ? [...deltas, { type: 'citations_delta', citation }] : deltas,
    }
  })

const thoughts: fc.Arbitrary<Block> = pieces.map((thinking) => ({
  whole: { type: 'thinking', thinking: thinking.join(''), signature: 'sealed==' },
  start: { type: 'thinking', thinking: '', signature: '' },
  deltas: [
    ...thinking.map((piece) => ({ type: 'thinking_delta', thinking: piece })),
    { type: 'signature_delta', signature: 'sealed==' },
  ],
}))

const hidden: fc.Arbitrary<Block> = fc.constant({ type: 'redacted_thinking', data: 'opaque==' }).map((whole) => {
  return { whole, start: whole, deltas: [] }
})

const search: fc.Arbitrary<Block[]> = fc.constant([
  {
    whole: { type: 'server_tool_use', id: 'srvtoolu_1', name: 'web_search', input: { query: 'x' } },
    start: { type: 'server_tool_use', id: 'srvtoolu_1', name: 'web_search', input: {} },
    deltas: [{ type: 'input_json_delta', partial_json: '{"query":"x"}' }],
  },
  {
    whole: { type: 'web_search_tool_result', tool_use_id: 'srvtoolu_1', content: [] },
    start: { type: 'web_search_tool_result', tool_use_id: 'srvtoolu_1', content: [] },
    deltas: [],
  },
])

/** Calls of the caller's tools; the first piece of the arguments is often empty, and so are absent arguments. */
const uses: fc.Arbitrary<Block[]> = fc.tuple(calls, fc.boolean()).map(([list, hesitant]) =>
  list.map(({ id, name, value, pieces }) => ({
    whole: { type: 'tool_use', id, name, input: value },
    start: { type: 'tool_use', id, name, input: {} },
    deltas: [...(hesitant ? [''] : []), ...pieces].map((partial_json) => ({ type: 'input_json_delta', partial_json })),
  })),
)

const cacheCounts = fc
  .tuple(
    maybeCount('cache_creation_input_tokens'),
    maybeCount('cache_read_input_tokens'),
    fc.constantFrom({}, { output_tokens_details: null }, { output_tokens_details: { thinking_tokens: 7 } }),
  )
  .map(([created, read, thinking]) => ({ ...created, ...read, ...thinking }))

const plan = fc.record({
  blocks: fc
    .tuple(fc.array(fc.oneof(words, thoughts, hidden), { maxLength: 4 }), fc.option(search, { freq: 6 }), uses)
    .map(([said, searched, used]) => [...said, ...(searched ?? []), ...used]),
  reason: fc.constantFrom(
    'end_turn',
    'max_tokens',
    'stop_sequence',
    'tool_use',
    'pause_turn',
    'refusal',
    'model_context_window_exceeded',
  ),
  input: fc.nat(9999),
  output: fc.nat(9999),
  early: cacheCounts,
  late: cacheCounts,
  revisesInput: fc.boolean(),
  pings: fc.array(fc.nat(30), { maxLength: 4 }),
  hand,
})

type Plan = typeof plan extends fc.Arbitrary<infer T> ? T : never

function sample({ blocks, reason, input, output, early, late, revisesInput, pings, hand }: Plan): Sample {
  const stop = { stop_reason: reason, stop_sequence: reason === 'stop_sequence' ? 'END' : null }
  const message = { id: 'msg_1', type: 'message', role: 'assistant', model: 'tiny', content: [] as object[] }
  const started = { input_tokens: revisesInput ? 1 : input, output_tokens: 1, ...early, service_tier: 'standard' }
  const ended = { output_tokens: output, ...(revisesInput ? { input_tokens: input } : {}), ...late }
  const events: Delta[] = [
    { type: 'message_start', message: { ...message, stop_reason: null, stop_sequence: null, usage: started } },
    ...blocks.flatMap(({ start, deltas }, index) => [
      { type: 'content_block_start', index, content_block: start },
      ...deltas.map((delta) => ({ type: 'content_block_delta', index, delta })),
      { type: 'content_block_stop', index },
    ]),
    { type: 'message_delta', delta: stop, usage: ended },
    { type: 'message_stop' },
  ]
  const withPings = events.flatMap((event, at) => (pings.includes(at) ? [{ type: 'ping' }, event] : [event]))
  return {
    stream: asEvents(
      withPings.map((data): ServerEvent => ({ event: data.type, data })),
      hand,
    ),
    whole: written(
      {
        ...message,
        content: blocks.map(({ whole }) => whole),
        ...stop,
        usage: { ...started, input_tokens: input, output_tokens: output, ...known(late) },
      },
      hand,
    ),
  }
}

/** Later counts replace the earlier ones, but a null says nothing. */
function known(counts: object): object {
  return Object.fromEntries(Object.entries(counts).filter(([, count]) => count !== null))
}

export const messages: Dialect = {
  name: 'Anthropic /v1/messages',
  path: '/v1/messages',
  streamType: 'text/event-stream; charset=utf-8',
  arguments: { model: 'tiny' },
  env: { GATEWAY_URL: '{upstream}', PROVIDER_TYPE: 'anthropic' },
  failure: 'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"no"}}\n\n',
  samples: plan.map(sample),
}
