import { createServer } from '../../src/mcp/server.ts'
import { createStreamableHttp, defaultSessionLimits } from '../../src/mcp/streamable-http.ts'
import type { Call, ContentBlock, Progress, Tool, ToolDeclaration, ToolResult } from '../../src/tool.ts'
import { type HttpServer, startHttp } from '../../src/transports/http.ts'

/** The wire tower of the gateway over HTTP, with the tools that MCP's conformance suite asks for in the place of its own. */

// A pixel, and a sound of no length.
const image = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='
const audio = 'UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA='

const text = (words: string): ContentBlock => ({ type: 'text', text: words })
const embedded = (uri: string, mimeType: string, words: string): ContentBlock => ({
  type: 'resource',
  resource: { uri, mimeType, text: words },
})

const answers: Readonly<Record<string, ToolResult>> = {
  test_simple_text: { content: [text('This is a simple text response for testing.')] },
  test_image_content: { content: [{ type: 'image', data: image, mimeType: 'image/png' }] },
  test_audio_content: { content: [{ type: 'audio', data: audio, mimeType: 'audio/wav' }] },
  test_embedded_resource: {
    content: [embedded('test://embedded-resource', 'text/plain', 'This is an embedded resource content.')],
  },
  test_multiple_content_types: {
    content: [
      text('Multiple content types test:'),
      { type: 'image', data: image, mimeType: 'image/png' },
      embedded('test://mixed-content-resource', 'application/json', '{"test":"data","value":123}'),
    ],
  },
  test_error_handling: { isError: true, content: [text('This tool intentionally returns an error for testing')] },
  test_tool_with_progress: { content: [text('done')] },
  json_schema_2020_12_tool: { content: [text('done')] },
  // These must not log, or ask for anything, where the client has not said that it wants it.
  test_logging_tool: { content: [text('done')] },
  test_streaming_elicitation: { content: [text('done')] },
}

/** Every keyword of the schema has to arrive. */
const schema2020 = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  type: 'object' as const,
  $defs: {
    address: {
      $anchor: 'addressDef',
      type: 'object',
      properties: { street: { type: 'string' }, city: { type: 'string' } },
    },
  },
  properties: {
    name: { type: 'string' },
    address: { $ref: '#/$defs/address' },
    contactMethod: { type: 'string', enum: ['phone', 'email'] },
    phone: { type: 'string' },
    email: { type: 'string' },
  },
  allOf: [{ anyOf: [{ required: ['phone'] }, { required: ['email'] }] }],
  if: { properties: { contactMethod: { const: 'phone' } }, required: ['contactMethod'] },
  // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
  then: { required: ['phone'] },
  else: { required: ['email'] },
  additionalProperties: false,
}

const declarations = Object.keys(answers).map((name) => ({
  name,
  title: name,
  description: `Does what the suite wants of ${name}.`,
  inputSchema: name === 'json_schema_2020_12_tool' ? schema2020 : { type: 'object' as const },
  annotations: {},
})) as unknown as readonly ToolDeclaration[]

async function* run(name: string, { streaming }: Call): AsyncGenerator<Progress, ToolResult> {
  if (name === 'test_tool_with_progress' && streaming) {
    for (let step = 0; step < 3; step++) {
      yield { message: `step ${step} ` }
      await new Promise((resolve) => setTimeout(resolve, 60))
    }
  }
  return answers[name] as ToolResult
}

export function startConformanceServer(): Promise<HttpServer> {
  const tools = new Map(
    Object.keys(answers).map((name): [string, Tool] => [name, { name, run: (_, call) => run(name, call) }]),
  )
  const toolbox = { declarations, load: async () => tools }
  const createPeer = () => createServer({ name: 'conformance', title: 'Conformance', version: '1' }, '', toolbox)
  return startHttp(
    createStreamableHttp(createPeer, defaultSessionLimits, () => performance.now()),
    {
      host: '127.0.0.1',
      port: 0,
      authorities: [],
      identify: () => '',
      redact: (words) => words,
    },
  )
}
