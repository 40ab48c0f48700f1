import type { Provider } from '../provider.ts'
import { openai } from './openai.ts'

/** What is known of a kind of provider before anybody has configured it. */
export type Preset = {
  dialect: Provider
  /** Without the part of the path that the dialect's operations begin with. */
  baseUrl: string
  /** What the dialect's operations expect behind the base URL. */
  path: string
  keyVariable: string
  /** Any of these turns the provider on; the last one that is set wins. */
  urlVariables: readonly string[]
  /** Whether calls to `baseUrl` are hopeless without a key. */
  needsKey: boolean
  /** Names of models that are known to be at home here. */
  owns?: RegExp
  /** Runs on the user's own machine: slow to begin, and simply not running is its commonest fault. */
  local: boolean
}

/** Every kind of provider, in the order in which the default one is chosen. */
export const presets: Readonly<Record<string, Preset>> = {
  openai: {
    dialect: openai,
    baseUrl: 'https://api.openai.com/v1',
    path: '',
    keyVariable: 'OPENAI_API_KEY',
    urlVariables: ['OPENAI_BASE_URL'],
    needsKey: true,
    owns: /^(?:gpt-|o\d)/,
    local: false,
  },
  ollama: {
    dialect: openai,
    baseUrl: 'http://127.0.0.1:11434',
    path: '/v1',
    keyVariable: 'OLLAMA_API_KEY',
    urlVariables: ['OLLAMA_HOST', 'OLLAMA_BASE_URL'],
    needsKey: false,
    local: true,
  },
  lmstudio: {
    dialect: openai,
    baseUrl: 'http://127.0.0.1:1234/v1',
    path: '',
    keyVariable: 'LMSTUDIO_API_KEY',
    urlVariables: ['LMSTUDIO_HOST', 'LMSTUDIO_BASE_URL'],
    needsKey: false,
    local: true,
  },
}
