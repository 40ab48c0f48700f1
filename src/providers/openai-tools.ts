import { Fault } from '../errors.ts'
import type { Event, Events, ToolAsk } from '../gateway.ts'
import type { HttpResponse } from '../http/message.ts'
import type { EncodedRequest, ProviderTool, Target } from '../provider.ts'
import { isObject } from './json.ts'
import { responses } from './openai-responses.ts'
import { asResult, decodeResult, post, readResult, stringOf, text } from './provider-tools.ts'

/** OpenAI's services beside its models' words (OpenAPI document 2.3.0). The models are defaults, not the only ones. */
export const openaiTools: Readonly<Record<string, ProviderTool>> = {
  moderate: {
    description: 'Tells whether a text is harmful, and in which ways',
    inputSchema: {
      type: 'object',
      properties: { input: text('The text'), model: text('Default: omni-moderation-latest') },
      required: ['input'],
    },
    sendOnce: false,
    encode: (ask, { baseUrl }) =>
      post(`${baseUrl}/moderations`, {
        model: stringOf(ask, 'model', 'omni-moderation-latest'),
        input: ask.arguments['input'],
      }),
    decode: decodeResult,
  },
  generateImage: {
    description: 'Draws a picture from a description',
    inputSchema: {
      type: 'object',
      properties: {
        prompt: text('What to draw'),
        model: text('Default: gpt-image-1'),
        size: text('Width and height, as 1024x1024'),
        quality: text('low, medium or high'),
        background: text('transparent or opaque'),
      },
      required: ['prompt'],
    },
    sendOnce: true,
    encode: (ask, { baseUrl }) => ({
      ...post(`${baseUrl}/images/generations`, { ...ask.arguments, model: stringOf(ask, 'model', 'gpt-image-1') }),
      slowStart: true,
    }),
    decode: decodeImages,
  },
  transcribe: {
    description: 'Writes down what is said in a recording',
    inputSchema: {
      type: 'object',
      properties: {
        audio: text('The recording, base64'),
        mimeType: text('Its media type, as audio/wav'),
        model: text('Default: gpt-4o-mini-transcribe'),
        language: text('Its language, as en'),
        prompt: text('Words that are likely to occur'),
      },
      required: ['audio', 'mimeType'],
    },
    sendOnce: true,
    encode: encodeTranscription,
    decode: decodeTranscription,
  },
  searchWeb: {
    description: 'Answers a question after searching the web',
    inputSchema: {
      type: 'object',
      properties: { prompt: text('The question'), model: text('Default: gpt-4o-mini') },
      required: ['prompt'],
    },
    sendOnce: true,
    encode: (ask, { baseUrl }) => ({
      ...post(`${baseUrl}/responses`, {
        model: stringOf(ask, 'model', 'gpt-4o-mini'),
        input: ask.arguments['prompt'],
        tools: [{ type: 'web_search' }],
        stream: true,
        store: false,
      }),
      slowStart: true,
    }),
    decode: (response) => asResult(responses.decode(response, { kind: 'chat', messages: [] })),
  },
}

async function* decodeImages(response: HttpResponse): AsyncGenerator<Events> {
  const { data, output_format: format, usage } = await readResult(response)
  const images = Array.isArray(data) ? data.filter(isObject) : []
  if (images.length === 0) throw new Fault('invalid_response', 'the answer holds no picture', { cause: 'empty' })
  const events: Event[] = []
  for (const { b64_json, url, revised_prompt } of images) {
    if (typeof revised_prompt === 'string')
      events.push({ type: 'warning', message: `the prompt was revised: ${revised_prompt}` })
    if (typeof b64_json === 'string') {
      const mimeType = `image/${typeof format === 'string' ? format : 'png'}`
      events.push({ type: 'content', part: { type: 'image', data: b64_json, mimeType } })
    } else if (typeof url === 'string') events.push({ type: 'text-delta', text: `${url}\n` })
  }
  yield [...events, { type: 'result', value: { images: images.length, ...(isObject(usage) ? { usage } : {}) } }]
}

/** The one endpoint that takes a form (RFC 7578) and not JSON. The boundary cannot occur in base64 or in the words. */
function encodeTranscription(ask: ToolAsk, { baseUrl }: Target): EncodedRequest {
  const { audio, language, prompt } = ask.arguments
  const mimeType = stringOf(ask, 'mimeType', 'audio/wav')
  if (!/^[\w.+-]+\/[\w.+-]+$/.test(mimeType)) throw new Fault('invalid_request', 'mimeType is not a media type')
  const boundary = 'genai-gateway-form-7d1f5b0c9e'
  const fields = { model: stringOf(ask, 'model', 'gpt-4o-mini-transcribe'), response_format: 'json', language, prompt }
  const parts = Object.entries(fields)
    .filter((field): field is [string, string] => typeof field[1] === 'string')
    .map(([name, value]) => {
      if (value.includes(boundary)) throw new Fault('invalid_request', `${name} cannot be sent in a form`)
      return `--${boundary}\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`
    })
  const extension = mimeType.slice(mimeType.indexOf('/') + 1).replace(/^x-|^vnd\./, '')
  const file = `--${boundary}\r\ncontent-disposition: form-data; name="file"; filename="audio.${extension}"\r\ncontent-type: ${mimeType}\r\n\r\n`
  return {
    method: 'POST',
    url: `${baseUrl}/audio/transcriptions`,
    headers: { 'content-type': `multipart/form-data; boundary=${boundary}` },
    bytes: Buffer.concat([
      Buffer.from(parts.join('') + file),
      Buffer.from(String(audio), 'base64'),
      Buffer.from(`\r\n--${boundary}--\r\n`),
    ]),
    warnings: [],
  }
}

async function* decodeTranscription(response: HttpResponse): AsyncGenerator<Events> {
  const { text: words, ...rest } = await readResult(response)
  if (typeof words !== 'string') throw new Fault('invalid_response', 'the answer holds no text', { cause: 'empty' })
  yield [
    { type: 'text-delta', text: words },
    { type: 'result', value: { text: words, ...rest } },
  ]
}
