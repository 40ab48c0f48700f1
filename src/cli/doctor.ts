import { parseArgs } from 'node:util'
import type { Config } from '../config.ts'
import { type Checkup, type Examined, examine } from './checkup.ts'
import { type Command, wellDone, wentWrong } from './context.ts'
import { columns, paint, startBar, visible, write } from './terminal.ts'
import { toolsOf } from './tools.ts'

export const doctor: Command = {
  usage: '[--json]',
  summary: 'Tells what is configured, and whether providers answer and keys are accepted.',
  help: `  --json   the same for a program

It asks each provider for its list of models and for nothing else, so it costs nothing. Ends with 0 when all is well and
with 1 when something is wrong; each line of what is wrong says what to do.
`,
  async run(args, { version, signal }) {
    const { json } = parseArgs({ args: [...args], options: { json: { type: 'boolean', default: false } } }).values
    const { createChat, readConfig } = await import('../chat.ts')
    const bar = startBar()
    const makeTools = async (config: Config) => toolsOf(await createChat({ version, config }))
    const checkup = await examine(readConfig(), version, makeTools, signal).finally(bar.clear)
    if (signal.aborted) return wentWrong
    await write(json ? `${JSON.stringify(checkup, undefined, 2)}\n` : tableOf(checkup))
    return checkup.ok ? wellDone : wentWrong
  },
}

function tableOf(checkup: Checkup): string {
  const { version, node, protocols, toolList, proxy, defaultModel, recordDir, providers, problem, notes, ok } = checkup
  const count = (value: number) => value.toLocaleString('en')
  const proxies = Object.entries(proxy).map(([name, value]) => `${name} ${value}`)
  const facts: [string, string][] = [
    ['gateway', `${version} on Node ${node}`],
    ['MCP', [...protocols.initialize, ...protocols['server/discover']].join(', ')],
    [
      'tools',
      `${toolList.tools}, which take ${count(toolList.bytes)} bytes of the client's context, about ${count(toolList.estimatedTokens)} tokens`,
    ],
    ['proxy', proxies.join(', ') || 'none'],
    ['default model', defaultModel ?? "the provider's first that suits the call"],
    ...(recordDir === undefined ? [] : [['recording', recordDir] as [string, string]]),
  ]
  const head = ['', 'provider', 'address', 'set by', 'key', 'models', 'time'].map((word) => paint('dim', word))
  const wrong = [...(problem === undefined ? [] : [problem]), ...providers.flatMap((one) => sentencesOf(one))]
  return visibly([
    columns(facts.map(([name, value]) => [paint('dim', name), value])),
    '\n',
    providers.length > 0 ? columns([head, ...providers.map(rowOf)]) : '',
    providers.length > 0 ? '\n' : '',
    ...wrong.map((sentence) => `${paint('red', 'wrong')}  ${sentence}\n`),
    ...notes.map((note) => `${paint('yellow', 'note')}   ${note}\n`),
    ok ? `${paint('green', 'All is well.')}\n` : '',
  ])
}

/** What is wrong with a provider; a sentence about its configuration, without which it was not asked, names it by itself. */
function sentencesOf({ name, address, problem }: Examined): string[] {
  if (problem === undefined) return []
  return [address === undefined ? problem : `${name}: ${problem}`]
}

function rowOf({ ok, name, type, address, setBy, key, models, listMs }: Examined): string[] {
  return [
    ok ? paint('green', 'ok') : paint('red', 'x'),
    name === type ? name : `${name} (${type})`,
    address ?? '',
    setBy.join(' '),
    key,
    models === undefined ? '' : `${models}`,
    listMs === undefined ? '' : `${listMs} ms`,
  ]
}

/** Words of a provider's among our own: only what paints is ours. */
function visibly(parts: readonly string[]): string {
  return parts
    .join('')
    .split(/(\u001b\[\d+m)/)
    .map((part) => (/^\u001b\[\d+m$/.test(part) ? part : visible(part)))
    .join('')
}
