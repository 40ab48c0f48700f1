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
  written,
} from './sample.ts'

/** Answers of OpenAI's /chat/completions, and of Azure's, after the reference (chat completions, streaming). */

const usage = openaiCounts.map(({ prompt, completion, cached, reasoning }) => ({
  prompt_tokens: prompt,
  completion_tokens: completion,
  total_tokens: prompt + completion,
  ...(cached ? { prompt_tokens_details: { ...cached, audio_tokens: 0 } } : {}),
  ...(reasoning ? { completion_tokens_details: { ...reasoning, accepted_prediction_tokens: 0 } } : {}),
}))

const plan = fc.record({
  content: fc.option(pieces),
  refusal: fc.option(pieces, { freq: 8 }),
  thoughts: pieces,
  thoughtsName: fc.constantFrom('reasoning_content', 'reasoning'),
  calls,
  reason: fc.constantFrom('stop', 'length', 'tool_calls', 'content_filter'),
  usage: fc.option(usage),
  /** Behind the last choice, in the chunk with the finish reason, or growing in every chunk. */
  usagePlace: fc.constantFrom('behind', 'finish', 'every'),
  azure: fc.boolean(),
  padded: fc.boolean(),
  /** Azure's filter tells of pieces that it has already let pass, in chunks without a delta. */
  filtered: fc.boolean(),
  /** A second choice, whose chunks stand among those of the first. */
  other: fc.option(pieces, { freq: 8 }),
  /** What stands for the reason before there is one. */
  unfinished: fc.constantFrom(null, null, ''),
  picks,
  hand,
})

type Plan = typeof plan extends fc.Arbitrary<infer T> ? T : never

function sample(planned: Plan): Sample {
  const { content, refusal, thoughts, thoughtsName, reason, usage, usagePlace, azure, padded, filtered, hand } = planned
  const calls = reason === 'length' ? cutShort(planned.calls) : planned.calls
  const head = { id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model: 'tiny' }
  const chunk = (index: number, delta: object, finish: string | null = planned.unfinished) => ({
    ...head,
    choices: [{ index, delta, finish_reason: finish, ...(padded ? { logprobs: null } : {}) }],
    ...(usage ? { usage: null as object | null } : {}),
    ...(padded ? { service_tier: 'default', system_fingerprint: null, obfuscation: 'aB3' } : {}),
  })
  const fragments = calls.map(({ id, name, pieces: [first = '', ...more] }, index) => [
    chunk(0, { tool_calls: [{ index, id, type: 'function', function: { name, arguments: first } }] }),
    ...more.map((piece) => chunk(0, { tool_calls: [{ index, function: { arguments: piece } }] })),
  ])
  const passed = { ...head, choices: [{ index: 0, finish_reason: null, content_filter_offsets: {} }], usage: null }
  const words = [
    ...thoughts.map((piece) => chunk(0, { [thoughtsName]: piece })),
    ...(content ?? []).map((piece) => chunk(0, { content: piece })),
    ...(refusal ?? []).map((piece) => chunk(0, { refusal: piece })),
    ...(filtered ? [passed] : []),
  ]
  const other = planned.other
    ? [...planned.other.map((piece) => chunk(1, { content: piece })), chunk(1, {}, 'stop')]
    : []
  const first = [...interleaved([words, ...fragments], planned.picks), chunk(0, {}, reason)]
  const body = interleaved([first, [...other]], planned.picks)
  const roles = [0, ...(planned.other ? [1] : [])].map((index) => {
    return chunk(index, { role: 'assistant', content: index === 0 && content === null ? null : '', refusal: null })
  })
  const chunks = [...roles, ...body]
  const last = chunks.at(-1)
  if (usage && usagePlace === 'finish' && last) last.usage = usage
  if (usage && usagePlace === 'every') {
    for (const [at, one] of chunks.entries()) one.usage = { ...usage, completion_tokens: at, total_tokens: at }
  }
  const tail = usage && usagePlace !== 'finish' ? [{ ...head, choices: [], usage }] : []
  const filter = azure ? [{ choices: [], created: 0, id: '', model: '', object: '', prompt_filter_results: [] }] : []
  const message = {
    role: 'assistant',
    content: content?.join('') ?? null,
    refusal: refusal?.join('') ?? null,
    ...(thoughts.length > 0 ? { [thoughtsName]: thoughts.join('') } : {}),
    ...(calls.length > 0
      ? {
          tool_calls: calls.map(({ id, name, pieces }) => {
            return { id, type: 'function', function: { name, arguments: pieces.join('') } }
          }),
        }
      : {}),
  }
  const second = planned.other
    ? [{ index: 1, message: { role: 'assistant', content: planned.other.join('') }, finish_reason: 'stop' }]
    : []
  return {
    stream: asEvents([...[...filter, ...chunks, ...tail].map((data) => ({ data })), { data: '[DONE]' }], hand),
    whole: written(
      {
        ...head,
        object: 'chat.completion',
        choices: [{ index: 0, message, finish_reason: reason }, ...second],
        ...(usage ? { usage } : {}),
      },
      hand,
    ),
  }
}

export const chat: Dialect = {
  name: 'OpenAI /chat/completions',
  path: '/v1/chat/completions',
  streamType: 'text/event-stream; charset=utf-8',
  arguments: { model: 'tiny' },
  env: {},
  failure: 'data: {"error":{"message":"no","type":"server_error","code":null,"param":null}}\n\n',
  samples: plan.map(sample),
}
