import { callTool } from './call-tool.ts'
import { createCompletion } from './create-completion.ts'
import { createEmbedding } from './create-embedding.ts'
import type { ToolDefinition } from './definition.ts'
import { listModels } from './list-models.ts'

/** Every tool, in the order in which clients see them. */
export const definitions: readonly ToolDefinition[] = [listModels, createCompletion, createEmbedding, callTool]
