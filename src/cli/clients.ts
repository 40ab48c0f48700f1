import { join } from 'node:path'
import type { SetVariable } from '../config.ts'

/** MCP clients, and what each wants to read about a server that it starts. */

export type Launch = { command: string; args: readonly string[] }

export type Client = {
  title: string
  /** Its file, absolute or below the folder in which the command runs. */
  file(home: string, platform: NodeJS.Platform): string
  /** The whole of what it wants to read: JSON, or the text of another format. */
  block(launch: Launch, variables: readonly SetVariable[]): Block
  /** What is left for the person to do. */
  next: string
}

export type Block =
  | {
      /** Where the servers stand. */
      section: string
      entry: Readonly<Record<string, unknown>>
      /** What is asked of the user when the server starts: VS Code's own way to keep keys. */
      inputs?: readonly Input[]
    }
  | { text: string }

export type Input = { type: 'promptString'; id: string; description: string; password: true }

/** The name of the entry: what is ours in a file of somebody else's. */
export const serverName = 'genai-gateway'
const image = 'genai-gateway-mcp'

/** How a client writes a variable of the environment that it is to fill in. */
type Reference = (name: string) => string

const byEnv: Reference = (name) => `\${env:${name}}`
/** For clients that fill nothing in. The gateway takes it for what it is, and says which variable is missing. */
const byHand: Reference = (name) => (name.endsWith('_KEY') ? `YOUR_${name}` : `<${name}>`)

const fromDesktop =
  'It fills variables in from the environment that it was started in, which may lack what your shell has set. The key itself may stand there instead.'
const fromShell = 'It fills the keys in from the environment that it is started in.'
const pasteKeys = 'It fills nothing in: put the keys where YOUR_… stands, and restart it.'

function environment(variables: readonly SetVariable[], reference: Reference): Record<string, string> {
  return Object.fromEntries(variables.map(({ name, value }) => [name, value ?? reference(name)]))
}

/** The form that most clients have taken over from one another. */
function usual(section: string, reference: Reference, first: object = {}): Client['block'] {
  return ({ command, args }, variables) => ({
    section,
    entry: { ...first, command, args, env: environment(variables, reference) },
  })
}

function settingsFolder(home: string, platform: NodeJS.Platform): string {
  if (platform === 'darwin') return join(home, 'Library', 'Application Support')
  return platform === 'win32' ? join(home, 'AppData', 'Roaming') : join(home, '.config')
}

export const clients: Readonly<Record<string, Client>> = {
  windsurf: {
    title: 'Windsurf',
    file: (home) => join(home, '.codeium', 'windsurf', 'mcp_config.json'),
    block: usual('mcpServers', byEnv),
    next: fromDesktop,
  },
  docker: {
    title: 'the MCP Toolkit of Docker',
    file: () => 'genai-gateway.json',
    block: (_, variables) => ({ text: `${JSON.stringify(toolkitEntry(variables), undefined, 2)}\n` }),
    next: `docker mcp profile create --name ${serverName} --server file://./genai-gateway.json; keys: docker mcp secret set ${serverName}.NAME=VALUE`,
  },
  'claude-desktop': {
    title: 'Claude Desktop',
    file: (home, platform) => join(settingsFolder(home, platform), 'Claude', 'claude_desktop_config.json'),
    block: usual('mcpServers', byHand),
    next: pasteKeys,
  },
  'claude-code': {
    title: 'Claude Code',
    file: () => '.mcp.json',
    // Without a default it refuses the whole file when the variable is not set.
    block: usual('mcpServers', (name) => `\${${name}:-}`, { type: 'stdio' }),
    next: fromShell,
  },
  cursor: {
    title: 'Cursor',
    file: (home) => join(home, '.cursor', 'mcp.json'),
    block: usual('mcpServers', byEnv),
    next: fromDesktop,
  },
  vscode: {
    title: 'VS Code',
    file: (home, platform) => join(settingsFolder(home, platform), 'Code', 'User', 'mcp.json'),
    block: (launch, variables) => ({
      ...usual('servers', (name) => `\${input:${idOf(name)}}`, { type: 'stdio' })(launch, variables),
      inputs: variables.flatMap(({ name, value }) => (value === undefined ? [inputFor(name)] : [])),
    }),
    next: 'It asks for the keys when it starts the server for the first time, and keeps them.',
  },
  zed: {
    title: 'Zed',
    file: (home, platform) =>
      platform === 'win32'
        ? join(settingsFolder(home, platform), 'Zed', 'settings.json')
        : join(home, '.config', 'zed', 'settings.json'),
    block: usual('context_servers', byHand),
    next: pasteKeys,
  },
  codex: {
    title: 'Codex',
    file: (home) => join(home, '.codex', 'config.toml'),
    block: (launch, variables) => ({ text: tomlTable(launch, variables) }),
    next: fromShell,
  },
  'gemini-cli': {
    title: 'Gemini CLI',
    file: (home) => join(home, '.gemini', 'settings.json'),
    block: usual('mcpServers', (name) => `\${${name}}`),
    next: fromShell,
  },
}

function idOf(variable: string): string {
  return variable.toLowerCase().replaceAll('_', '-')
}

function inputFor(variable: string): Input {
  return { type: 'promptString', id: idOf(variable), description: `${variable} of ${serverName}`, password: true }
}

/** JSON's strings are strings of TOML too. */
function tomlTable({ command, args }: Launch, variables: readonly SetVariable[]): string {
  const literals = variables.filter(({ value }) => value !== undefined)
  const passed = variables.filter(({ value }) => value === undefined).map(({ name }) => name)
  const list = (words: readonly string[]) => `[${words.map((word) => JSON.stringify(word)).join(', ')}]`
  const pairs = literals.map(({ name, value }) => `${name} = ${JSON.stringify(value)}`)
  return [
    `[mcp_servers.${serverName}]`,
    `command = ${JSON.stringify(command)}`,
    `args = ${list(args)}`,
    ...(passed.length > 0 ? [`env_vars = ${list(passed)}`] : []),
    ...(pairs.length > 0 ? [`env = { ${pairs.join(', ')} }`] : []),
    // Its own limit of a minute is short for a model that thinks.
    'tool_timeout_sec = 600',
    '',
  ].join('\n')
}

/** An entry of a server as docker/mcp-gateway specifies it. The Toolkit keeps the keys. */
function toolkitEntry(variables: readonly SetVariable[]): object {
  const secrets = variables.filter(({ value }) => value === undefined)
  const literals = variables.filter(({ value }) => value !== undefined)
  return {
    name: serverName,
    title: 'GenAI Gateway',
    type: 'server',
    image,
    description: 'Puts language models of several providers behind one set of tools.',
    // Otherwise each call gets a container of its own, and what the last one has learnt is gone.
    longLived: true,
    ...(secrets.length > 0
      ? { secrets: secrets.map(({ name }) => ({ name: `${serverName}.${name}`, env: name })) }
      : {}),
    ...(literals.length > 0
      ? { env: literals.map(({ name, value }) => ({ name, value: fromContainer(value ?? '') })) }
      : {}),
  }
}

const hostName = 'host.docker.internal'

/** The machine itself has another name inside a container. */
export function fromContainer(value: string): string {
  return value.replace(/^((?:https?:\/\/)?)(?:127\.0\.0\.1|localhost|0\.0\.0\.0|\[::1\])(?=[:/]|$)/, `$1${hostName}`)
}

/** The container instead of the program, which gets its variables from the client. */
export function containerLaunch(variables: readonly SetVariable[]): Launch {
  const passed = variables.flatMap(({ name }) => ['-e', name])
  // On Linux the name is not there by itself; the image looks for local providers under it.
  const host = variables.some(({ name, value = '' }) => name === 'PROVIDER_TYPE' || value.includes(hostName))
    ? ['--add-host', `${hostName}:host-gateway`]
    : []
  return { command: 'docker', args: ['run', '-i', '--rm', ...host, ...passed, image] }
}
