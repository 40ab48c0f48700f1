import { readFileSync } from 'node:fs'
import { asJson } from '../src/cli/client-entry.ts'
import { clients } from '../src/cli/clients.ts'
import { commands } from '../src/cli/command.ts'
import { shapes } from '../src/config-file.ts'
import { providerVariables, variables } from '../src/config-variables.ts'
import { revisions } from '../src/mcp/handshake.ts'
import { statelessVersions } from '../src/mcp/stateless.ts'
import * as z from '../src/schema.ts'
import { declarationOf } from '../src/tools/definition.ts'
import { definitions } from '../src/tools/index.ts'
import { imageLabels, serverYaml, toolsJson } from './delivery/catalogue.ts'
import { serverJson } from './delivery/registry.ts'
import { matrixTables, type Table } from './matrix/tables.ts'
import { matrixOf, readCases } from './matrix.ts'
import { checks } from './scorecard/checks/index.ts'

/** Every file, or part of one, that is made from the code, as it should be. */
export function generated(): { path: string; text: string }[] {
  const tables = {
    variables: variableTable,
    providers: providerTable,
    tools: toolTable,
    revisions: revisionTable,
    commands: commandTable,
    clients: clientTable,
    checks: checkTable,
    ...matrixTables(matrixOf(readCases())),
  }
  const parts = {
    ...Object.fromEntries(Object.entries(tables).map(([name, table]) => [name, written(table)])),
    ...Object.fromEntries(Object.keys(clients).map((name) => [name.replaceAll('-', '_'), blockFor(name)])),
  }
  return [
    { path: 'src/tools/declarations.ts', text: declarationsModule() },
    { path: 'spec/provider-config.schema.json', text: configSchema() },
    { path: 'delivery/server.json', text: serverJson() },
    { path: 'delivery/docker/server.yaml', text: serverYaml() },
    { path: 'delivery/docker/tools.json', text: toolsJson() },
    { path: 'Dockerfile', text: withLabels('Dockerfile') },
    ...['README.md', 'spec/client.md', 'spec/components.md', 'spec/mcp-server.md', 'spec/scorecard.md'].map((path) => ({
      path,
      text: withParts(path, parts),
    })),
  ]
}

function declarationsModule(): string {
  // A text that is parsed costs the start less than a literal of the language.
  const text = JSON.stringify(definitions.map(declarationOf)).replaceAll('\\', '\\\\').replaceAll("'", "\\'")
  return [
    '// Made by `npm run generate` from the definitions beside it, so that listing the tools needs no schema library.',
    "import type { ToolDeclaration } from '../tool.ts'",
    '',
    '// biome-ignore format: made by a program',
    `export const declarations: readonly ToolDeclaration[] = JSON.parse('${text}')`,
    '',
  ].join('\n')
}

function configSchema(): string {
  const schema = {
    ...z.toJSONSchema(shapes().ProviderConfigFile, { io: 'input' }),
    title: 'PROVIDER_CONFIG of genai-gateway-mcp',
  }
  return `${JSON.stringify(schema, undefined, 2)}\n`
}

const variableTable: Table = {
  head: ['variable', 'meaning', 'default'],
  rows: variables.map(({ name, meaning, default: value }) => [`\`${name}\``, meaning, value]),
}

const providerTable: Table = {
  head: ['provider', 'key', 'address', 'default address'],
  rows: providerVariables.map(({ type, key, url, baseUrl }) => [
    `\`${type}\``,
    `\`${key}\``,
    url,
    baseUrl.startsWith('http') ? `\`${baseUrl}\`` : baseUrl,
  ]),
}

const toolTable: Table = {
  head: ['tool', 'what it does', 'arguments'],
  rows: definitions.map(({ name, description, input }) => [
    `\`${name}\``,
    description,
    Object.keys(input().shape)
      .map((argument) => `\`${argument}\``)
      .join(' '),
  ]),
}

const commandTable: Table = {
  head: ['command', 'what it does'],
  rows: Object.entries(commands).map(([name, { usage, summary }]) => [`\`${name} ${usage}\``, summary]),
}

const clientTable: Table = {
  head: ['client', 'its file on Linux', 'on macOS', 'on Windows'],
  rows: Object.entries(clients).map(([name, { file }]) => {
    const home = { linux: '~', darwin: '~', win32: '%USERPROFILE%' }
    const paths = (['linux', 'darwin', 'win32'] as const).map((platform) => file(home[platform], platform))
    const shown = paths.map((path, at) =>
      at > 0 && path.replace('%USERPROFILE%', '~') === paths[0] ? 'the same' : `\`${path}\``,
    )
    return [`\`${name}\``, ...shown]
  }),
}

/** What init prints for a client, with a path that is nobody's. */
function blockFor(name: string): string {
  const launch = { command: 'node', args: ['/path/to/genai-gateway-mcp/dist/genai-gateway-mcp.mjs'] }
  const block = clients[name]?.block(launch, [{ name: 'OPENAI_API_KEY' }]) ?? { text: '' }
  const text = 'text' in block ? block.text : asJson(block)
  return `\`\`\`${text.startsWith('{') ? 'json' : 'toml'}\n${text}\`\`\``
}

const checkTable: Table = {
  head: ['id', 'what is done'],
  rows: checks.map(({ id, what, long }) => [id, long ? `${what} (make scorecard-long)` : what]),
}

const yes = (value: boolean) => (value ? 'yes' : 'no')

const revisionTable: Table = {
  head: ['revision', 'opening', 'batches', 'annotations', 'titles', 'structured results', 'content blocks'],
  rows: [
    ...Object.entries(revisions).map(([version, revision]) => [
      version,
      '`initialize`',
      yes(revision.batches),
      yes(revision.annotations),
      yes(revision.titles),
      yes(revision.structuredContent),
      [...revision.content].join(', '),
    ]),
    ...statelessVersions.map((version) => [version, '`_meta` on each request', 'no', 'yes', 'yes', 'yes', 'all']),
  ],
}

/** A document with what stands between its markers made anew. */
function withParts(path: string, parts: Readonly<Record<string, string>>): string {
  return readFileSync(path, 'utf8').replace(
    /(<!-- table: (\w+) -->\n)[\s\S]*?(<!-- end -->)/g,
    (_, open: string, name: string, close: string) => `${open}${parts[name] as string}\n${close}`,
  )
}

/** A Dockerfile with what the image says of itself made anew. */
function withLabels(path: string): string {
  return readFileSync(path, 'utf8').replace(
    /(# made by make generate\n)[\s\S]*?(# end\n)/,
    (_, open: string, close: string) => `${open}${imageLabels()}\n${close}`,
  )
}

function written({ head, rows }: Table): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}
