import { Fault, type Met } from '../errors.ts'
import type { Events, ToolAsk } from '../gateway.ts'
import { nestsDeeperThan } from '../json.ts'
import type { ContentBlock, Progress, ToolResult } from '../tool.ts'
import { blockOf, elapsed, formatFault, historyOf, linksOf, maxDepth, readCitation } from './formatter.ts'

type Answering = { events: AsyncIterable<Events>; now: () => number; streaming: boolean }

/** The answer of a provider's own tool: its text, what else it brought forth, and the value that it returns. */
export async function* formatToolCall(
  ask: ToolAsk,
  { events, now, streaming }: Answering,
): AsyncGenerator<Progress, ToolResult> {
  const startedMs = now()
  const texts: string[] = []
  const blocks: ContentBlock[] = []
  const links: ContentBlock[] = []
  const warnings: string[] = []
  let result: Record<string, unknown> | undefined
  let attempts = 0
  let met: readonly Met[] | undefined
  try {
    for await (const together of events) {
      for (const event of together) {
        switch (event.type) {
          case 'text-delta':
            texts.push(event.text)
            if (streaming) yield { message: event.text }
            break
          case 'step':
          case 'reasoning-delta':
            if (streaming) yield {}
            break
          case 'queued':
            if (streaming) yield { place: event.place }
            break
          case 'content':
            blocks.push(blockOf(event.part))
            break
          case 'citation':
            links.push(...linksOf([readCitation(event)]))
            break
          case 'result':
            if (nestsDeeperThan(event.value, maxDepth)) {
              throw new Fault('invalid_response', `the answer nests deeper than ${maxDepth} levels`, {
                cause: 'too_deep',
                provider: ask.provider,
                attempts,
              })
            }
            result = event.value
            break
          case 'warning':
            warnings.push(event.message)
            break
          case 'served':
            attempts = event.attempts
            met = event.met
            break
        }
      }
    }
    const text = texts.join('') || (blocks.length === 0 ? JSON.stringify(result ?? {}) : '')
    return {
      content: [...(text === '' ? [] : [{ type: 'text' as const, text }]), ...blocks, ...links],
      structuredContent: {
        provider: ask.provider,
        tool: ask.name,
        ...(result ? { result } : {}),
        ...(warnings.length > 0 ? { warnings } : {}),
        attempts,
      },
      ...historyOf(met),
    }
  } catch (error) {
    return formatFault(error, elapsed(startedMs, now), texts.join(''))
  }
}
