import { readFileSync } from 'node:fs'
import { parse } from 'yaml'

/** Docker's MCP Toolkit: what it makes of an entry of its catalogue, as docker/mcp-gateway has it in pkg/gateway/clientpool.go. */

const root = new URL('../../', import.meta.url)

export type CatalogueEntry = {
  name: string
  image: string
  type: string
  longLived: boolean
  meta: { category: string; tags: string[] }
  about: { title: string; description: string; icon: string }
  source: { project: string; commit: string }
  config: {
    description: string
    secrets: { name: string; env: string; example: string; required: boolean }[]
    env: { name: string; example: string; value: string }[]
    parameters: { type: string; properties: Record<string, { type: string; description: string }> }
  }
}

export function catalogueEntry(): CatalogueEntry {
  return parse(readFileSync(new URL('delivery/docker/server.yaml', root), 'utf8'))
}

/** What the user has put into the Toolkit: secrets by their name, answers to the form by that of the parameter. */
export type Answers = { secrets?: Record<string, string>; parameters?: Record<string, string> }

/** The arguments of `docker`, and what it finds in its environment. */
export function toolkitRun({ name, config }: CatalogueEntry, image: string, answers: Answers = {}) {
  const env: Record<string, string> = {}
  for (const secret of config.secrets) env[secret.env] = answers.secrets?.[secret.name] ?? '<UNKNOWN>'
  for (const { name: variable, value } of config.env) {
    const filled = value.replace(/\{\{(.+?)\}\}/g, (_, path: string) => {
      return answers.parameters?.[path.slice(name.length + 1)] ?? ''
    })
    if (filled !== '') env[variable] = filled
  }
  const labels = [
    'docker-mcp=true',
    'docker-mcp-tool-type=mcp',
    `docker-mcp-name=${name}`,
    'docker-mcp-transport=stdio',
  ]
  const args = [
    ...['run', '--rm', '-i', '--init', '--security-opt', 'no-new-privileges', '--cpus', '1', '--memory', '2Gb'],
    ...['--pull', 'never', ...labels.flatMap((label) => ['-l', label])],
    ...Object.keys(env).flatMap((variable) => ['-e', variable]),
    image,
  ]
  return { args, env }
}

/** The command that the image starts with, and what is set in it. */
export function imageStart(): { entryPoint: string[]; env: Record<string, string> } {
  const text = readFileSync(new URL('Dockerfile', root), 'utf8')
  const entryPoint: string[] = JSON.parse(/^ENTRYPOINT (.*)$/m.exec(text)?.[1] ?? '[]')
  const env = Object.fromEntries(
    [...text.matchAll(/^ENV (\w+)=(.*)$/gm)].map(([, name = '', value = '']) => [name, value]),
  )
  return { entryPoint, env }
}
