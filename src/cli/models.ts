import { parseArgs } from 'node:util'
import type { ToolResult } from '../tool.ts'
import { type Command, wellDone, wentWrong } from './context.ts'
import { columns, paint, say, startBar, visible, write } from './terminal.ts'
import { openTools } from './tools.ts'

const options = {
  provider: { type: 'string' },
  search: { type: 'string' },
  json: { type: 'boolean', default: false },
} as const

export const models: Command = {
  usage: '[--provider P] [--search TEXT] [--json]',
  summary: 'Lists the models that can be used.',
  help: `  --provider P    only those of this provider
  --search TEXT   only those whose name holds this text
  --json          the result of the tool listModels

On a terminal it is a table, in a pipe one name a line. Ends with 1 when a provider could not be asked.
`,
  async run(args, { version, signal }) {
    const { provider, search, json } = parseArgs({ args: [...args], options }).values
    const { runTool } = await openTools(version)
    const bar = startBar()
    const given = { ...(provider === undefined ? {} : { provider }), ...(search === undefined ? {} : { search }) }
    const result = await runTool('listModels', given, { signal, streaming: false }).finally(bar.clear)
    if (signal.aborted) return wentWrong
    if (json) await write(`${JSON.stringify(result, undefined, 2)}\n`)
    else await print(result)
    const { unavailable = [] } = (result.structuredContent ?? {}) as Partial<Listed>
    return result.isError || unavailable.length > 0 ? wentWrong : wellDone
  },
}

type Listed = {
  models: { id: string; contextWindow?: number; capabilities?: string[] }[]
  unavailable: { provider: string; message: string }[]
}

async function print(result: ToolResult): Promise<void> {
  if (!result.structuredContent)
    return say(result.content.map((block) => ('text' in block ? block.text : '')).join('\n'))
  const { models: listed, unavailable } = result.structuredContent as Listed
  const rows = listed.map(({ id, contextWindow, capabilities = [] }) => [
    id,
    contextWindow === undefined ? '' : contextWindow.toLocaleString('en'),
    capabilities.join(' '),
  ])
  const head = ['model', 'context', 'capabilities'].map((word) => paint('dim', word))
  await write(
    process.stdout.isTTY && rows.length > 0 ? columns([head, ...rows]) : rows.map(([id]) => `${id}\n`).join(''),
  )
  if (rows.length === 0 && unavailable.length === 0) say('No model matches.')
  for (const { provider, message } of unavailable) say(`${provider} is unavailable: ${visible(message)}`)
}
