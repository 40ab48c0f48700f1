import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { Config } from '../config.ts'
import { Fault } from '../errors.ts'
import type { Exchange } from '../http/tape.ts'
import { createPrinter } from './answer.ts'
import { readCall } from './call.ts'
import { type Case, type RecordedCall, readExchange, replayKey, writeCase } from './cases.ts'
import { type Command, misuse, wellDone, wentWrong } from './context.ts'
import { play } from './playback.ts'
import { say } from './terminal.ts'
import { quiet, toolsOf } from './tools.ts'

export const record: Command = {
  usage: 'DIR TOOL [JSON] [--title TEXT]',
  summary: 'Runs a tool and keeps the call in a folder, for replay.',
  help: `  DIR            a folder that is not there yet, or is empty
  TOOL, JSON     as for call
  --title TEXT   what the call shows

Kept are the call, every exchange with a provider, and the result, without keys; prompts and answers are in it, so look it
through before you hand it on. GATEWAY_RECORD keeps the exchanges of a gateway that a client has started.
`,
  async run(args, { version, signal }) {
    const { positionals, values } = parseArgs({
      args: [...args],
      options: { title: { type: 'string' } },
      allowPositionals: true,
    })
    const [dir, ...rest] = positionals
    if (dir === undefined) throw misuse('which folder is it to be kept in?')
    const { tool, given } = readCall(rest)
    if (existsSync(dir) && !(statSync(dir).isDirectory() && readdirSync(dir).length === 0)) {
      throw new Fault('configuration', `${dir} is not empty, and nothing in it is overwritten`)
    }
    const { createChat, readConfig } = await import('../chat.ts')
    const config = readConfig()
    const printer = createPrinter(true)
    const recorded = await withTape(dir, async (recordDir) => {
      const chat = createChat({ version, config: quiet({ ...config, recordDir }) })
      const call = {
        title: values.title ?? tool,
        source: `recorded by genai-gateway-mcp ${version}`,
        tool,
        arguments: given,
      }
      const result = await toolsOf(chat)(tool, given, { signal, streaming: true }, printer.step).finally(printer.end)
      if (signal.aborted) return undefined
      await printer.finish(result)
      return { call: JSON.parse(chat.redact(JSON.stringify({ ...call, env: environmentOf(config) }))) as RecordedCall }
    })
    if (!recorded) return wentWrong
    return keep(dir, recorded, version, signal)
  },
}

type Recorded = { call: RecordedCall; exchanges: Exchange[] }

/** Has the exchanges kept in a folder of their own while the work goes on, and takes the folder away. */
async function withTape(
  dir: string,
  work: (recordDir: string) => Promise<Pick<Recorded, 'call'> | undefined>,
): Promise<Recorded | undefined> {
  const isNew = !existsSync(dir)
  mkdirSync(dir, { recursive: true })
  const tape = mkdtempSync(join(dir, '.tape-'))
  let exchanges: Exchange[] = []
  try {
    const done = await work(tape)
    // Their names begin with the time at which they ended.
    if (done)
      exchanges = readdirSync(tape)
        .sort()
        .map((file) => readExchange(join(tape, file)))
    return done && { ...done, exchanges }
  } finally {
    rmSync(tape, { recursive: true, force: true })
    if (isNew && exchanges.length === 0) rmSync(dir, { recursive: true, force: true })
  }
}

/** The result that is kept is the one that playing back comes to: what has to do with this very network is not in it. */
async function keep(dir: string, { call, exchanges }: Recorded, version: string, signal: AbortSignal): Promise<number> {
  if (exchanges.length === 0) {
    say('No provider answered, so there is nothing to keep.')
    return wentWrong
  }
  const recorded: Case = { call, exchanges, result: undefined }
  const { result, faults } = await play(recorded, version, signal)
  writeCase(dir, { ...recorded, result })
  say(
    `Kept in ${dir}: ${exchanges.length} exchange${exchanges.length === 1 ? '' : 's'}. genai-gateway-mcp replay ${dir} makes the call again.`,
  )
  for (const fault of faults) say(`It does not play back as it was recorded: ${fault}`)
  return faults.length > 0 ? wentWrong : wellDone
}

/** The same providers, each at the origin that serves the recording. Headers stay out: they may be secret. */
function environmentOf({ providers, routes, defaultModel, defaultProviders }: Config): Record<string, string> {
  const first = [...providers.values()].toSorted(
    (a, b) => Number(defaultProviders.includes(b.name)) - Number(defaultProviders.includes(a.name)),
  )
  const entries = first.map(({ name, type, baseUrl, key, apiVersion, deployments, maxRetries, ...provider }) => [
    name,
    {
      type,
      baseUrl: `{upstream}${new URL(baseUrl).pathname.replace(/\/$/, '')}`,
      ...(key ? { apiKey: replayKey } : {}),
      ...(provider.defaultModel === undefined ? {} : { defaultModel: provider.defaultModel }),
      ...(apiVersion === undefined ? {} : { apiVersion }),
      ...(deployments === undefined ? {} : { deployments }),
      maxRetries,
    },
  ])
  const file = {
    providers: Object.fromEntries(entries),
    ...(routes.size > 0 ? { routes: Object.fromEntries(routes) } : {}),
    ...(defaultModel === undefined ? {} : { defaultModel }),
  }
  return { PROVIDER_CONFIG: JSON.stringify(file) }
}
