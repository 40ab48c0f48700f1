import type { Chat } from '../chat.ts'
import type { Config } from '../config.ts'
import type { Call, Tool, ToolResult } from '../tool.ts'
import { say } from './terminal.ts'

/** Runs a tool to its end, hands each piece of its text on, and returns the result without a key in it. */
export type RunTool = (
  name: string,
  args: unknown,
  call: Call,
  onText?: (text: string) => Promise<void> | void,
) => Promise<ToolResult>

/** The tools that MCP clients call, over the configuration of the environment. What was noticed in it is told on stderr. */
export async function openTools(version: string): Promise<{ runTool: RunTool; config: Config }> {
  const { createChat, readConfig } = await import('../chat.ts')
  const config = readConfig()
  for (const note of config.notes) say(note)
  return { runTool: toolsOf(await createChat({ version, config: quiet(config) })), config }
}

/** The log of a server is of no use to a person who sees what happens, unless it was asked for. */
export function quiet(config: Config): Config {
  return { ...config, logLevel: config.logLevel === 'debug' ? 'debug' : 'silent', notes: [] }
}

export function toolsOf({ tools, redact }: Chat): RunTool {
  return async (name, args, call, onText = () => {}) => {
    const steps = (tools.get(name) as Tool).run(args, call)
    for (;;) {
      const step = await steps.next()
      if (step.done) return JSON.parse(redact(JSON.stringify(step.value))) as ToolResult
      if (step.value.message) await onText(step.value.message)
    }
  }
}
