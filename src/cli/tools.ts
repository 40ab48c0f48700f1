import type { Config } from '../config.ts'
import type { Call, Tool, ToolResult } from '../tool.ts'
import { say } from './terminal.ts'

export type Tools = ReadonlyMap<string, Tool>
export type Opened = { tools: Tools; config: Config; redact: (text: string) => string }

/** The tools that MCP clients call, over the configuration of the environment. What was noticed in it is told on stderr. */
export async function openTools(version: string): Promise<Opened> {
  const { createChat, readConfig } = await import('../chat.ts')
  const config = readConfig()
  for (const note of config.notes) say(note)
  // Told above in words; the log of a server is of no use to a person who sees what happens.
  const quiet: Config = { ...config, logLevel: config.logLevel === 'debug' ? 'debug' : 'silent', notes: [] }
  return { ...createChat({ version, config: quiet }), config }
}

/** Runs a tool to its end and hands each piece of its text on. */
export async function runTool(
  tools: Tools,
  name: string,
  args: unknown,
  call: Call,
  onStep: (text: string) => Promise<void> | void = () => {},
): Promise<ToolResult> {
  const steps = (tools.get(name) as Tool).run(args, call)
  for (;;) {
    const step = await steps.next()
    if (step.done) return step.value
    await onStep(step.value.message ?? '')
  }
}
