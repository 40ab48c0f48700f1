import fc from 'fast-check'
import {
  asEvents,
  calls,
  cutShort,
  type Dialect,
  hand,
  interleaved,
  openaiCounts,
  picks,
  pieces,
  type Sample,
  type ServerEvent,
  somePieces,
  written,
} from './sample.ts'

/** Answers of OpenAI's /responses, after the reference (responses, streaming events). */

type Happening = { type: string; [field: string]: unknown }
/** An item as a whole and as it begins, and what comes between; all but the item's place, which is known later. */
type Item = { whole: object; start: object; happenings: Happening[] }

type Part = { kind: 'output_text' | 'refusal'; pieces: string[]; cited: boolean }

const part: fc.Arbitrary<Part> = fc.record({
  kind: fc.constantFrom<Part['kind'][]>('output_text', 'output_text', 'output_text', 'refusal'),
  pieces: somePieces,
  cited: fc.boolean(),
})

const annotation = { type: 'url_citation', url: 'https://example.com', title: 'x', start_index: 0, end_index: 1 }

function message(parts: readonly Part[], id: string): Item {
  const whole = (kind: Part['kind'], text: string, annotations: object[]) =>
    kind === 'refusal' ? { type: kind, refusal: text } : { type: kind, text, annotations, logprobs: [] }
  const content = parts.map(({ kind, pieces, cited }) => whole(kind, pieces.join(''), cited ? [annotation] : []))
  const head = { id, type: 'message', role: 'assistant' }
  return {
    whole: { ...head, status: 'completed', content },
    start: { ...head, status: 'in_progress', content: [] },
    happenings: parts.flatMap(({ kind, pieces, cited }, content_index): Happening[] => {
      const place = { item_id: id, content_index }
      const text = pieces.join('')
      return [
        { type: 'response.content_part.added', ...place, part: whole(kind, '', []) },
        ...pieces.map((delta) => ({ type: `response.${kind}.delta`, ...place, delta, obfuscation: 'x' })),
        ...(cited && kind === 'output_text'
          ? [{ type: 'response.output_text.annotation.added', ...place, annotation_index: 0, annotation }]
          : []),
        { type: `response.${kind}.done`, ...place, [kind === 'refusal' ? 'refusal' : 'text']: text },
        { type: 'response.content_part.done', ...place, part: content[content_index] },
      ]
    }),
  }
}

function reasoning(summaries: readonly string[][], sealed: boolean, id: string): Item {
  const head = { id, type: 'reasoning' }
  const summary = summaries.map((pieces) => ({ type: 'summary_text', text: pieces.join('') }))
  return {
    whole: { ...head, summary, ...(sealed ? { encrypted_content: 'opaque==' } : {}) },
    start: { ...head, summary: [] },
    happenings: summaries.flatMap((pieces, summary_index): Happening[] => {
      const place = { item_id: id, summary_index }
      const part = summary[summary_index]
      return [
        { type: 'response.reasoning_summary_part.added', ...place, part: { type: 'summary_text', text: '' } },
        ...pieces.map((delta) => ({ type: 'response.reasoning_summary_text.delta', ...place, delta })),
        { type: 'response.reasoning_summary_text.done', ...place, text: pieces.join('') },
        { type: 'response.reasoning_summary_part.done', ...place, part },
      ]
    }),
  }
}

function search(id: string): Item {
  const head = { id, type: 'web_search_call', action: { type: 'search', query: 'x' } }
  return {
    whole: { ...head, status: 'completed' },
    start: { ...head, status: 'in_progress' },
    happenings: [{ type: 'response.web_search_call.searching', item_id: id }],
  }
}

const usage = openaiCounts.map(({ prompt, completion, cached, reasoning }) => ({
  input_tokens: prompt,
  output_tokens: completion,
  total_tokens: prompt + completion,
  ...(cached ? { input_tokens_details: cached } : {}),
  ...(reasoning ? { output_tokens_details: reasoning } : {}),
}))

const plan = fc.record({
  thoughts: fc.option(fc.record({ summaries: fc.array(pieces, { maxLength: 3 }), sealed: fc.boolean() })),
  searches: fc.boolean(),
  messages: fc.array(fc.array(part, { minLength: 1, maxLength: 3 }), { maxLength: 2 }),
  calls,
  ending: fc.constantFrom('completed', 'completed', 'max_output_tokens', 'content_filter'),
  usage: fc.option(usage),
  /** Some servers do not repeat the items in the end. */
  repeats: fc.boolean(),
  picks,
  hand,
})

type Plan = typeof plan extends fc.Arbitrary<infer T> ? T : never

function sample({ thoughts, searches, messages, calls: planned, ending, usage, repeats, picks, hand }: Plan): Sample {
  const calls = ending === 'max_output_tokens' ? cutShort(planned) : planned
  const spoken = [
    ...(thoughts ? [reasoning(thoughts.summaries, thoughts.sealed, 'rs_0')] : []),
    ...(searches ? [search('ws_0')] : []),
    ...messages.map((parts, at) => message(parts, `msg_${at}`)),
  ]
  const called = calls.map(({ id, name, pieces }): Item => {
    const head = { id: `fc_${id}`, type: 'function_call', call_id: id, name }
    return {
      whole: { ...head, status: 'completed', arguments: pieces.join('') },
      start: { ...head, status: 'in_progress', arguments: '' },
      happenings: [
        ...pieces.map((delta) => ({ type: 'response.function_call_arguments.delta', item_id: head.id, delta })),
        { type: 'response.function_call_arguments.done', item_id: head.id, name, arguments: pieces.join('') },
      ],
    }
  })
  const added = ({ start: item }: Item, output_index: number): Happening => {
    return { type: 'response.output_item.added', output_index, item }
  }
  const filled = ({ happenings, whole: item }: Item, output_index: number): Happening[] => [
    ...happenings.map((one) => ({ ...one, output_index })),
    { type: 'response.output_item.done', output_index, item },
  ]
  const base = spoken.length
  const body = [
    ...spoken.flatMap((item, at) => [added(item, at), ...filled(item, at)]),
    // Calls of tools may be written side by side.
    ...called.map((item, at) => added(item, base + at)),
    ...interleaved(
      called.map((item, at) => filled(item, base + at)),
      picks,
    ),
  ]
  const head = { id: 'resp_1', object: 'response', created_at: 1, model: 'tiny', error: null }
  const begun = { ...head, status: 'in_progress', incomplete_details: null, output: [], usage: null }
  const complete = ending === 'completed'
  const response = {
    ...head,
    status: complete ? 'completed' : 'incomplete',
    incomplete_details: complete ? null : { reason: ending },
    output: [...spoken, ...called].map(({ whole }) => whole),
    usage,
  }
  const events: Happening[] = [
    { type: 'response.created', response: begun },
    { type: 'response.in_progress', response: begun },
    ...body,
    { type: `response.${response.status}`, response: repeats ? response : { ...response, output: undefined } },
  ]
  return {
    stream: asEvents(
      events.map((data, sequence_number): ServerEvent => ({ event: data.type, data: { ...data, sequence_number } })),
      hand,
    ),
    whole: written(response, hand),
  }
}

export const responses: Dialect = {
  name: 'OpenAI /responses',
  path: '/v1/responses',
  streamType: 'text/event-stream; charset=utf-8',
  arguments: { model: 'gpt-5-pro' },
  env: {},
  failure: 'event: error\ndata: {"type":"error","code":"server_error","message":"no","param":null}\n\n',
  samples: plan.map(sample),
}
