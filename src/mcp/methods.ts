import { isObject, nestsDeeperThan } from '../json.ts'
import type { Exchange } from '../rpc/dispatcher.ts'
import { invalidParams, type Params, RpcError } from '../rpc/message.ts'
import type { Tool, ToolDeclaration, ToolResult } from '../tool.ts'
import type { Method } from './era.ts'
import { createReporter, type ProgressToken } from './progress.ts'

/** The bridge: what the tools look like, at once, and what they do, when first needed. */
export type Toolbox = {
  declarations: readonly ToolDeclaration[]
  load(): Promise<ReadonlyMap<string, Tool>>
}

const maxArgumentDepth = 64

/** What both eras do alike. */
export type Methods = {
  listTools(params: Params): { tools: readonly ToolDeclaration[] }
  callTool: Method
}

export function createMethods(toolbox: Toolbox): Methods {
  return { listTools: createListTools(toolbox), callTool: createCallTool(toolbox) }
}

/** All tools on one page: many clients never ask for a second. */
function createListTools(toolbox: Toolbox): Methods['listTools'] {
  return (params) => {
    if (params['cursor'] !== undefined) throw new RpcError(invalidParams, 'Invalid params: unknown cursor')
    return { tools: toolbox.declarations }
  }
}

/** Runs a tool, reports its progress to whoever sent a token, and returns its result. */
function createCallTool(toolbox: Toolbox): Method {
  const activeTokens = new Map<ProgressToken, Exchange>()

  return (params, exchange) => {
    const { name, arguments: args = {} } = params
    if (typeof name !== 'string') throw new RpcError(invalidParams, 'Invalid params: name must be a string')
    if (!isObject(args)) throw new RpcError(invalidParams, 'Invalid params: arguments must be an object')
    if (!toolbox.declarations.some((tool) => tool.name === name)) {
      const known = toolbox.declarations.map((tool) => tool.name).join(', ')
      throw new RpcError(invalidParams, `Unknown tool: the tools are ${known}`)
    }
    if (nestsDeeperThan(args, maxArgumentDepth)) {
      throw new RpcError(
        invalidParams,
        `Invalid params: arguments must not nest deeper than ${maxArgumentDepth} levels`,
      )
    }
    const token = progressToken(params)
    if (token === undefined) return run(toolbox, name, args, exchange)
    if (activeTokens.has(token)) throw new RpcError(invalidParams, 'Invalid params: this progress token is in use')
    activeTokens.set(token, exchange)
    const free = () => {
      if (activeTokens.get(token) === exchange) activeTokens.delete(token)
    }
    // A cancelled call may take a moment to end; its token is free at once, as its id is.
    exchange.signal.addEventListener('abort', free, { once: true })
    return run(toolbox, name, args, exchange, token).finally(free)
  }
}

async function run(
  toolbox: Toolbox,
  name: string,
  args: Params,
  exchange: Exchange,
  token?: ProgressToken,
): Promise<ToolResult> {
  const reporter = token === undefined ? undefined : createReporter(token, exchange)
  try {
    const tool = (await toolbox.load()).get(name) as Tool
    const steps = tool.run(args, { signal: exchange.signal, streaming: reporter !== undefined })
    for (;;) {
      const step = await steps.next()
      if (step.done) return step.value
      reporter?.step(step.value)
      // The slow reader slows the provider: nothing is asked for that could not be passed on.
      if (exchange.congested()) await drainedOrAborted(exchange)
    }
  } finally {
    reporter?.close()
    await reporter?.settled()
  }
}

/** Waits for the reader, or for nobody any more once the call is interrupted. */
function drainedOrAborted({ drained, signal }: Exchange): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      signal.removeEventListener('abort', done)
      resolve()
    }
    if (signal.aborted) return resolve()
    signal.addEventListener('abort', done, { once: true })
    void drained().then(done)
  })
}

/** Token 0 and "" are legal; anything but a string or an integer is as good as none. */
function progressToken(params: Params): ProgressToken | undefined {
  const meta = params['_meta']
  const token = isObject(meta) ? meta['progressToken'] : undefined
  return typeof token === 'string' || Number.isSafeInteger(token) ? (token as ProgressToken) : undefined
}
