import { faultOfStatus } from '../http/problem.ts'
import type { Dialect, Provider } from '../provider.ts'
import { anthropic } from './anthropic.ts'
import { azure } from './azure.ts'
import { lmstudio } from './lmstudio.ts'
import { ollama } from './ollama.ts'
import { alikeBut, openai, type Peculiarities } from './openai.ts'

/** What is known of a kind of provider before anybody has configured it. */
export type Preset<Spoken = Dialect> = {
  dialect: Spoken
  /** Where it is unless the configuration says otherwise; absent where there is no such place. */
  baseUrl?: string
  keyVariable: string
  /** Any of these turns the provider on; the last one that is set wins. */
  urlVariables: readonly string[]
  /** Whether calls to `baseUrl` are hopeless without a key. */
  needsKey: boolean
  /** A base URL that gives this kind of provider away. */
  isAt: RegExp
  /** Names of models that are known to be at home here. */
  owns?: RegExp
  /** An ending of base URLs that belongs to another dialect of the same server. */
  foreignPath?: RegExp
  /** Runs on the user's own machine: slow to begin, and simply not running is its commonest fault. */
  local: boolean
  /** The command that starts it there. */
  startedBy?: string
}

/** A port that one program is known by, on this machine or in a private network. */
function nearby(port: number): RegExp {
  const host = String.raw`localhost|127(?:\.\d+){3}|\[::1\]|10(?:\.\d+){3}|192\.168(?:\.\d+){2}|172\.(?:1[6-9]|2\d|3[01])(?:\.\d+){2}|host\.docker\.internal|[\w-]+`
  return new RegExp(`^(?:http://)?(?:${host}):${port}(?:/|$)`)
}

/** A server that speaks OpenAI's dialect: turned on by its key, or by the URL where it runs on the user's own machine. */
function alike(
  name: string,
  baseUrl: string,
  { local = false, ...peculiarities }: Peculiarities & { local?: boolean } = {},
): Preset<Provider> {
  const { host } = new URL(baseUrl)
  return {
    dialect: alikeBut(peculiarities),
    baseUrl,
    keyVariable: `${name}_API_KEY`,
    urlVariables: [`${name}_BASE_URL`],
    needsKey: !local,
    // A port alone does not say who listens.
    isAt: local ? /^$/ : new RegExp(`^https://${host.replaceAll('.', '\\.')}(?:/|$)`),
    local,
  }
}

/** Every kind of provider, in the order in which the default one is chosen. */
export const presets: Readonly<Record<string, Preset<Provider>>> = {
  openai: {
    dialect: openai,
    baseUrl: 'https://api.openai.com/v1',
    keyVariable: 'OPENAI_API_KEY',
    urlVariables: ['OPENAI_BASE_URL'],
    needsKey: true,
    isAt: /\/\/(?:[a-z]+\.)?api\.openai\.com(?:\/|$)/,
    owns: /^(?:gpt-|o\d)/,
    local: false,
  },
  azure: {
    dialect: azure,
    keyVariable: 'AZURE_OPENAI_API_KEY',
    urlVariables: ['AZURE_OPENAI_BASE_URL', 'AZURE_OPENAI_ENDPOINT'],
    needsKey: true,
    isAt: /\.(?:openai|services\.ai|cognitiveservices)\.azure\.com(?:\/|$)/,
    local: false,
  },
  anthropic: {
    dialect: anthropic,
    baseUrl: 'https://api.anthropic.com',
    keyVariable: 'ANTHROPIC_API_KEY',
    urlVariables: ['ANTHROPIC_BASE_URL'],
    needsKey: true,
    isAt: /\/\/api\.anthropic\.com(?:\/|$)/,
    owns: /^claude-/,
    foreignPath: /\/v1$/,
    local: false,
  },
  ollama: {
    dialect: ollama,
    baseUrl: 'http://127.0.0.1:11434',
    keyVariable: 'OLLAMA_API_KEY',
    urlVariables: ['OLLAMA_BASE_URL', 'OLLAMA_HOST'],
    needsKey: false,
    isAt: nearby(11434),
    foreignPath: /\/(?:v1|api)$/,
    local: true,
    startedBy: 'ollama serve',
  },
  lmstudio: {
    dialect: lmstudio,
    baseUrl: 'http://127.0.0.1:1234/v1',
    keyVariable: 'LMSTUDIO_API_KEY',
    urlVariables: ['LMSTUDIO_BASE_URL', 'LMSTUDIO_HOST'],
    needsKey: false,
    isAt: nearby(1234),
    local: true,
    startedBy: 'lms server start',
  },
  openrouter: alike('OPENROUTER', 'https://openrouter.ai/api/v1', { thoughts: ['reasoning_details'] }),
  groq: alike('GROQ', 'https://api.groq.com/openai/v1'),
  deepseek: alike('DEEPSEEK', 'https://api.deepseek.com/v1', { thoughts: ['reasoning_content'] }),
  mistral: alike('MISTRAL', 'https://api.mistral.ai/v1', { callIdChars: 9 }),
  xai: alike('XAI', 'https://api.x.ai/v1'),
  together: alike('TOGETHER', 'https://api.together.xyz/v1'),
  fireworks: alike('FIREWORKS', 'https://api.fireworks.ai/inference/v1'),
  gemini: alike('GEMINI', 'https://generativelanguage.googleapis.com/v1beta/openai', {
    thoughts: ['extra_content'],
  }),
  vllm: alike('VLLM', 'http://127.0.0.1:8000/v1', { local: true, thoughts: ['reasoning_content'] }),
  llamacpp: alike('LLAMACPP', 'http://127.0.0.1:8080/v1', { local: true, thoughts: ['reasoning_content'] }),
}

/** This machine's name for itself. Inside a container, the machine around it has another. */
export const thisHost = '127.0.0.1'

/** The presets with local providers at a host of another name. */
export function presetsAt(localHost: string): typeof presets {
  const moved = ([type, preset]: [string, Preset<Provider>]): [string, Preset<Provider>] => {
    if (!preset.local || preset.baseUrl === undefined) return [type, preset]
    return [type, { ...preset, baseUrl: preset.baseUrl.replace(thisHost, () => localHost) }]
  }
  return Object.fromEntries(Object.entries(presets).map(moved))
}

/** A word for whichever of these is listening, asked in this order. */
export const anyLocal = { type: 'local', among: ['ollama', 'lmstudio'] } as const

/** A kind of provider that a plugin brings: only its configuration says where it is and which key is its own. */
export const pluginPreset: Preset = {
  dialect: { authorize: () => ({}), fault: faultOfStatus },
  keyVariable: '',
  urlVariables: [],
  needsKey: false,
  isAt: /^$/,
  local: false,
}
