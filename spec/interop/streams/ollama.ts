import fc from 'fast-check'
import type { Json } from '../../harness/gateway.ts'
import { calls, type Dialect, hand, interleaved, picks, pieces, type Sample, written } from './sample.ts'

/** Answers of Ollama's /api/chat, after its docs/api.md: lines of JSON, of which the last says that it is done. */

const plan = fc.record({
  thoughts: pieces,
  content: pieces,
  calls,
  /** Calls come one a line, or all in one. */
  together: fc.boolean(),
  /** Newer servers give ids and an index; older ones neither. */
  named: fc.boolean(),
  reason: fc.constantFrom('stop', 'stop', 'length'),
  /** A count of zero is left out. */
  prompt: fc.nat(4000),
  output: fc.nat(4000),
  lastWord: fc.constantFrom('', '', 'x'),
  picks,
  hand,
})

type Plan = typeof plan extends fc.Arbitrary<infer T> ? T : never

function sample({
  thoughts,
  content,
  calls,
  together,
  named,
  reason,
  prompt,
  output,
  lastWord,
  picks,
  hand,
}: Plan): Sample {
  const line = (message: object) => ({
    model: 'tiny',
    created_at: '2026-01-01T00:00:00.000000001Z',
    message: { role: 'assistant', content: '', ...message },
    done: false,
  })
  const written_calls: Json[] = calls.map(({ id, name, value }, index) => ({
    ...(named ? { id } : {}),
    function: { ...(named ? { index } : {}), name, arguments: value },
  }))
  const callLines = together && calls.length > 0 ? [written_calls] : written_calls.map((call) => [call])
  const lines = [
    ...thoughts.map((thinking) => line({ thinking })),
    ...interleaved(
      [content.map((piece) => line({ content: piece })), callLines.map((tool_calls) => line({ tool_calls }))],
      picks,
    ),
  ]
  const end = {
    done: true,
    done_reason: reason,
    total_duration: 5,
    ...(prompt > 0 ? { prompt_eval_count: prompt } : {}),
    ...(output > 0 ? { eval_count: output } : {}),
  }
  const all = {
    ...line({
      content: `${content.join('')}${lastWord}`,
      ...(thoughts.join('') === '' ? {} : { thinking: thoughts.join('') }),
      ...(calls.length > 0 ? { tool_calls: written_calls } : {}),
    }),
    ...end,
  }
  const ended = [...lines, { ...line({ content: lastWord }), ...end }]
  return {
    stream: ended.map((one) => `${written(one, hand)}${hand.trail}\n`),
    whole: written(all, hand),
  }
}

export const ollama: Dialect = {
  name: 'Ollama /api/chat',
  path: '/api/chat',
  streamType: 'application/x-ndjson',
  arguments: { model: 'tiny' },
  env: { GATEWAY_URL: '{upstream}', PROVIDER_TYPE: 'ollama' },
  failure: '{"error":"no"}\n',
  samples: plan.map(sample),
}
