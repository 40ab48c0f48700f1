import type { Call } from '../handle.ts'
import { formatFault } from '../pipeline/formatter.ts'
import * as z from '../schema.ts'
import type { Progress, Tool, ToolDeclaration, ToolResult } from '../tool.ts'
import { readArguments } from './arguments.ts'

/** A tool before it is bound to a gateway: what it is called, and what it takes and gives. */
export type ToolDefinition<I extends z.ZodMiniObject = z.ZodMiniObject> = {
  name: string
  title: string
  description: string
  input: () => I
  output: () => z.ZodMiniObject
  annotations: Record<string, boolean>
}

/** Every call goes out to a provider, changes nothing there, and may give another answer each time. */
export const asksProvider = { readOnlyHint: true, idempotentHint: false, openWorldHint: true }

/** Binds a definition to what it does. Faults of the arguments are results like all others. */
export function bindTool<I extends z.ZodMiniObject>(
  definition: ToolDefinition<I>,
  run: (args: z.infer<I>, call: Call) => AsyncGenerator<Progress, ToolResult>,
): Tool {
  return {
    name: definition.name,
    run(args, call) {
      try {
        return run(readArguments(definition.input(), args), call)
      } catch (error) {
        return finished(formatFault(error, 0))
      }
    },
  }
}

// biome-ignore lint/correctness/useYield: a stream without a step is still a stream
async function* finished(result: ToolResult): AsyncGenerator<Progress, ToolResult> {
  return result
}

/** A definition as clients see it: plain JSON Schema, without the bounds that zod adds to every integer. */
export function declarationOf({ input, output, ...rest }: ToolDefinition): ToolDeclaration {
  return {
    name: rest.name,
    title: rest.title,
    description: rest.description,
    inputSchema: jsonSchemaOf(input()),
    outputSchema: jsonSchemaOf(output()),
    annotations: rest.annotations,
  }
}

function jsonSchemaOf(schema: z.ZodMiniObject): ToolDeclaration['inputSchema'] {
  const { $schema: _, ...json } = z.toJSONSchema(schema, {
    override: ({ jsonSchema }) => {
      if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum
      if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum
      // Free-form objects: zod spells out that anything goes.
      if (jsonSchema.type === 'object' && typeof jsonSchema.additionalProperties === 'object') {
        delete jsonSchema.additionalProperties
        if (Object.keys(jsonSchema.properties ?? {}).length === 0) delete jsonSchema.properties
      }
    },
  })
  return json as ToolDeclaration['inputSchema']
}
