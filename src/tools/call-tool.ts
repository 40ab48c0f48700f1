import type { Config, ProviderConfig } from '../config.ts'
import { Fault } from '../errors.ts'
import type { Handle } from '../handle.ts'
import { elapsed, formatFault } from '../pipeline/formatter.ts'
import { unknownProvider } from '../pipeline/router.ts'
import { formatToolCall } from '../pipeline/tool-formatter.ts'
import type { Dialect } from '../provider.ts'
import * as z from '../schema.ts'
import type { Tool, ToolResult } from '../tool.ts'
import { bindTool, type ToolDefinition } from './definition.ts'

export const callTool = {
  name: 'callTool',
  title: 'Call provider tool',
  description:
    "Runs a tool of a provider's own, such as moderation, image generation, web search or token counting. Without tool it lists them.",
  input: z.lazily(() =>
    z.strictObject({
      provider: z.optional(z.string().check(z.describe('Whose tool; default: the first that has it'))),
      tool: z.optional(z.string().check(z.describe('Which tool; none lists them all with their schemas'))),
      arguments: z.optional(z.looseObject({}).check(z.describe("The tool's arguments"))),
    }),
  ),
  output: z.lazily(() =>
    z.strictObject({
      provider: z.optional(z.string()),
      tool: z.optional(z.string()),
      result: z.optional(z.looseObject({})),
      warnings: z.optional(z.array(z.string())),
      attempts: z.optional(z.number()),
      tools: z.optional(
        z.array(
          z.strictObject({
            provider: z.string(),
            name: z.string(),
            description: z.string(),
            inputSchema: z.looseObject({}),
          }),
        ),
      ),
    }),
  ),
  annotations: { readOnlyHint: false, destructiveHint: false, idempotentHint: false, openWorldHint: true },
} satisfies ToolDefinition

type Offer = { provider: ProviderConfig; name: string; tool: NonNullable<Dialect['tools']>[string] }

export function createCallTool(config: Config, handle: Handle, now: () => number): Tool {
  const offers: Offer[] = [...config.providers.values()].flatMap((provider) =>
    Object.entries(provider.preset.dialect.tools ?? {}).map(([name, tool]) => ({ provider, name, tool })),
  )

  const choose = (name: string, wanted: string | undefined): Offer => {
    const chosen = offers.find(
      (offer) => offer.name === name && (wanted === undefined || offer.provider.name === wanted),
    )
    if (chosen) return chosen
    const known = [
      ...new Set(
        offers.filter(({ provider }) => wanted === undefined || provider.name === wanted).map((offer) => offer.name),
      ),
    ]
    const shown = known.length > 0 ? `there are ${known.join(', ')}` : 'there are none'
    throw new Fault(
      'invalid_request',
      `${wanted ?? 'no provider'} has no tool ${JSON.stringify(name).slice(0, 80)}; ${shown}`,
    )
  }

  return bindTool(callTool, async function* ({ provider, tool: name, arguments: args = {} }, call) {
    const startedMs = now()
    try {
      if (config.problem) throw new Fault('configuration', config.problem)
      if (provider !== undefined && !config.providers.has(provider)) throw unknownProvider(provider, config)
      if (name === undefined)
        return listing(offers.filter((offer) => provider === undefined || offer.provider.name === provider))
      const offer = choose(name, provider)
      const { checkArguments } = await import('../pipeline/response-schema.ts')
      const problem = checkArguments(offer.tool.inputSchema, args)
      if (problem !== undefined) throw new Fault('invalid_request', `arguments of ${name}: ${problem}`)
      const { model } = args
      const ask = {
        kind: 'tool' as const,
        provider: offer.provider.name,
        name,
        arguments: args,
        model: typeof model === 'string' ? model : undefined,
      }
      return yield* formatToolCall(ask, { events: handle(ask, call), now, streaming: call.streaming })
    } catch (error) {
      return formatFault(error, elapsed(startedMs, now))
    }
  })
}

function listing(offers: readonly Offer[]): ToolResult {
  const tools = offers.map(({ provider, name, tool: { description, inputSchema } }) => ({
    provider: provider.name,
    name,
    description,
    inputSchema,
  }))
  const lines = tools.map((tool) => `${tool.provider}: ${tool.name}: ${tool.description}`)
  return {
    content: [{ type: 'text', text: lines.join('\n') || 'No configured provider has tools of its own.' }],
    structuredContent: { tools },
  }
}
