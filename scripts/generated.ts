import { readFileSync } from 'node:fs'
import { ProviderConfigFile } from '../src/config-file.ts'
import { providerVariables, variables } from '../src/config-variables.ts'
import { revisions } from '../src/mcp/handshake.ts'
import { statelessVersions } from '../src/mcp/stateless.ts'
import type { Provider } from '../src/provider.ts'
import { presets } from '../src/providers/index.ts'
import * as z from '../src/schema.ts'
import { declarationOf } from '../src/tools/definition.ts'
import { definitions } from '../src/tools/index.ts'
import { checks } from './scorecard/checks/index.ts'

/** Every file, or part of one, that is made from the code, as it should be. */
export function generated(): { path: string; text: string }[] {
  return [
    { path: 'src/tools/declarations.ts', text: declarationsModule() },
    { path: 'spec/provider-config.schema.json', text: configSchema() },
    ...['README.md', 'spec/client.md', 'spec/components.md', 'spec/mcp-server.md', 'spec/scorecard.md'].map((path) => ({
      path,
      text: withTables(path),
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

const tables: Readonly<Record<string, () => string>> = {
  variables: () =>
    table(
      ['variable', 'meaning', 'default'],
      variables.map(({ name, meaning, default: value }) => [`\`${name}\``, meaning, value]),
    ),
  providers: () =>
    table(
      ['provider', 'key', 'address', 'default address'],
      providerVariables.map(({ type, key, url, baseUrl }) => [
        `\`${type}\``,
        `\`${key}\``,
        url,
        baseUrl.startsWith('http') ? `\`${baseUrl}\`` : baseUrl,
      ]),
    ),
  features: () => {
    const rows = Object.entries(presets).filter(
      ([type, { dialect }]) => Object.entries(presets).find(([, other]) => other.dialect === dialect)?.[0] === type,
    )
    const users = (dialect: Provider) =>
      Object.entries(presets)
        .filter(([, other]) => other.dialect === dialect)
        .map(([type]) => `\`${type}\``)
        .join(', ')
    const yes = (operation: unknown) => (operation ? 'yes' : '')
    return table(
      ['provider', 'chat', 'text', 'embeddings', 'models', 'tools of its own'],
      rows.map(([, { dialect }]) => [
        users(dialect),
        yes(dialect.chat),
        yes(dialect.text),
        yes(dialect.embed),
        yes(dialect.models),
        Object.keys(dialect.tools ?? {})
          .map((name) => `\`${name}\``)
          .join(' '),
      ]),
    )
  },
  tools: () =>
    table(
      ['tool', 'what it does', 'arguments'],
      definitions.map(({ name, description, input }) => [
        `\`${name}\``,
        description,
        Object.keys(input.shape)
          .map((argument) => `\`${argument}\``)
          .join(' '),
      ]),
    ),
  checks: () =>
    table(
      ['id', 'what is done'],
      checks.map(({ id, what, long }) => [id, long ? `${what} (make scorecard-long)` : what]),
    ),
  revisions: () => {
    const yes = (value: boolean) => (value ? 'yes' : 'no')
    const rows = Object.entries(revisions).map(([version, revision]) => [
      version,
      '`initialize`',
      yes(revision.batches),
      yes(revision.annotations),
      yes(revision.titles),
      yes(revision.structuredContent),
      [...revision.content].join(', '),
    ])
    const modern = statelessVersions.map((version) => [
      version,
      '`_meta` on each request',
      'no',
      'yes',
      'yes',
      'yes',
      'all',
    ])
    return table(
      ['revision', 'opening', 'batches', 'annotations', 'titles', 'structured results', 'content blocks'],
      [...rows, ...modern],
    )
  },
}

/** A document with what stands between its markers made anew. */
function withTables(path: string): string {
  return readFileSync(path, 'utf8').replace(
    /(<!-- table: (\w+) -->\n)[\s\S]*?(<!-- end -->)/g,
    (_, open: string, name: string, close: string) => `${open}${(tables[name] as () => string)()}\n${close}`,
  )
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}
