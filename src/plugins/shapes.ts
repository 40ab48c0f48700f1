import { faultCodes } from '../errors.ts'
import { finishReasons } from '../gateway.ts'
import * as z from '../schema.ts'

export type Shapes = ReturnType<typeof createShapes>

/** What these say of a request is for whoever sends it. */
const connectionHeaders = new Set([
  ...['host', 'connection', 'keep-alive', 'content-length', 'transfer-encoding', 'expect', 'upgrade', 'te', 'trailer'],
])

/** What may come out of a plugin's thread: nothing there is taken at its word. Made only where there is a plugin. */
export function createShapes() {
  const count = z.number().check(z.nonnegative())
  const index = z.int().check(z.nonnegative())
  const json = z.record(z.string(), z.unknown()).check(z.refine(isJson, 'cannot be written as JSON'))
  const text = z.string()
  const maybe = z.optional(text)
  const headers = z.record(
    z.string().check(
      z.regex(/^[!#$%&'*+.^_`|~\w-]+$/),
      z.refine((name) => !connectionHeaders.has(name.toLowerCase()), 'the connection is the gateway’s'),
    ),
    z.string().check(z.regex(/^[\t\x20-\x7e]*$/)),
  )

  const description = z.object({
    operations: z.array(z.enum(['chat', 'text', 'embed', 'models'])),
    tools: z.record(
      z.string().check(z.regex(/^[A-Za-z][\w-]{0,63}$/)),
      z.object({
        description: z.string().check(z.maxLength(1000)),
        inputSchema: z.looseObject({
          type: z.literal('object'),
          properties: json,
          required: z.optional(z.array(text)),
        }),
        sendOnce: z.boolean(),
      }),
    ),
  })

  const encoded = z.object({
    method: z.enum(['GET', 'POST']),
    url: z.url(),
    headers,
    json: z.optional(json),
    bytes: z.optional(z.instanceof(Uint8Array)),
    warnings: z.array(text),
    slowStart: z.optional(z.boolean()),
  })

  const token = z.object({ token: text, logprob: z.number() })
  const event = z.discriminatedUnion('type', [
    z.object({ type: z.literal('response'), requestId: maybe, model: maybe }),
    z.object({ type: z.literal('text-delta'), text }),
    z.object({ type: z.literal('reasoning-delta'), text }),
    z.object({ type: z.literal('reasoning-block'), block: json }),
    z.object({ type: z.literal('tool-call'), id: text, name: text, argumentsText: text }),
    z.object({
      type: z.literal('logprobs'),
      tokens: z.array(z.extend(token, { topLogprobs: z.optional(z.array(token)) })),
    }),
    z.object({
      type: z.literal('content'),
      part: z.object({ type: z.enum(['image', 'audio', 'file']), data: text, mimeType: text, name: maybe }),
    }),
    z.object({
      type: z.literal('citation'),
      url: z.optional(z.url({ protocol: /^https?$/ })),
      title: maybe,
      text: maybe,
    }),
    z.object({ type: z.literal('result'), value: json }),
    z.object({ type: z.literal('step') }),
    z.object({ type: z.literal('embedding'), index, embedding: z.union([text, z.array(z.number())]) }),
    z.object({
      type: z.literal('model'),
      model: z.object({
        name: text,
        created: z.optional(count),
        ownedBy: maybe,
        contextWindow: z.optional(count),
        capabilities: z.optional(z.array(text)),
      }),
    }),
    z.object({ type: z.literal('next-page'), after: text }),
    z.object({
      type: z.literal('usage'),
      usage: z.object({
        promptTokens: count,
        completionTokens: count,
        totalTokens: count,
        cachedPromptTokens: z.optional(count),
        reasoningTokens: z.optional(count),
      }),
    }),
    z.object({ type: z.literal('warning'), message: text }),
    z.object({ type: z.literal('finish'), reason: z.enum(finishReasons), raw: maybe }),
  ])

  const fault = z.object({
    code: z.enum(faultCodes),
    message: text,
    detail: z.object({
      cause: maybe,
      status: z.optional(count),
      providerCode: maybe,
      requestId: maybe,
      retryable: z.optional(z.boolean()),
      retryAfterMs: z.optional(count),
      parameter: z.optional(z.object({ name: text, replacement: maybe })),
    }),
  })

  return { description, headers, encoded, event, fault }
}

/** Between threads there are values that JSON has no words for: big integers, and objects that hold themselves. */
function isJson(value: unknown): boolean {
  try {
    return JSON.stringify(value) !== undefined
  } catch {
    return false
  }
}
