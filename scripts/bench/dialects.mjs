// What the providers of the benchmark are asked, and what they write: the upstream sends it, the pass-through reads it, and
// undici itself asks with it.

const json = JSON.stringify
const question = (prompt) => [{ role: 'user', content: prompt }]

const openaiChunk = (choices, more = {}) =>
  `data: ${json({ id: 'chatcmpl-bench', object: 'chat.completion.chunk', created: 1, model: 'bench', choices, ...more })}\n\n`
const openaiChoice = (delta, finish_reason = null) => openaiChunk([{ index: 0, delta, logprobs: null, finish_reason }])

const anthropicEvent = (type, fields = {}) => `event: ${type}\ndata: ${json({ type, ...fields })}\n\n`

const ollamaLine = (content, more) =>
  `${json({ model: 'bench', created_at: '2026-11-22T08:00:00.000000001Z', message: { role: 'assistant', content }, ...more })}\n`

export const dialects = {
  openai: {
    base: '/v1',
    path: '/chat/completions',
    headers: (key) => ({ 'content-type': 'application/json', authorization: `Bearer ${key}` }),
    body: (model, prompt) => ({
      model,
      messages: question(prompt),
      stream: true,
      stream_options: { include_usage: true },
    }),
    type: 'text/event-stream',
    opening: '',
    piece: (content) => openaiChoice({ content }),
    ending(tokens) {
      const usage = { prompt_tokens: 9, completion_tokens: tokens, total_tokens: 9 + tokens }
      return `${openaiChoice({}, 'stop')}${openaiChunk([], { usage })}data: [DONE]\n\n`
    },
    separator: '\n\n',
    textOf: ({ choices }) => choices[0]?.delta.content,
  },
  anthropic: {
    base: '',
    path: '/v1/messages',
    headers: (key) => ({
      'anthropic-version': '2023-06-01',
      'content-type': 'application/json',
      'x-api-key': key,
    }),
    body: (model, prompt) => ({
      model,
      max_tokens: 4096,
      messages: [{ role: 'user', content: [{ type: 'text', text: prompt }] }],
      stream: true,
    }),
    type: 'text/event-stream; charset=utf-8',
    opening:
      anthropicEvent('message_start', {
        message: {
          id: 'msg_bench',
          type: 'message',
          role: 'assistant',
          model: 'bench',
          content: [],
          stop_reason: null,
          stop_sequence: null,
          usage: { input_tokens: 9, output_tokens: 1 },
        },
      }) + anthropicEvent('content_block_start', { index: 0, content_block: { type: 'text', text: '' } }),
    piece: (text) => anthropicEvent('content_block_delta', { index: 0, delta: { type: 'text_delta', text } }),
    ending: (tokens) =>
      anthropicEvent('content_block_stop', { index: 0 }) +
      anthropicEvent('message_delta', {
        delta: { stop_reason: 'end_turn', stop_sequence: null },
        usage: { output_tokens: tokens },
      }) +
      anthropicEvent('message_stop'),
    separator: '\n\n',
    textOf: ({ delta }) => delta?.text,
  },
  ollama: {
    base: '',
    path: '/api/chat',
    headers: (key) => ({ 'content-type': 'application/json', authorization: `Bearer ${key}` }),
    body: (model, prompt) => ({ model, messages: question(prompt), stream: true, truncate: false }),
    type: 'application/x-ndjson',
    opening: '',
    piece: (content) => ollamaLine(content, { done: false }),
    ending: (tokens) =>
      ollamaLine('', {
        done: true,
        done_reason: 'stop',
        total_duration: 1,
        load_duration: 1,
        prompt_eval_count: 9,
        prompt_eval_duration: 1,
        eval_count: tokens,
        eval_duration: 1,
      }),
    separator: '\n',
    textOf: ({ message }) => message.content,
  },
}
