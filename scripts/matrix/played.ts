import { readConfig } from '../../src/config.ts'
import type { Ask } from '../../src/gateway.ts'
import { bytesOf, type Exchange } from '../../src/http/tape.ts'
import { isObject, type Json } from '../../src/json.ts'
import { parseCompletion, parseEmbedding } from '../../src/pipeline/parser.ts'
import type { Provider, Target } from '../../src/provider.ts'
import { presets } from '../../src/providers/index.ts'
import { readArguments } from '../../src/tools/arguments.ts'
import { createCompletion } from '../../src/tools/create-completion.ts'
import { createEmbedding } from '../../src/tools/create-embedding.ts'
import { type Call, type Case, environmentOf } from '../replay/cases.ts'
import { type Surface, surfaces } from './surfaces.ts'

/** A case as the matrix sees it: who was asked, for what, and what came of it. */
export type Played = {
  name: string
  provider: string
  surface: Surface
  dialect: Provider
  ask: Ask
  target: Target
  /** The exchanges of the call itself, without a list of models that was asked for on the way. */
  exchanges: readonly Exchange[]
  /** The structured result, and for a failed call what is known of the failure. */
  answer: Json
  fault?: Json
}

/**
 * A case counts for the provider whose folder it lies in, if the gateway took it for that provider; undefined for one
 * that shows something else.
 */
export function playedOf({ name, call, exchanges, result }: Case): Played | undefined {
  const folder = name.slice(0, name.indexOf('/'))
  const { structuredContent, _meta, isError } = result as Json
  const answer = isObject(structuredContent) ? structuredContent : {}
  const fault = isError === true && isObject(_meta) ? (_meta['genai-gateway/error'] as Json) : undefined
  const config = readConfig(environmentOf(call, 'http://127.0.0.1:9'))
  const ask = askOf(call)
  const server = [answer['provider'], fault?.['provider'], call.arguments['provider'], config.defaultProviders[0]]
    .map((named) => config.providers.get(String(named)))
    .find((provider) => provider !== undefined)
  const own = ask.kind === 'models' ? exchanges : exchanges.filter(({ request }) => isOwn(request, ask))
  const [first] = own
  if (!server || server.type !== folder || !first) return undefined
  const surface = surfaces.findLast(
    ({ providers, kinds, isAt }) => providers.includes(folder) && kinds.includes(ask.kind) && isAt(first.request.path),
  )
  const dialect = presets[folder]?.dialect
  if (!surface || !dialect) return undefined
  const { model = '' } = ask
  const prefix = `${server.name}/`
  const { apiVersion, deployments } = server
  const target = {
    provider: server.name,
    model: model.startsWith(prefix) ? model.slice(prefix.length) : model,
    baseUrl: server.baseUrl,
    headers: {},
    ...(apiVersion === undefined ? {} : { apiVersion }),
    ...(deployments === undefined ? {} : { deployments }),
  }
  return { name, provider: folder, surface, dialect, ask, target, exchanges: own, answer, ...(fault ? { fault } : {}) }
}

function isOwn({ method }: Exchange['request'], { kind }: Ask): boolean {
  return kind === 'tool' || method === 'POST'
}

/** What the arguments of a call ask for, read as the gateway reads them. */
function askOf({ tool, arguments: given }: Call): Ask {
  switch (tool) {
    case 'createCompletion':
      return parseCompletion(readArguments(createCompletion.input(), given))
    case 'createEmbedding':
      return parseEmbedding(readArguments(createEmbedding.input(), given))
    case 'listModels':
      return { kind: 'models', provider: '' }
    default:
      return {
        kind: 'tool',
        provider: '',
        name: String(given['tool']),
        arguments: isObject(given['arguments']) ? given['arguments'] : {},
      }
  }
}

/** The last answer of a call: the one that it comes from. */
export function lastResponse({ exchanges }: Played): Exchange['response'] {
  return (exchanges.at(-1) as Exchange).response
}

export function bodyOf({ chunks }: Exchange['response']): string {
  return Buffer.concat(chunks.map(bytesOf)).toString('utf8')
}

export function isStreamed(played: Played): boolean {
  return /event-stream|ndjson/.test(lastResponse(played).headers['content-type'] ?? '')
}
