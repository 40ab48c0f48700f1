import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { Config } from '../config.ts'
import { Fault } from '../errors.ts'
import type { Exchange } from '../http/tape.ts'
import { createPrinter } from './answer.ts'
import { readCall } from './call.ts'
import { type RecordedCall, readExchange, replayKey, settled, writeCase } from './cases.ts'
import { type Command, misuse, wellDone, wentWrong } from './context.ts'
import { differences } from './differences.ts'
import { play, port } from './playback.ts'
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
    const isNew = !existsSync(dir)
    if (!isNew && !(statSync(dir).isDirectory() && readdirSync(dir).length === 0)) {
      throw new Fault('configuration', `${dir} is not empty, and nothing in it is overwritten`)
    }
    const { createChat, readConfig } = await import('../chat.ts')
    const config = readConfig()
    const printer = createPrinter(true)
    const { done, exchanges } = await onTape(dir, isNew, signal, async (recordDir) => {
      const chat = await createChat({ version, config: quiet({ ...config, recordDir }) })
      const result = await toolsOf(chat)(tool, given, { signal, streaming: true }, printer.step).finally(printer.end)
      return { result, redact: chat.redact }
    })
    if (signal.aborted) return wentWrong
    await printer.finish(done.result)
    if (exchanges.length === 0) {
      say('No provider answered, so there is nothing to keep.')
      return wentWrong
    }
    const call: RecordedCall = {
      title: values.title ?? tool,
      source: `recorded by genai-gateway-mcp ${version}`,
      tool,
      arguments: given,
      env: environmentOf(config),
    }
    const clean = JSON.parse(done.redact(JSON.stringify(call))) as RecordedCall
    const { result, faults } = await play({ call: clean, exchanges, result: undefined }, version, signal)
    const played = JSON.stringify(result)
    if (done.redact(played) !== played) {
      if (isNew) rmSync(dir, { recursive: true, force: true })
      say('Nothing is kept: a key stands in the answer in pieces, which cannot be taken out of what was recorded.')
      return wentWrong
    }
    // The result that is kept is the one that playing back comes to: where the providers were is not in it.
    writeCase(dir, { call: clean, exchanges, result })
    const count = `${exchanges.length} exchange${exchanges.length === 1 ? '' : 's'}`
    say(`Kept in ${dir}: ${count}. genai-gateway-mcp replay ${dir} makes the call again.`)
    const [seen, again] = [settled(done.result, port), result].map((side) => withoutHosts(side, config))
    const odd = [...faults, ...differences(seen, again, 'result')]
    for (const fault of odd) say(`It does not play back as it was recorded: ${fault}`)
    return odd.length > 0 ? wentWrong : wellDone
  },
}

/** Has exchanges recorded in a folder of their own while the work goes on; there are none when it was interrupted. */
async function onTape<T>(
  dir: string,
  isNew: boolean,
  signal: AbortSignal,
  work: (recordDir: string) => Promise<T>,
): Promise<{ done: T; exchanges: Exchange[] }> {
  mkdirSync(dir, { recursive: true })
  const tape = mkdtempSync(join(dir, '.tape-'))
  let exchanges: Exchange[] = []
  try {
    const done = await work(tape)
    // Their names are in the order of the requests.
    const files = signal.aborted ? [] : readdirSync(tape).sort()
    exchanges = files.map((file) => readExchange(join(tape, file)))
    return { done, exchanges }
  } finally {
    rmSync(tape, { recursive: true, force: true })
    if (isNew && exchanges.length === 0) rmSync(dir, { recursive: true, force: true })
  }
}

/** The addresses of the providers as playing back has them. */
function withoutHosts(result: unknown, { providers }: Config): unknown {
  const hosts = [...providers.values()].map(({ baseUrl }) => new URL(baseUrl).host)
  const text = hosts.reduce((json, host) => json.replaceAll(host, '127.0.0.1:PORT'), JSON.stringify(result))
  return JSON.parse(text)
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
