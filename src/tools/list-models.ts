import type { Config } from '../config.ts'
import { Fault } from '../errors.ts'
import type { Directory } from '../pipeline/directory.ts'
import { elapsed, formatFault } from '../pipeline/formatter.ts'
import { unknownProvider } from '../pipeline/router.ts'
import * as z from '../schema.ts'
import type { Tool, ToolResult } from '../tool.ts'
import { asksProvider, bindTool, type ToolDefinition } from './definition.ts'

const text = (description: string) => z.optional(z.string().check(z.describe(description)))

export const listModels = {
  name: 'listModels',
  title: 'List models',
  description:
    'Lists the models that can be used, with the provider of each. A provider that is down is named in unavailable.',
  input: z.lazily(() =>
    z.strictObject({
      provider: text('Only this provider'),
      search: text('Only models whose id holds this text'),
      refresh: z.optional(z.boolean().check(z.describe('Ask again instead of using the list of the last minutes'))),
    }),
  ),
  output: z.lazily(() =>
    z.strictObject({
      models: z.array(
        z.strictObject({
          id: z.string(),
          provider: z.string(),
          name: z.string(),
          created: z.optional(z.number()),
          ownedBy: z.optional(z.string()),
          contextWindow: z.optional(z.number()),
          capabilities: z.optional(z.array(z.string())),
        }),
      ),
      defaultModel: z.optional(z.string()),
      unavailable: z.array(z.strictObject({ provider: z.string(), code: z.string(), message: z.string() })),
    }),
  ),
  annotations: asksProvider,
} satisfies ToolDefinition

type Listed = z.infer<ReturnType<typeof listModels.output>>

/** Asks all providers side by side; one that fails is a row of its own. */
export function createListModels(config: Config, directory: Directory, now: () => number): Tool {
  const rowsOf = async (provider: string, signal: AbortSignal, refresh: boolean): Promise<Partial<Listed>> => {
    try {
      const models = await directory.list(provider, signal, refresh)
      return { models: models.map((model) => ({ id: `${provider}/${model.name}`, provider, ...model })) }
    } catch (error) {
      const fault = error instanceof Fault ? error : new Fault('internal', 'the gateway met a fault of its own')
      return { unavailable: [{ provider, code: fault.code, message: fault.message }] }
    }
  }

  return bindTool(listModels, async function* ({ provider, search, refresh = false }, { signal }) {
    const startedMs = now()
    try {
      if (config.problem) throw new Fault('configuration', config.problem)
      if (provider !== undefined && !config.providers.has(provider)) throw unknownProvider(provider, config)
      const names = [...config.providers.keys()].filter((name) => provider === undefined || name === provider)
      const rows = await Promise.all(names.map((name) => rowsOf(name, signal, refresh)))
      const wanted = search?.toLowerCase() ?? ''
      const { defaultModel } = config
      const listed: Listed = {
        models: rows.flatMap(({ models = [] }) => models).filter(({ id }) => id.toLowerCase().includes(wanted)),
        ...(defaultModel === undefined ? {} : { defaultModel }),
        unavailable: rows.flatMap(({ unavailable = [] }) => unavailable),
      }
      return { content: [{ type: 'text', text: asLines(listed) }], structuredContent: listed } satisfies ToolResult
    } catch (error) {
      return formatFault(error, elapsed(startedMs, now))
    }
  })
}

function asLines({ models, unavailable }: Listed): string {
  const lines = [
    ...models.map(({ id }) => id),
    ...unavailable.map(({ provider, message }) => `${provider} is unavailable: ${message}`),
  ]
  return lines.length > 0 ? lines.join('\n') : 'No model matches.'
}
