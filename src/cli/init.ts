import { existsSync, realpathSync } from 'node:fs'
import { homedir } from 'node:os'
import { resolve, sep } from 'node:path'
import { parseArgs } from 'node:util'
import type { SetVariable } from '../config.ts'
import { Fault } from '../errors.ts'
import { nearest } from '../nearest.ts'
import { asJson, withEntry } from './client-entry.ts'
import { readIfThere, replaceFile } from './client-file.ts'
import { type Block, type Client, clients, containerLaunch, fromContainer, type Launch } from './clients.ts'
import { type Command, misuse, wellDone } from './context.ts'
import { say, write } from './terminal.ts'

const names = Object.keys(clients)

export const init: Command = {
  usage: 'CLIENT [--write] [--provider P]',
  summary: "Prints the block for a client's configuration, or writes it there.",
  help: `  CLIENT         ${names.join(', ')}
  --print        print the block, as without any option
  --write        put it into the client's file: what else is there stays, and a copy of the file as it was is kept beside it
  --replace      with --write: also where another genai-gateway is there already
  --file PATH    another file than the client's usual one
  --provider P   for this provider, instead of what the environment has set; may be repeated
  --docker       start the container image instead of this program

Keys are never written: the block says where the client is to find them. What else is set in the environment (GATEWAY_URL,
DEFAULT_MODEL, …) is copied.
`,
  async run(args) {
    const { positionals, values } = parseArgs({
      args: [...args],
      options: {
        print: { type: 'boolean', default: true },
        write: { type: 'boolean', default: false },
        replace: { type: 'boolean', default: false },
        file: { type: 'string' },
        provider: { type: 'string', multiple: true, default: [] },
        docker: { type: 'boolean', default: false },
      },
      allowPositionals: true,
    })
    const client = clientOf(positionals)
    const { variables, isExample } = await variablesFor(values.provider)
    const inContainer = values.docker || isContainer()
    const given = variables.map(({ name, value }) => {
      if (value === undefined) return { name }
      // A client starts the gateway in a folder of its own choice.
      return { name, value: isPath(name) ? resolve(value) : inContainer ? fromContainer(value) : value }
    })
    const block = client.block(inContainer ? containerLaunch(given) : ownLaunch(), given)
    const file = resolve(values.file ?? client.file(homedir(), process.platform))
    if (values.write) await put(client, block, file, values.replace)
    else {
      say(`For ${client.title}, in ${file}; with --write it is put there.\n`)
      await write(textOf(block))
      say('')
    }
    say(client.next)
    if (isExample) say('No provider is set here, so OPENAI_API_KEY is only an example: --provider chooses another.')
    if (inContainer && given.some(({ name }) => isPath(name)))
      say('The container has no such file until it is mounted there (-v).')
    return wellDone
  },
}

/** Variables that name a file; what else PROVIDER_CONFIG may hold is never copied. */
function isPath(name: string): boolean {
  return name === 'PROVIDER_CONFIG' || name.endsWith('_FILE')
}

function clientOf([name, ...more]: readonly string[]): Client {
  if (name === undefined) throw misuse(`which client? There are ${names.join(', ')}`)
  if (more.length > 0) throw misuse('one client at a time')
  const client = Object.hasOwn(clients, name) ? clients[name] : undefined
  if (!client) throw misuse(`there is no client ${JSON.stringify(name)}; the nearest is ${nearest(name, names, 1)}`)
  return client
}

function textOf(block: Block): string {
  return 'text' in block ? block.text : asJson(block)
}

async function put(client: Client, block: Block, file: string, replace: boolean): Promise<void> {
  const text = readIfThere(file)
  const next = textIn(block, text ?? '', file, replace)
  if (next === text) return write(`${file} says so already.\n`)
  const backup = replaceFile(file, next)
  const kept = backup === undefined ? '' : `; as it was before: ${backup}`
  await write(`Written for ${client.title}: ${file}${kept}\n`)
}

function textIn(block: Block, text: string, file: string, replace: boolean): string {
  if ('text' in block) {
    if (text.trim() === '' || text === block.text || text.includes(block.text))
      return text.trim() === '' ? block.text : text
    throw new Fault(
      'configuration',
      `${file} is there already and is not changed: put the block into it by hand, at its end`,
    )
  }
  try {
    return withEntry(text, block, replace)
  } catch (error) {
    throw error instanceof Fault ? new Fault(error.code, `${file}: ${error.message}`) : error
  }
}

/** What the client has to hand on: what is set here, what the chosen providers need, or one key as an example. */
async function variablesFor(providers: readonly string[]): Promise<{ variables: SetVariable[]; isExample: boolean }> {
  const { presets, readVariables } = await import('../chat.ts')
  const set = readVariables()
  if (providers.length === 0) {
    return set.length > 0
      ? { variables: set, isExample: false }
      : { variables: [{ name: 'OPENAI_API_KEY' }], isExample: true }
  }
  const variables = providers.flatMap((type): SetVariable[] => {
    const preset = Object.hasOwn(presets, type) ? presets[type] : undefined
    if (!preset)
      throw misuse(
        `there is no provider ${JSON.stringify(type)}; the nearest is ${nearest(type, Object.keys(presets), 1)}`,
      )
    const { keyVariable, urlVariables, needsKey, local, baseUrl } = preset
    const own = set.filter(
      ({ name }) => name === keyVariable || name === `${keyVariable}_FILE` || urlVariables.includes(name),
    )
    const lacksKey = needsKey && !own.some(({ name }) => name.startsWith(keyVariable))
    const lacksUrl = (local || baseUrl === undefined) && !own.some(({ name }) => urlVariables.includes(name))
    const url = urlVariables.at(-1) as string
    return [
      ...own,
      ...(lacksKey ? [{ name: keyVariable }] : []),
      ...(lacksUrl ? [{ name: url, value: baseUrl ?? `<${url}>` }] : []),
    ]
  })
  return { variables, isExample: false }
}

/** How this very program is started; by npx, if it came so, whose folder does not last. */
function ownLaunch(): Launch {
  const program = realpathSync(process.argv[1] ?? '')
  if (!program.includes(`${sep}_npx${sep}`)) return { command: process.execPath, args: [program] }
  const args = ['-y', 'genai-gateway-mcp']
  return process.platform === 'win32' ? { command: 'cmd', args: ['/c', 'npx', ...args] } : { command: 'npx', args }
}

/** Inside the image there is nothing that a client outside could start. */
function isContainer(): boolean {
  return process.argv[1] === '/app/genai-gateway-mcp.mjs' && existsSync('/.dockerenv')
}
