import { logLevels } from './log.ts'
import { anyLocal, presets, thisHost } from './providers/index.ts'

/** A variable of the environment, as the documents show it. */
export type Variable = { name: string; meaning: string; default: string }

const code = (text: string) => `\`${text}\``

export const variables: readonly Variable[] = [
  {
    name: 'GATEWAY_URL',
    meaning: 'base URL of the default provider, or of a company’s gateway',
    default: 'the provider’s own',
  },
  { name: 'GATEWAY_API_KEY', meaning: 'its key', default: 'the provider’s own variable, if set' },
  {
    name: 'PROVIDER_TYPE',
    meaning: `what it speaks: a provider of the table below, or ${code(anyLocal.type)} (${anyLocal.among.join(', else ')})`,
    default: 'inferred from the URL, else `openai`',
  },
  { name: 'DEFAULT_MODEL', meaning: 'model when a call names none', default: 'the provider’s first sensible one' },
  {
    name: 'TIMEOUT',
    meaning: 'seconds of silence from a provider before the call fails (first byte, between bytes)',
    default: '30; unset, 300 for a local provider and for a reasoning call’s first byte',
  },
  { name: 'MAX_RETRIES', meaning: 'retries after the first attempt', default: '3' },
  { name: 'PROVIDER_CONFIG', meaning: 'JSON text, or the path of a JSON file, for everything else', default: 'none' },
  {
    name: 'GATEWAY_LOCAL_HOST',
    meaning: 'the host on which providers are looked for whose address below names this machine',
    default: `${code(thisHost)}; in the container image, ${code('host.docker.internal')}`,
  },
  {
    name: 'GATEWAY_HTTP_TOKEN',
    meaning: 'what `http` asks its clients for: one token of 16 characters or more, or several, separated by commas',
    default: 'none: `http` does not start',
  },
  {
    name: 'GATEWAY_HTTP_HOST, GATEWAY_HTTP_PORT, GATEWAY_HTTP_ALLOW_HOSTS',
    meaning: 'where `http` listens, and the names under which it may be reached, separated by commas',
    default: '`127.0.0.1`, `8790`, none',
  },
  { name: 'LOG_LEVEL', meaning: `${logLevels.map(code).join(' ')}, on stderr`, default: '`info`' },
  { name: 'GATEWAY_RECORD', meaning: 'a folder in which every exchange with a provider is recorded', default: 'none' },
  {
    name: 'HTTPS_PROXY, HTTP_PROXY, NO_PROXY',
    meaning: 'the proxy for calls to providers, and the hosts that need none',
    default: 'none',
  },
  { name: 'NODE_EXTRA_CA_CERTS', meaning: 'a file of further certificate authorities to trust', default: 'none' },
]

/** Each kind of provider with what turns it on, as the documents show it. */
export const providerVariables: readonly { type: string; key: string; url: string; baseUrl: string }[] = Object.entries(
  presets,
).map(([type, { keyVariable, urlVariables, baseUrl }]) => ({
  type,
  key: keyVariable,
  url: urlVariables.toReversed().map(code).join(', '),
  baseUrl: baseUrl ?? 'none: it must be given',
}))
