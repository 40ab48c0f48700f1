import { invalidParams, invalidRequest, methodNotFound, type Request, RpcError } from '../rpc/message.ts'
import type { ContentBlock, ToolDeclaration, ToolResult } from '../tool.ts'
import { after, type Era, type Method, type ServerInfo } from './era.ts'
import type { Methods } from './methods.ts'

/** What a revision of the handshake era can carry. Source: the changelogs and schemas of the MCP specification. */
type Revision = {
  batches: boolean
  annotations: boolean
  titles: boolean
  structuredContent: boolean
  content: ReadonlySet<ContentBlock['type']>
}

const firstContent = ['text', 'image', 'resource'] as const

export const revisions: Readonly<Record<string, Revision>> = {
  '2024-11-05': {
    batches: false,
    annotations: false,
    titles: false,
    structuredContent: false,
    content: new Set(firstContent),
  },
  '2025-03-26': {
    batches: true,
    annotations: true,
    titles: false,
    structuredContent: false,
    content: new Set([...firstContent, 'audio'] as const),
  },
  '2025-06-18': {
    batches: false,
    annotations: true,
    titles: true,
    structuredContent: true,
    content: new Set([...firstContent, 'audio', 'resource_link'] as const),
  },
  '2025-11-25': {
    batches: false,
    annotations: true,
    titles: true,
    structuredContent: true,
    content: new Set([...firstContent, 'audio', 'resource_link'] as const),
  },
}

const latest = '2025-11-25'

export type Handshake = Era & { acceptsBatches(): boolean }

/**
 * The revisions that open with `initialize`. The session is the process: a second `initialize` is refused, and before
 * the first only `ping` is served.
 */
export function createHandshake(info: ServerInfo, instructions: string, { listTools, callTool }: Methods): Handshake {
  let session: Revision | undefined

  const initialize: Method = (params, exchange) => {
    const { protocolVersion } = params
    if (exchange.batched) throw new RpcError(invalidRequest, 'Invalid request: initialize must not be in a batch')
    if (session) throw new RpcError(invalidRequest, 'Invalid request: this session is initialized already')
    if (typeof protocolVersion !== 'string') {
      throw new RpcError(invalidParams, 'Invalid params: protocolVersion must be a string')
    }
    const known = Object.hasOwn(revisions, protocolVersion) ? protocolVersion : latest
    session = revisions[known] as Revision
    const { title, ...untitled } = info
    return {
      protocolVersion: known,
      capabilities: { tools: {} },
      serverInfo: session.titles ? { title, ...untitled } : untitled,
      instructions,
    }
  }
  const opening: Readonly<Record<string, Method>> = { initialize, ping: () => ({}) }
  const open: Readonly<Record<string, Method>> = {
    ...opening,
    'tools/list': (params) => ({
      tools: listTools(params).tools.map((tool) => declarationFor(session as Revision, tool)),
    }),
    'tools/call': (params, exchange) =>
      after(callTool(params, exchange), (result) => resultFor(session as Revision, result as ToolResult)),
  }

  return {
    claims: () => true,
    acceptsBatches: () => session?.batches ?? false,
    serve(request: Request, exchange) {
      const table = session ? open : opening
      const method = Object.hasOwn(table, request.method) ? table[request.method] : undefined
      if (method) return method(request.params ?? {}, exchange)
      if (session) throw new RpcError(methodNotFound, 'Method not found')
      throw new RpcError(
        invalidRequest,
        'Invalid request: send initialize first, or name the protocol version in _meta (2026-07-28)',
      )
    },
  }
}

function declarationFor(revision: Revision, tool: ToolDeclaration): object {
  const { name, title, description, inputSchema, outputSchema, annotations } = tool
  return {
    name,
    ...(revision.titles ? { title } : {}),
    description,
    inputSchema,
    ...(revision.structuredContent ? { outputSchema } : {}),
    ...(revision.annotations ? { annotations } : {}),
  }
}

/** Nothing is lost on an old client: what its revision has no shape for reaches it as text. */
function resultFor(revision: Revision, result: ToolResult): ToolResult {
  const content = result.content.map((block) => (revision.content.has(block.type) ? block : asText(block)))
  if (revision.structuredContent || !result.structuredContent) return { ...result, content }
  const { structuredContent, ...rest } = result
  // What a block of text has said is not said twice: of each, the first member that is the same.
  const said = new Set(result.content.map((block) => (block.type === 'text' ? block.text : undefined)))
  const unsaid = Object.entries(structuredContent).filter(([, value]) => !said.delete(value as string))
  return { ...rest, content: [...content, { type: 'text', text: JSON.stringify(Object.fromEntries(unsaid)) }] }
}

function asText(block: ContentBlock): ContentBlock {
  return { type: 'text', text: block.type === 'resource_link' ? block.uri : JSON.stringify(block) }
}
