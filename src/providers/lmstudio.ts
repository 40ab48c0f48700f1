import { Fault } from '../errors.ts'
import type { Ask, ChatAsk, Events, ModelInfo } from '../gateway.ts'
import { readJson } from '../http/body.ts'
import type { HttpResponse } from '../http/message.ts'
import { faultOfProblem, faultOfStatus, readProblem } from '../http/problem.ts'
import type { Operation, Provider, Target } from '../provider.ts'
import { countOf, isObject, type Json } from './json.ts'
import { lmstudioTools } from './lmstudio-tools.ts'
import { openaiAlike } from './openai.ts'

const { authorize, chat, text, embed } = openaiAlike

/**
 * LM Studio: OpenAI's dialect below `/v1`, and a surface of its own beside it that tells more of its models. Of that,
 * `/api/v0/models` is asked: it came with 0.3.6 and its documentation calls it deprecated, but every server since has
 * it, and `/api/v1/models`, which replaces it, is only in 0.4.0 and later.
 */
export const lmstudio: Provider = {
  authorize,
  fault: (status, headers, body) => explained(faultOfStatus(status, headers, body)),
  chat: { ...adapted(chat), encode: (ask, target) => chat.encode(withPlainChoice(ask), atV1(target)) },
  text: adapted(text),
  embed: adapted(embed),
  tools: lmstudioTools,
  models: {
    encode: (_, target) => ({ method: 'GET', url: `${rootOf(target)}/api/v0/models`, headers: {}, warnings: [] }),
    decode: (response) => withExplainedFaults(decodeModels(response)),
  },
}

function adapted<A extends Ask>(operation: Operation<A>): Operation<A> {
  return {
    encode: (ask, target) => operation.encode(ask, atV1(target)),
    decode: (response, ask) => withExplainedFaults(operation.decode(response, ask)),
  }
}

function rootOf({ baseUrl }: Target): string {
  return baseUrl.replace(/(?:\/api)?\/v[01]$/, '')
}

function atV1(target: Target): Target {
  return { ...target, baseUrl: `${rootOf(target)}/v1` }
}

/** It refuses a tool's name as `tool_choice` (its bug tracker, #670): a call that is required of one tool is the same. */
function withPlainChoice(ask: ChatAsk): ChatAsk {
  const plain = ['auto', 'none', 'required'].includes(ask.toolChoice ?? 'auto')
  const named = plain ? [] : (ask.tools?.filter(({ name }) => name === ask.toolChoice) ?? [])
  return named.length > 0 ? { ...ask, tools: named, toolChoice: 'required' } : ask
}

/** What goes wrong once the answer has begun, or in a 200 that is an error, is told in the same words. */
async function* withExplainedFaults(events: AsyncIterable<Events>): AsyncGenerator<Events> {
  try {
    yield* events
  } catch (error) {
    throw error instanceof Fault ? explained(error) : error
  }
}

type Explanation = { words: RegExp; code: Fault['code']; cause: string; retryable: boolean; advice: string }

const howToLoad =
  'load the model in LM Studio (or by lms load NAME), or switch just-in-time loading on in its server’s settings'

/** Errors of the server, by what they say: they have no codes (its bug tracker: #618, #1077, #1730; lms #107). */
const explanations: readonly Explanation[] = [
  {
    words: /no models? (?:is |are )?(?:currently )?loaded|model\b.{0,160}\bnot loaded/i,
    code: 'model_not_found',
    cause: 'not_loaded',
    retryable: false,
    advice: howToLoad,
  },
  {
    words: /model\b.{0,160}\bunloaded/i,
    code: 'unavailable',
    cause: 'not_loaded',
    retryable: true,
    advice: howToLoad,
  },
  {
    words: /failed to load|error loading model/i,
    code: 'provider_error',
    cause: 'load_failed',
    retryable: false,
    advice: 'LM Studio has the model and could not load it: its own log says why (too little memory, most often)',
  },
  {
    words: /model has crashed/i,
    code: 'provider_error',
    cause: 'crashed',
    retryable: true,
    advice: 'LM Studio’s own log says why',
  },
  {
    // An unknown path is answered with 200 and this sentence, and so is a missing key in some versions.
    words: /unexpected endpoint or method/i,
    code: 'configuration',
    cause: 'path',
    retryable: false,
    advice: 'this takes LM Studio 0.3.6 or newer, its base URL (http://HOST:1234/v1), and its key where it wants one',
  },
]

/** A fault with what to do about it. */
function explained(fault: Fault): Fault {
  const found = explanations.find(({ words }) => words.test(fault.message))
  if (!found) {
    return fault.code === 'model_not_found' ? advised(fault, fault.code, `${howToLoad}, if it is downloaded`) : fault
  }
  const { code, cause, retryable, advice } = found
  return advised(fault, code, advice, { cause, retryable })
}

function advised(fault: Fault, code: Fault['code'], advice: string, detail: Fault['detail'] = {}): Fault {
  return new Fault(code, `${fault.message.replace(/[.\s]+$/, '')}; ${advice}`, { ...fault.detail, ...detail })
}

/** The list is of all models that are downloaded with just-in-time loading on, else of those that are loaded. */
async function* decodeModels(response: HttpResponse): AsyncGenerator<Events> {
  const body = await readJson(response)
  const { data, error } = isObject(body) ? body : ({} as Json)
  if (error) throw faultOfProblem(readProblem(body), response.headers)
  if (!Array.isArray(data))
    throw new Fault('invalid_response', 'the answer is not a list of models', { cause: 'bad_json' })
  yield data.flatMap((item) => {
    const model = isObject(item) ? readModel(item) : undefined
    return model ? [{ type: 'model' as const, model }] : []
  })
}

/** What a type of model can do, in the words that Ollama has for it. */
const abilities: Readonly<Record<string, readonly string[]>> = {
  llm: ['completion'],
  vlm: ['completion', 'vision'],
  embeddings: ['embedding'],
  embedding: ['embedding'],
}

function readModel(item: Json): ModelInfo | undefined {
  const { id, type, state, publisher, capabilities } = item
  if (typeof id !== 'string') return undefined
  // A loaded model takes no more than it was loaded with.
  const contextWindow = countOf(item['loaded_context_length']) ?? countOf(item['max_context_length'])
  const named = Array.isArray(capabilities) ? capabilities.filter((word) => typeof word === 'string') : []
  const words = [
    ...(typeof type === 'string' && Object.hasOwn(abilities, type) ? (abilities[type] ?? []) : []),
    ...named.map((word) => (word === 'tool_use' ? 'tools' : word)),
    ...(state === 'loaded' || state === 'not-loaded' ? [state] : []),
  ]
  return {
    name: id,
    ...(typeof publisher === 'string' ? { ownedBy: publisher } : {}),
    ...(contextWindow === undefined ? {} : { contextWindow }),
    ...(words.length > 0 ? { capabilities: words } : {}),
  }
}
