import { Fault } from '../errors.ts'
import { nearest } from '../nearest.ts'
import { call } from './call.ts'
import { type Command, type Context, interrupted, misused, unread, wellDone, wentWrong } from './context.ts'
import { doctor } from './doctor.ts'
import { http } from './http.ts'
import { init } from './init.ts'
import { models } from './models.ts'
import { record } from './record.ts'
import { replay } from './replay.ts'
import { columns, flushed, paint, say, write } from './terminal.ts'

/** Every verb, in the order in which they are shown. */
export const commands: Readonly<Record<string, Command>> = { init, doctor, models, call, http, record, replay }

const program = 'genai-gateway-mcp'

const variables = `  OPENAI_API_KEY     turns OpenAI on; ANTHROPIC_API_KEY, OLLAMA_HOST and others do the same for theirs
  GATEWAY_URL        base URL of a server: one that speaks OpenAI's dialect (with its /v1), or see PROVIDER_TYPE
  GATEWAY_API_KEY    its key, if it wants one
  DEFAULT_MODEL      the model when a call names none
`

/** Runs a command line; resolves to the exit code: 0, 1 when something went wrong, 2 when it is not understood. */
export async function runCommand(args: readonly string[], version: string): Promise<number> {
  const controller = new AbortController()
  // The second Ctrl-C ends the program at once, as it does without a listener.
  process.once('SIGINT', () => controller.abort(interrupted))
  process.stdout.on('error', () => controller.abort(unread))
  process.stderr.on('error', () => {})
  const exitCode = await run(args, { version, signal: controller.signal })
  await Promise.all([flushed(process.stdout), flushed(process.stderr)])
  return controller.signal.aborted ? controller.signal.reason : exitCode
}

async function run([name = '', ...rest]: readonly string[], context: Context): Promise<number> {
  if (name === '--version' || name === '-v') return shown(`${context.version}\n`)
  if (name === '--help' || name === '-h' || name === 'help') return shown(helpOfAll())
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (!command) {
    const known = nearest(name, Object.keys(commands), 1)
    const hint = /^\w/.test(name) ? `; the nearest command is ${known}` : ''
    say(`${program}: unknown argument ${JSON.stringify(name)}${hint}; see --help`)
    return misused
  }
  const own = rest.slice(0, rest.includes('--') ? rest.indexOf('--') : undefined)
  if (own.includes('--help') || own.includes('-h')) return shown(helpOf(name, command))
  try {
    return await command.run(rest, context)
  } catch (error) {
    // Whoever has interrupted it knows why it ends.
    if (context.signal.aborted) return wentWrong
    const { sentence, exitCode } = told(error)
    say(`${program} ${name}: ${sentence}${exitCode === misused ? `; see ${program} ${name} --help` : ''}`)
    return exitCode
  }
}

function told(error: unknown): { sentence: string; exitCode: number } {
  if (error instanceof Fault) {
    return { sentence: error.message, exitCode: error.code === 'invalid_request' ? misused : wentWrong }
  }
  const { code = '', message = '', path } = error as { code?: string; message?: string; path?: string }
  if (path !== undefined) return { sentence: `${path} cannot be used (${code})`, exitCode: wentWrong }
  if (code.startsWith('ERR_PARSE_ARGS')) {
    const [first = ''] = message.split(/\.(?:\s|$)/)
    return { sentence: first.charAt(0).toLowerCase() + first.slice(1), exitCode: misused }
  }
  return { sentence: `met a fault of its own${code === '' ? '' : ` (${code})`}`, exitCode: wentWrong }
}

async function shown(text: string): Promise<number> {
  await write(text)
  return wellDone
}

function helpOfAll(): string {
  const rows = Object.entries(commands).map(([name, { usage, summary }]) => ['', `${name} ${usage}`, summary])
  return [
    `${program}: an MCP server that puts language models behind tools.\n\n`,
    `Usage: ${program} [COMMAND | --help | --version]\n\n`,
    'Without an argument it serves MCP on stdin and stdout; an MCP client starts it so. The rest is for people:\n\n',
    columns(rows),
    `\n${program} COMMAND --help tells more. Everything is configured by environment variables, and nothing needs to be\n`,
    'set for it to start:\n\n',
    variables,
    '\nThe README has the whole table.\n',
  ].join('')
}

function helpOf(name: string, { usage, summary, help }: Command): string {
  return `${paint('bold', `${program} ${name} ${usage}`)}\n\n${summary}\n${help === '' ? '' : `\n${help}`}`
}
