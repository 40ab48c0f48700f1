import type { LongText } from './text.ts'

/** What the two towers share: a tool is a value that can be shown, called and interrupted. */

/** A block of a tool's answer, in the shapes of MCP content (2025-06-18 schema, ContentBlock). */
export type ContentBlock =
  | { type: 'text'; text: string | LongText }
  | { type: 'image' | 'audio'; data: string; mimeType: string }
  | { type: 'resource_link'; uri: string; name: string; mimeType?: string; description?: string }
  | { type: 'resource'; resource: { uri: string; mimeType?: string; text?: string; blob?: string } }

export type ToolResult = {
  content: ContentBlock[]
  structuredContent?: Record<string, unknown>
  isError?: true
  _meta?: Record<string, unknown>
}

/** One step of a running tool: the next piece of its text, its place in a queue, or the mere news that work goes on. */
export type Progress = { message?: string; place?: number }

/** What a caller gives along with its arguments. */
export type Call = {
  /** Aborted when the caller no longer wants the answer. */
  readonly signal: AbortSignal
  /** Whether anybody listens to progress; without a listener a tool need not report any. */
  readonly streaming: boolean
}

/** A tool as a client sees it. The schemas are JSON Schema, 2020-12. */
export type ToolDeclaration = {
  name: string
  title: string
  description: string
  inputSchema: { type: 'object'; [keyword: string]: unknown }
  outputSchema: { type: 'object'; [keyword: string]: unknown }
  annotations: Record<string, boolean>
}

/** Runs a tool. Never throws for what a caller or a provider did: that is a result with `isError`. */
export type Tool = { name: string; run(args: unknown, call: Call): AsyncGenerator<Progress, ToolResult> }
