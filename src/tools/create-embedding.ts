import type { Handle } from '../handle.ts'
import { formatEmbedding } from '../pipeline/formatter.ts'
import { parseEmbedding } from '../pipeline/parser.ts'
import * as z from '../schema.ts'
import type { Tool } from '../tool.ts'
import { usage } from './create-completion.ts'
import { asksProvider, bindTool, type ToolDefinition } from './definition.ts'

const maxInputs = 2048

export const createEmbedding = {
  name: 'createEmbedding',
  title: 'Create embedding',
  description: 'Turns texts into vectors with an embedding model. The numbers are in the structured result only.',
  input: z.lazily(() =>
    z.strictObject({
      model: z.optional(z.string().check(z.describe('provider/model, an alias, or a bare name'))),
      input: z.array(z.string()).check(z.minLength(1), z.maxLength(maxInputs), z.describe('The texts')),
      dimensions: z.optional(
        z.int().check(z.minimum(1), z.describe('Length of the vectors, where the model can choose')),
      ),
      encoding: z.optional(z.enum(['float', 'base64']).check(z.describe('base64: little-endian 32-bit floats'))),
    }),
  ),
  output: z.lazily(() =>
    z.strictObject({
      model: z.string(),
      provider: z.string(),
      dimensions: z.number(),
      embeddings: z.array(z.unknown()),
      usage: usage(),
      warnings: z.optional(z.array(z.string())),
      attempts: z.number(),
      substituted: z.optional(z.array(z.looseObject({}))),
    }),
  ),
  annotations: { ...asksProvider, idempotentHint: true },
} satisfies ToolDefinition

export function createCreateEmbedding(handle: Handle, now: () => number): Tool {
  // biome-ignore lint/correctness/useYield: it has no progress to report
  return bindTool(createEmbedding, async function* (args, call) {
    const ask = parseEmbedding(args)
    return formatEmbedding(ask, { events: handle(ask, call), now, streaming: false })
  })
}
