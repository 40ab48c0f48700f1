import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Fault } from '../../src/errors.ts'
import type { ChatMessage } from '../../src/gateway.ts'
import { type CompletionArguments, parseCompletion, parseEmbedding } from '../../src/pipeline/parser.ts'

/** What the arguments of a tool mean: one shape of message for all the ways in which they come. */

/** Without the members that are undefined. */
const plain = (value: unknown) => JSON.parse(JSON.stringify(value)) as unknown

function messagesOf(messages: Record<string, unknown>[]): readonly ChatMessage[] {
  const ask = parseCompletion({ messages })
  assert.equal(ask.kind, 'chat')
  return ask.kind === 'chat' ? ask.messages : []
}

const png = 'iVBORw0KGgo='
const image = { type: 'image', data: png, mimeType: 'image/png' }
const text = (words: string) => ({ type: 'text', text: words })
const use = { type: 'tool-use', id: 'c1', name: 'f', arguments: { x: 1 } }

const blocks: [string, unknown, unknown[]][] = [
  ['a string', 'hi', [text('hi')]],
  ['an empty string', '', [text('')]],
  ['an empty list', [], []],
  ['a lone block', { type: 'text', text: 'hi' }, [text('hi')]],
  ['strings among blocks', ['a', { type: 'text', text: 'b' }], [text('a'), text('b')]],
  ['an MCP image', [image], [image]],
  [
    'an MCP audio',
    [{ type: 'audio', data: 'UklGRg==', mimeType: 'audio/wav' }],
    [{ type: 'audio', data: 'UklGRg==', mimeType: 'audio/wav' }],
  ],
  [
    'an embedded text',
    [{ type: 'resource', resource: { uri: 'file:///a.md', mimeType: 'text/markdown', text: '# a' } }],
    [text('# a')],
  ],
  [
    'an embedded picture',
    [{ type: 'resource', resource: { uri: 'file:///dir/a.png', mimeType: 'image/png', blob: png } }],
    [{ ...image, name: 'a.png' }],
  ],
  [
    'an embedded document',
    [{ type: 'resource', resource: { uri: 'file:///dir/a.pdf', mimeType: 'application/pdf', blob: 'JVBERg==' } }],
    [{ type: 'file', data: 'JVBERg==', mimeType: 'application/pdf', name: 'a.pdf' }],
  ],
  [
    'an embedded something',
    [{ type: 'resource', resource: { blob: 'AAAA' } }],
    [{ type: 'file', data: 'AAAA', mimeType: 'application/octet-stream' }],
  ],
  [
    'a link to a picture',
    [{ type: 'resource_link', uri: 'https://example.com/a.png', name: 'a' }],
    [{ type: 'image-url', url: 'https://example.com/a.png' }],
  ],
  [
    'OpenAI’s image',
    [{ type: 'image_url', image_url: { url: 'https://example.com/a.png', detail: 'low' } }],
    [{ type: 'image-url', url: 'https://example.com/a.png' }],
  ],
  ['OpenAI’s image as a plain string', [{ type: 'image_url', image_url: `data:image/png;base64,${png}` }], [image]],
  [
    'OpenAI’s texts of the Responses API',
    [
      { type: 'input_text', text: 'a' },
      { type: 'output_text', text: 'b' },
    ],
    [text('a'), text('b')],
  ],
  ['Anthropic’s image', [{ type: 'image', source: { type: 'base64', media_type: 'image/png', data: png } }], [image]],
  [
    'Anthropic’s image by address',
    [{ type: 'image', source: { type: 'url', url: 'https://example.com/a.png' } }],
    [{ type: 'image-url', url: 'https://example.com/a.png' }],
  ],
  ['a call in MCP’s words', [{ type: 'tool_use', id: 'c1', name: 'f', input: { x: 1 } }], [use]],
  ['a call with its arguments as text', [{ type: 'tool_use', id: 'c1', name: 'f', arguments: '{"x":1}' }], [use]],
  ['a call without arguments', [{ type: 'tool_use', id: 'c1', name: 'f' }], [{ ...use, arguments: {} }]],
  [
    'a call whose arguments are an empty text',
    [{ type: 'tool_use', id: 'c1', name: 'f', input: '' }],
    [{ ...use, arguments: {} }],
  ],
  ...['toolUseId', 'tool_use_id', 'toolCallId', 'tool_call_id'].map((name): [string, unknown, unknown[]] => [
    `a result under ${name}`,
    [{ type: 'tool_result', [name]: 'c1', content: [{ type: 'text', text: 'a' }, image] }],
    [{ type: 'tool-result', id: 'c1', content: [text('a'), image], isError: false }],
  ]),
  [
    'a result as a string',
    [{ type: 'tool_result', toolUseId: 'c1', content: 'a' }],
    [{ type: 'tool-result', id: 'c1', content: [text('a')], isError: false }],
  ],
  [
    'a result without content',
    [{ type: 'tool_result', toolUseId: 'c1' }],
    [{ type: 'tool-result', id: 'c1', content: [text('')], isError: false }],
  ],
  [
    'a failed result',
    [{ type: 'tool_result', toolUseId: 'c1', content: 'a', isError: true }],
    [{ type: 'tool-result', id: 'c1', content: [text('a')], isError: true }],
  ],
  [
    'a failed result in Anthropic’s words',
    [{ type: 'tool_result', tool_use_id: 'c1', content: 'a', is_error: true }],
    [{ type: 'tool-result', id: 'c1', content: [text('a')], isError: true }],
  ],
]
for (const [name, content, parts] of blocks) {
  test(`content: ${name}`, () => {
    assert.deepEqual(plain(messagesOf([{ role: 'user', content }])), [{ role: 'user', content: parts }])
  })
}

const turns: [string, Record<string, unknown>, unknown][] = [
  [
    'OpenAI’s calls',
    {
      role: 'assistant',
      content: null,
      tool_calls: [{ id: 'c1', type: 'function', function: { name: 'f', arguments: '{"x":1}' } }],
    },
    { role: 'assistant', content: [use] },
  ],
  [
    'OpenAI’s calls beside words',
    {
      role: 'assistant',
      content: 'I look',
      tool_calls: [{ id: 'c1', type: 'function', function: { name: 'f', arguments: '' } }],
    },
    { role: 'assistant', content: [text('I look'), { ...use, arguments: {} }] },
  ],
  [
    'the calls of our own results',
    { role: 'assistant', content: '', toolCalls: [{ id: 'c1', name: 'f', arguments: { x: 1 } }] },
    { role: 'assistant', content: [text(''), use] },
  ],
  [
    'OpenAI’s result',
    { role: 'tool', tool_call_id: 'c1', content: 'a' },
    { role: 'tool', content: [{ type: 'tool-result', id: 'c1', content: [text('a')], isError: false }] },
  ],
  [
    'a result under our own name',
    { role: 'tool', toolCallId: 'c1', content: [image], isError: true },
    { role: 'tool', content: [{ type: 'tool-result', id: 'c1', content: [image], isError: true }] },
  ],
  [
    'a tool that answers in blocks',
    { role: 'tool', content: [{ type: 'tool_result', toolUseId: 'c1', content: 'a' }] },
    { role: 'tool', content: [{ type: 'tool-result', id: 'c1', content: [text('a')], isError: false }] },
  ],
  ...['system', 'developer', 'user', 'assistant'].map((role): [string, Record<string, unknown>, unknown] => [
    `role ${role}`,
    { role, content: 'a' },
    { role, content: [text('a')] },
  ]),
]
for (const [name, message, expected] of turns) {
  test(`messages: ${name}`, () => {
    assert.deepEqual(plain(messagesOf([message])), [expected])
  })
}

test('a prompt is a message of the user, system stands before whatever there is', () => {
  assert.deepEqual(plain(parseCompletion({ prompt: 'hi', system: 'be brief' })), {
    kind: 'chat',
    messages: [
      { role: 'system', content: [text('be brief')] },
      { role: 'user', content: [text('hi')] },
    ],
  })
  const ask = parseCompletion({ messages: [{ role: 'system', content: 'a' }], system: 'b' })
  assert.deepEqual(ask.kind === 'chat' && ask.messages.map(({ content }) => content), [[text('b')], [text('a')]])
})

test('everything else keeps its meaning', () => {
  const given: CompletionArguments = {
    model: 'm',
    prompt: 'hi',
    maxTokens: 1,
    temperature: 0,
    topP: 0,
    stop: ['x'],
    seed: 0,
    reasoningEffort: 'low',
    responseSchema: { type: 'object' },
    tools: [{ name: 'f' }],
    toolChoice: 'f',
    timeout: 1.5,
    options: { a: 1 },
  }
  assert.deepEqual(plain(parseCompletion(given)), {
    kind: 'chat',
    model: 'm',
    options: { a: 1 },
    maxTokens: 1,
    temperature: 0,
    topP: 0,
    stop: ['x'],
    seed: 0,
    timeoutMs: 1500,
    messages: [{ role: 'user', content: [text('hi')] }],
    reasoningEffort: 'low',
    responseSchema: { type: 'object' },
    tools: [{ name: 'f', inputSchema: { type: 'object', properties: {} } }],
    toolChoice: 'f',
  })
})

const schema = { type: 'object', properties: { x: { type: 'number' } }, required: ['x'] }
const toolSpellings: [string, Record<string, unknown>, unknown][] = [
  ['MCP', { name: 'f', description: 'd', inputSchema: schema }, { name: 'f', description: 'd', inputSchema: schema }],
  [
    'OpenAI',
    { type: 'function', function: { name: 'f', description: 'd', parameters: schema } },
    { name: 'f', description: 'd', inputSchema: schema },
  ],
  ['OpenAI, flat', { type: 'function', name: 'f', parameters: schema }, { name: 'f', inputSchema: schema }],
  ['Anthropic', { name: 'f', input_schema: schema }, { name: 'f', inputSchema: schema }],
  ['without a schema', { name: 'f' }, { name: 'f', inputSchema: { type: 'object', properties: {} } }],
  [
    'with an empty schema',
    { name: 'f', inputSchema: {} },
    { name: 'f', inputSchema: { type: 'object', properties: {} } },
  ],
]
for (const [name, tool, expected] of toolSpellings) {
  test(`a tool in the words of ${name}`, () => {
    const ask = parseCompletion({ prompt: 'hi', tools: [tool] })
    assert.deepEqual(ask.kind === 'chat' && ask.tools, [expected])
  })
}

test('a choice without tools is passed on, and the dialect tells that there is nothing to choose', () => {
  const ask = parseCompletion({ prompt: 'hi', toolChoice: 'auto' })
  assert.equal(ask.kind === 'chat' && ask.toolChoice, 'auto')
})

test('mode text, said or meant by a suffix', () => {
  const expected = { kind: 'text', prompt: 'def f(', suffix: 'return x', maxTokens: 3 }
  assert.deepEqual(
    plain(parseCompletion({ mode: 'text', prompt: 'def f(', suffix: 'return x', maxTokens: 3 })),
    expected,
  )
  assert.deepEqual(plain(parseCompletion({ prompt: 'def f(', suffix: 'return x', maxTokens: 3 })), expected)
  assert.deepEqual(plain(parseCompletion({ mode: 'text', prompt: 'a' })), { kind: 'text', prompt: 'a' })
})

// Each mistake is told by the argument that it stands in.
const mistakes: [string, CompletionArguments, RegExp][] = [
  ['neither prompt nor messages', {}, /prompt.*messages/],
  ['both prompt and messages', { prompt: 'a', messages: [{ role: 'user', content: 'b' }] }, /prompt.*messages/],
  ['no messages in messages', { messages: [] }, /messages/],
  ['an unknown role', { messages: [{ role: 'robot', content: 'a' }] }, /messages\[0\]\.role/],
  ['no role', { messages: [{ content: 'a' }] }, /messages\[0\]\.role/],
  ['no content', { messages: [{ role: 'user', content: 'a' }, { role: 'user' }] }, /messages\[1\]\.content/],
  ['content that is a number', { messages: [{ role: 'user', content: 7 }] }, /messages\[0\]\.content\[0\]/],
  ['an unknown block', { messages: [{ role: 'user', content: [{ type: 'video' }] }] }, /content\[0\]\.type/],
  ['a block without a type', { messages: [{ role: 'user', content: [{ text: 'a' }] }] }, /content\[0\]\.type/],
  ['a text without text', { messages: [{ role: 'user', content: ['a', { type: 'text' }] }] }, /content\[1\]\.text/],
  [
    'an image without data',
    { messages: [{ role: 'user', content: [{ type: 'image', mimeType: 'image/png' }] }] },
    /data/,
  ],
  ['an image without its type', { messages: [{ role: 'user', content: [{ type: 'image', data: png }] }] }, /mimeType/],
  [
    'an image of a type that is none',
    { messages: [{ role: 'user', content: [{ type: 'image', data: png, mimeType: 'png\r\nx: y' }] }] },
    /mimeType/,
  ],
  [
    'an image that is no base64',
    { messages: [{ role: 'user', content: [{ type: 'image', data: 'not base64!', mimeType: 'image/png' }] }] },
    /base64/,
  ],
  [
    'an image of nothing',
    { messages: [{ role: 'user', content: [{ type: 'image', data: '', mimeType: 'image/png' }] }] },
    /base64/,
  ],
  [
    'an address on this machine’s disk',
    { messages: [{ role: 'user', content: [{ type: 'resource_link', uri: 'file:///etc/passwd' }] }] },
    /https/,
  ],
  [
    'an address of another kind',
    { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'gopher://example.com/' } }] }] },
    /https/,
  ],
  ['a call without an id', { messages: [{ role: 'assistant', content: [{ type: 'tool_use', name: 'f' }] }] }, /id/],
  [
    'a call whose arguments are no JSON',
    { messages: [{ role: 'assistant', content: [{ type: 'tool_use', id: 'c', name: 'f', input: '{' }] }] },
    /arguments/,
  ],
  [
    'a call whose arguments are a list',
    { messages: [{ role: 'assistant', content: [{ type: 'tool_use', id: 'c', name: 'f', input: [1] }] }] },
    /arguments/,
  ],
  ['a tool that answers to nothing', { messages: [{ role: 'tool', content: 'a' }] }, /toolCallId/],
  [
    'a result without an id',
    { messages: [{ role: 'user', content: [{ type: 'tool_result', content: 'a' }] }] },
    /toolUseId/,
  ],
  ['a tool without a name', { prompt: 'a', tools: [{ description: 'd' }] }, /tools\[0\]\.name/],
  ['a tool whose schema is none', { prompt: 'a', tools: [{ name: 'f', inputSchema: 'x' }] }, /tools\[0\]\.inputSchema/],
  ['a choice that names no tool', { prompt: 'a', tools: [{ name: 'f' }], toolChoice: 'g' }, /toolChoice/],
  ['a choice of a tool where there are none', { prompt: 'a', toolChoice: 'g' }, /toolChoice/],
  ['messages in mode text', { mode: 'text', messages: [{ role: 'user', content: 'a' }] }, /messages/],
  ['tools in mode text', { mode: 'text', prompt: 'a', tools: [{ name: 'f' }] }, /tools/],
  ['system in mode text', { mode: 'text', prompt: 'a', system: 'b' }, /system/],
  ['a schema in mode text', { mode: 'text', prompt: 'a', responseSchema: {} }, /responseSchema/],
  ['effort in mode text', { mode: 'text', prompt: 'a', reasoningEffort: 'low' }, /reasoningEffort/],
  ['a suffix in mode chat', { mode: 'chat', prompt: 'a', suffix: 'b' }, /suffix/],
  ['half a surrogate pair in the prompt', { prompt: 'a\ud83d' }, /prompt/],
  ['half a surrogate pair in a message', { messages: [{ role: 'user', content: '\udc00a' }] }, /messages\[0\]/],
  ['half a surrogate pair in stop', { prompt: 'a', stop: ['\ud83d'] }, /stop/],
]
for (const [name, args, where] of mistakes) {
  test(`refused: ${name}`, () => {
    assert.throws(
      () => parseCompletion(args),
      (error) => {
        assert.ok(error instanceof Fault)
        assert.equal(error.code, 'invalid_request')
        assert.match(error.message, where)
        assert.doesNotMatch(error.message, /passwd|not base64!/)
        return true
      },
    )
  })
}

const mine = { type: 'reasoning.text', text: 'Hm.', signature: 's', index: 0 }

const spelledThoughts: [string, Record<string, unknown>, Record<string, unknown>[]][] = [
  ['as a result has them', { reasoningBlocks: [mine] }, [mine]],
  ['in snake_case', { reasoning_blocks: [mine] }, [mine]],
  ['as details of the message', { reasoning_details: [mine] }, [mine]],
  ['as text of the message', { reasoning_content: 'Hm.' }, [{ type: 'reasoning_content', reasoning_content: 'Hm.' }]],
  ['as blocks and as text of the message, once', { reasoningBlocks: [mine], reasoning_content: 'Hm.' }, [mine]],
  ['as blocks of content', { content: [mine, text('Yes')] }, [mine]],
  ['an empty text is none', { reasoning_content: '' }, []],
]
for (const [name, spelling, blocks] of spelledThoughts) {
  test(`thoughts: ${name}`, () => {
    const [message] = messagesOf([{ role: 'assistant', content: 'Yes', ...spelling }])
    const thoughts = blocks.map((block) => ({ type: 'reasoning', block }))
    assert.deepEqual(message?.content, [...thoughts, text('Yes')])
  })
}

const exact = '{"id":9007199254740993,"more":[-12345678901234567890,1152921504606846976,37675332008399210]}'
const digits: [string, Record<string, unknown>][] = [
  ['in argumentsText, which wins', { name: 'f', arguments: { id: 9007199254740992 }, argumentsText: exact }],
  ['in arguments as text', { name: 'f', arguments: exact }],
  ['in OpenAI’s spelling', { function: { name: 'f', arguments: exact } }],
]
for (const [name, call] of digits) {
  test(`integers of many digits come through: ${name}`, () => {
    const [message] = messagesOf([{ role: 'assistant', toolCalls: [{ id: 'c', ...call }] }])
    const [part] = message?.content ?? []
    assert.equal(part?.type === 'tool-use' && JSON.stringify(part.arguments), exact)
  })
}

test('argumentsText that is no object leaves the arguments as they are', () => {
  for (const argumentsText of ['{"x":', '[1]', 7]) {
    const toolCalls = [{ id: 'c', name: 'f', arguments: { a: 1 }, argumentsText }]
    const [message] = messagesOf([{ role: 'assistant', toolCalls }])
    assert.deepEqual(message?.content, [{ type: 'tool-use', id: 'c', name: 'f', arguments: { a: 1 } }])
  }
})

test('embeddings', () => {
  assert.deepEqual(plain(parseEmbedding({ model: 'e', input: ['a', 'b'], dimensions: 3 })), {
    kind: 'embed',
    model: 'e',
    input: ['a', 'b'],
    dimensions: 3,
    encoding: 'float',
  })
  for (const input of [['a', ''], ['\ud83d']]) assert.throws(() => parseEmbedding({ input }), Fault)
})
