import fc from 'fast-check'
import { asEvents, type Dialect, hand, pieces, type Sample, written } from './sample.ts'

/** Answers to a bare prompt: OpenAI's /completions after its reference, Ollama's /api/generate after its docs/api.md. */

const plan = fc.record({
  words: pieces,
  reason: fc.constantFrom('stop', 'length'),
  prompt: fc.nat(9999),
  output: fc.nat(9999),
  counted: fc.boolean(),
  hand,
})

type Plan = typeof plan extends fc.Arbitrary<infer T> ? T : never

function completion({ words, reason, prompt, output, counted, hand }: Plan): Sample {
  const usage = { prompt_tokens: prompt, completion_tokens: output, total_tokens: prompt + output }
  const part = (text: string, finish_reason: string | null) => ({
    id: 'cmpl-1',
    object: 'text_completion',
    created: 1,
    model: 'tiny',
    choices: [{ text, index: 0, logprobs: null, finish_reason }],
  })
  const parts = [...words.map((text) => part(text, null)), part('', reason)]
  const tail = counted ? [{ ...part('', null), choices: [], usage }] : []
  return {
    stream: asEvents([...[...parts, ...tail].map((data) => ({ data })), { data: '[DONE]' }], hand),
    whole: written({ ...part(words.join(''), reason), ...(counted ? { usage } : {}) }, hand),
  }
}

function generation({ words, reason, prompt, output, hand }: Plan): Sample {
  const line = (response: string) => ({ model: 'tiny', created_at: '2026-01-01T00:00:00Z', response, done: false })
  const end = {
    done: true,
    done_reason: reason,
    context: [1, 2],
    ...(prompt > 0 ? { prompt_eval_count: prompt } : {}),
    ...(output > 0 ? { eval_count: output } : {}),
  }
  return {
    stream: [...words.map(line), { ...line(''), ...end }].map((one) => `${written(one, hand)}\n`),
    whole: written({ ...line(words.join('')), ...end }, hand),
  }
}

export const completions: Dialect = {
  name: 'OpenAI /completions',
  path: '/v1/completions',
  streamType: 'text/event-stream; charset=utf-8',
  arguments: { model: 'tiny', mode: 'text' },
  env: {},
  failure: 'data: {"error":{"message":"no","type":"server_error","code":null,"param":null}}\n\n',
  samples: plan.map(completion),
}

export const generate: Dialect = {
  name: 'Ollama /api/generate',
  path: '/api/generate',
  streamType: 'application/x-ndjson',
  arguments: { model: 'tiny', mode: 'text' },
  env: { GATEWAY_URL: '{upstream}', PROVIDER_TYPE: 'ollama' },
  failure: '{"error":"no"}\n',
  samples: plan.map(generation),
}
