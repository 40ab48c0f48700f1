import type { ContentBlock, ToolResult } from '../tool.ts'
import { paint, say, startBar, visible, write } from './terminal.ts'

/** An answer as a person reads it: its text while it comes, and the rest when it is there. */
export type Printer = {
  step(text: string): Promise<void>
  end(): void
  /** Prints what the steps have not. */
  finish(result: ToolResult): Promise<void>
}

/** Prints text as it comes; where it goes elsewhere than to the terminal, the bar tells how much has come. */
export function createPrinter(streams: boolean): Printer {
  const bar = startBar()
  let printed = 0
  return {
    async step(text) {
      printed += text.length
      if (!streams || !process.stdout.isTTY) bar.show(`${printed.toLocaleString('en')} characters`)
      else bar.clear()
      if (streams) await write(shownOn(process.stdout, text))
    },
    end: bar.clear,
    finish: (result) => printRest(result, streams ? printed : 0),
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
    return say(first?.type === 'text' ? visible(first.text.toString()) : 'The call failed.')
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
  if (block.type === 'text') return block.text.toString()
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
