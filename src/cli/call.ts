import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { isObject, type Json } from '../json.ts'
import { faultIn } from '../json-text.ts'
import { nearest } from '../nearest.ts'
import type { ContentBlock, ToolResult } from '../tool.ts'
import { declarations } from '../tools/declarations.ts'
import { type Command, misuse, wellDone, wentWrong } from './context.ts'
import { paint, say, startBar, visible, write } from './terminal.ts'
import { openTools, runTool } from './tools.ts'

const names = declarations.map(({ name }) => name)

export const call: Command = {
  usage: 'TOOL [JSON] [--json]',
  summary: 'Runs a tool as an MCP client would, and streams its text.',
  help: `  TOOL     ${names.join(', ')}
  JSON     its arguments, an object; - reads them from stdin
  --json   the whole result as JSON, when it is there

  genai-gateway-mcp call createCompletion '{"prompt": "Say hello"}'

Ctrl-C closes the connection to the provider. Ends with 1 when the call failed; what went wrong is on stderr.
`,
  async run(args, { version, signal }) {
    const { positionals, values } = parseArgs({
      args: [...args],
      options: { json: { type: 'boolean', default: false } },
      allowPositionals: true,
    })
    const { tool, given } = readCall(positionals)
    const { tools } = await openTools(version)
    const printer = createPrinter(!values.json)
    const result = await runTool(tools, tool, given, { signal, streaming: true }, printer.step).finally(printer.end)
    if (signal.aborted) return wentWrong
    if (values.json) await write(`${JSON.stringify(result, undefined, 2)}\n`)
    else await printRest(result, printer.printed())
    return result.isError ? wentWrong : wellDone
  },
}

/** The tool and its arguments as a command line has them; throws a Fault that says what is wrong with them. */
export function readCall([tool, text = '{}', ...more]: readonly string[]): { tool: string; given: Json } {
  if (tool === undefined) throw misuse(`which tool? There are ${names.join(', ')}`)
  if (!names.includes(tool))
    throw misuse(`there is no tool ${JSON.stringify(tool)}; the nearest is ${nearest(tool, names, 1)}`)
  if (more.length > 0) throw misuse('the arguments are one JSON text: put it in quotes')
  const json = text === '-' ? readFileSync(0, 'utf8') : text
  const fault = faultIn(json)
  if (fault) throw misuse(`the arguments are not valid JSON: ${fault}`)
  const given: unknown = JSON.parse(json)
  if (!isObject(given)) throw misuse('the arguments must be a JSON object, such as {"prompt": "Say hello"}')
  return { tool, given }
}

type Printer = {
  step(text: string): Promise<void>
  end(): void
  /** Characters of the answer that have been printed. */
  printed(): number
}

/** Prints text as it comes; where it goes elsewhere than to the terminal, the bar tells how much has come. */
function createPrinter(streams: boolean): Printer {
  const bar = startBar()
  let printed = 0
  return {
    async step(text) {
      if (text === '') return
      printed += text.length
      if (!streams || !process.stdout.isTTY) bar.show(`${printed.toLocaleString('en')} characters`)
      else bar.clear()
      if (streams) await write(shownOn(process.stdout, text))
    },
    end: bar.clear,
    printed: () => (streams ? printed : 0),
  }
}

/** A pipe gets what came; a terminal nothing that would take hold of it. */
function shownOn(output: NodeJS.WriteStream, text: string): string {
  return output.isTTY ? visible(text) : text
}

async function printRest(result: ToolResult, printed: number): Promise<void> {
  const [first, ...others] = result.content
  if (result.isError) {
    if (printed > 0) await write('\n')
    return say(first?.type === 'text' ? visible(first.text) : 'The call failed.')
  }
  const rest = printed > 0 ? others : result.content
  if (printed > 0) await write('\n')
  for (const block of rest) await write(`${shownOn(process.stdout, textOf(block))}\n`)
  const { warnings = [] } = (result.structuredContent ?? {}) as { warnings?: string[] }
  for (const warning of warnings) say(`${paint('yellow', 'warning', process.stderr)}: ${visible(warning)}`)
  const summary = visible(summaryOf(result))
  if (process.stderr.isTTY && summary !== '') say(paint('dim', summary, process.stderr))
}

function textOf(block: ContentBlock): string {
  if (block.type === 'text') return block.text
  if (block.type === 'resource_link') return block.uri
  if (block.type === 'resource') return block.resource.text ?? block.resource.uri
  return `[${block.type}, ${block.mimeType}, ${Buffer.byteLength(block.data, 'base64')} bytes: --json shows it]`
}

/** Who answered, how long it took and what it cost, as far as it is known. */
function summaryOf({ structuredContent = {} }: ToolResult): string {
  const { provider, model, finishReason, usage, timing } = structuredContent as {
    provider?: string
    model?: string
    finishReason?: string
    usage?: { totalTokens?: number }
    timing?: { totalMs: number }
  }
  return [
    [provider, model].filter(Boolean).join('/'),
    finishReason ?? '',
    usage?.totalTokens === undefined ? '' : `${usage.totalTokens} tokens`,
    timing === undefined ? '' : `${(timing.totalMs / 1000).toFixed(1)} s`,
  ]
    .filter((word) => word !== '')
    .join(', ')
}
