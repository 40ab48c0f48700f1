import { readFileSync } from 'node:fs'

/** What every description of the product says of it: who reads it decides only about the form. */

const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  name: string
  version: string
  description: string
  license: string
  mcpName: string
  homepage: string
  repository: { url: string }
  keywords: string[]
  engines: { node: string }
}

const owner = manifest.mcpName.split('/')[0]?.split('.').at(-1) as string

export const product = {
  ...manifest,
  owner,
  serverName: 'genai-gateway',
  title: 'GenAI Gateway',
  summary: 'Puts language models of several providers behind one set of tools.',
  repository: manifest.repository.url.replace(/^git\+/, '').replace(/\.git$/, ''),
  /** The image of a version, where it is pushed to. */
  image: `docker.io/${owner.toLowerCase()}/${manifest.name}:${manifest.version}`,
}

export type Setting = {
  name: string
  title: string
  description: string
  example: string
  /** Kept apart from the rest, and never shown. */
  secret: boolean
}

const setting = (name: string, title: string, description: string, example: string): Setting => {
  return { name, title, description, example, secret: name.endsWith('_KEY') }
}

/** What a form asks for: enough for one provider of each kind. No answer is needed to start; all variables: spec/client.md. */
export const settings: readonly Setting[] = [
  setting('OPENAI_API_KEY', 'OpenAI key', 'Turns OpenAI on', 'YOUR_OPENAI_API_KEY'),
  setting('ANTHROPIC_API_KEY', 'Anthropic key', 'Turns Anthropic on', 'YOUR_ANTHROPIC_API_KEY'),
  setting('AZURE_OPENAI_API_KEY', 'Azure OpenAI key', 'Turns Azure OpenAI on, with its endpoint', 'YOUR_AZURE_API_KEY'),
  setting(
    'AZURE_OPENAI_ENDPOINT',
    'Azure OpenAI endpoint',
    'Where your Azure OpenAI is',
    'https://NAME.openai.azure.com',
  ),
  setting(
    'PROVIDER_TYPE',
    'Provider',
    'What the default provider speaks; local stands for Ollama, else LM Studio, on this machine',
    'local',
  ),
  setting('GATEWAY_URL', 'Base URL', 'Any server that speaks the dialect of OpenAI', 'https://llm.example.com/v1'),
  setting('GATEWAY_API_KEY', 'Key for the base URL', 'The key of that server, if it wants one', 'YOUR_GATEWAY_API_KEY'),
  setting('DEFAULT_MODEL', 'Default model', 'The model of calls that name none', 'openai/gpt-4o'),
]
