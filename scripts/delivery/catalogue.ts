import { stringify } from 'yaml'
import { declarations } from '../../src/tools/declarations.ts'
import { product, type Setting, settings } from './product.ts'

/** Docker's MCP catalogue: an entry is a folder with server.yaml and tools.json, and the image describes itself by labels. */

/** Stands where only a release knows the commit. */
export const noCommit = '0'.repeat(40)

const parameterOf = ({ name }: Setting) => name.toLowerCase()
const secrets = settings.filter(({ secret }) => secret)
const parameters = settings.filter(({ secret }) => !secret)

/** @param commit the 40 hexadecimal digits of what the image is built from. */
export function serverYaml(commit = noCommit): string {
  const entry = {
    name: product.serverName,
    image: `mcp/${product.serverName}`,
    type: 'server',
    // One container for many calls: it keeps lists of models, limits and what models have refused.
    longLived: true,
    meta: { category: 'ai', tags: product.keywords.filter((word) => word !== 'mcp') },
    about: {
      title: product.title,
      description: product.summary,
      icon: `${product.repository}/raw/main/delivery/icon.svg`,
    },
    source: { project: product.repository, commit },
    config: {
      description: 'Give what one provider needs, and leave the rest empty.',
      secrets: secrets.map(({ name, example }) => {
        return { name: `${product.serverName}.${name}`, env: name, example, required: false }
      }),
      env: parameters.map((setting) => ({
        name: setting.name,
        example: setting.example,
        value: `{{${product.serverName}.${parameterOf(setting)}}}`,
      })),
      parameters: {
        type: 'object',
        properties: Object.fromEntries(
          parameters.map((setting) => [parameterOf(setting), { type: 'string', description: setting.description }]),
        ),
      },
    },
  }
  return stringify(entry, { lineWidth: 0 })
}

export function toolsJson(): string {
  const tools = declarations.map(({ name, description, inputSchema }) => {
    const properties = Object.entries(
      inputSchema['properties'] as Record<string, { type: string; description: string }>,
    )
    return {
      name,
      description,
      arguments: properties.map(([argument, { type, description }]) => ({ name: argument, type, desc: description })),
    }
  })
  return `${JSON.stringify(tools, undefined, 2)}\n`
}

/** The lines of the Dockerfile by which the image says what it is. */
export function imageLabels(): string {
  const metadata = {
    name: product.serverName,
    title: product.title,
    type: 'server',
    image: product.image,
    description: product.summary,
    longLived: true,
    secrets: secrets.map(({ name }) => ({ name: `${product.serverName}.${name}`, env: name })),
    tools: declarations.map(({ name, description }) => ({ name, description })),
    metadata: { category: 'ai', license: product.license, owner: product.owner },
  }
  const labels = {
    'org.opencontainers.image.title': product.title,
    'org.opencontainers.image.description': product.summary,
    'org.opencontainers.image.version': product.version,
    'org.opencontainers.image.licenses': product.license,
    'org.opencontainers.image.source': product.repository,
    'io.modelcontextprotocol.server.name': product.mcpName,
    // JSON is YAML; an apostrophe would end the quotes around it.
    'io.docker.server.metadata': JSON.stringify(metadata).replaceAll("'", '\\u0027'),
  }
  const pairs = Object.entries(labels).map(([name, value]) => `${name}='${value}'`)
  return `LABEL ${pairs.join(' \\\n      ')}`
}
