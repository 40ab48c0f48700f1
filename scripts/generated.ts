import { readFileSync } from 'node:fs'
import { ProviderConfigFile } from '../src/config-file.ts'
import { providerVariables, variables } from '../src/config-variables.ts'
import { revisions } from '../src/mcp/handshake.ts'
import { statelessVersions } from '../src/mcp/stateless.ts'
import * as z from '../src/schema.ts'
import { declarationOf } from '../src/tools/definition.ts'
import { definitions } from '../src/tools/index.ts'
import { matrixTables, type Table } from './matrix/tables.ts'
import { matrixOf, readCases } from './matrix.ts'

/** Every file, or part of one, that is made from the code, as it should be. */
export function generated(): { path: string; text: string }[] {
  const tables = {
    variables: variableTable,
    providers: providerTable,
    tools: toolTable,
    revisions: revisionTable,
    ...matrixTables(matrixOf(readCases())),
  }
  return [
    { path: 'src/tools/declarations.ts', text: declarationsModule() },
    { path: 'spec/provider-config.schema.json', text: configSchema() },
    ...['README.md', 'spec/client.md', 'spec/components.md', 'spec/mcp-server.md'].map((path) => ({
      path,
      text: withTables(path, tables),
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
    ...z.toJSONSchema(ProviderConfigFile, { io: 'input' }),
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
    Object.keys(input.shape)
      .map((argument) => `\`${argument}\``)
      .join(' '),
  ]),
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
function withTables(path: string, tables: Readonly<Record<string, Table>>): string {
  return readFileSync(path, 'utf8').replace(
    /(<!-- table: (\w+) -->\n)[\s\S]*?(<!-- end -->)/g,
    (_, open: string, name: string, close: string) => `${open}${written(tables[name] as Table)}\n${close}`,
  )
}

function written({ head, rows }: Table): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}
