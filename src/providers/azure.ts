import { Fault, type FaultCode } from '../errors.ts'
import type { ChatAsk, Event } from '../gateway.ts'
import { faultOfStatus, parseProblem } from '../http/problem.ts'
import type { EncodedRequest, Provider, Target } from '../provider.ts'
import { isObject, type Json } from './json.ts'
import { encodeResponses, openaiAlike } from './openai.ts'
import { decodeStream, readChatChoice, readTextChoice } from './openai-stream.ts'

const { chat, text, embed, models } = openaiAlike

/**
 * Azure OpenAI: OpenAI's dialect at a resource of one's own. There are two surfaces (Microsoft's page on the lifecycle
 * of API versions): without a version, `/openai/v1` with the name of the deployment as the model; with a dated one,
 * `/openai/deployments/NAME`. The list of models is of those that could be deployed, not of the deployments.
 */
export const azure: Provider = {
  authorize: (key) => (isToken(key) ? { authorization: `Bearer ${key}` } : { 'api-key': key }),
  fault,
  chat: {
    encode: (ask, target) =>
      relocatedResponses(ask, target) ?? relocated(chat.encode, ask, target, limitFor(target, ask.maxTokens)),
    decode: (response, { options }) =>
      decodeStream(response, (choice, calls) => [...filterWarnings(choice), ...readChatChoice(choice, calls)], {
        options,
      }),
  },
  text: {
    encode: (ask, target) => relocated(text.encode, ask, datedOnly(target)),
    decode: (response) => decodeStream(response, (choice) => [...filterWarnings(choice), ...readTextChoice(choice)]),
  },
  embed: { ...embed, encode: (ask, target) => relocated(embed.encode, ask, target) },
  models: {
    ...models,
    encode: (ask, target) => withVersion(models.encode(ask, { ...target, baseUrl: surfaceOf(target) }), target),
  },
}

/** Where everything is that is not below a deployment. */
function surfaceOf(target: Target): string {
  return isDated(target) ? `${rootOf(target)}/openai` : `${rootOf(target)}/openai/v1`
}

/** On both surfaces /responses stands beside the deployments, and the body names the one that is meant. */
function relocatedResponses(ask: ChatAsk, target: Target): EncodedRequest | undefined {
  const options = { model: deploymentOf(target), ...ask.options }
  const encoded = encodeResponses(
    { ...ask, options },
    { ...target, baseUrl: surfaceOf(target), model: modelOf(target) },
  )
  return encoded && withVersion(encoded, target)
}

/** A token of Microsoft Entra is a JWT: three parts of base64url. A key of the resource has no dot. */
function isToken(key: string): boolean {
  return /^[\w-]+\.[\w-]+\.[\w-]+$/.test(key)
}

/** The request that OpenAI would get, sent to where Azure takes it. The caller's own fields still have the last word. */
function relocated<A extends { options?: Readonly<Json> | undefined }>(
  encode: (ask: A, target: Target) => EncodedRequest,
  ask: A,
  target: Target,
  fields: Json = {},
): EncodedRequest {
  const deployment = deploymentOf(target)
  const baseUrl = isDated(target)
    ? `${rootOf(target)}/openai/deployments/${segment(deployment)}`
    : `${rootOf(target)}/openai/v1`
  // What a model accepts is told by its name, which the deployment need not bear.
  const aimed = { ...target, baseUrl, model: modelOf(target) }
  const options = { model: deployment, ...fields, ...ask.options }
  return withVersion(encode({ ...ask, options }, aimed), target)
}

function withVersion(encoded: EncodedRequest, { apiVersion }: Target): EncodedRequest {
  const query = apiVersion === undefined ? '' : `?api-version=${encodeURIComponent(apiVersion)}`
  return { ...encoded, url: `${encoded.url}${query}` }
}

/** The endpoint as the portal shows it: the resource alone, with `/openai` or `/openai/v1`, or down to a deployment. */
function rootOf({ baseUrl }: Target): string {
  return baseUrl.replace(/\/openai(?:\/v1|\/deployments(?:\/.*)?)?$/, '')
}

/** The versions of the surface without deployments in its paths are words: `v1` and `preview`. */
function isDated({ apiVersion }: Target): boolean {
  return apiVersion !== undefined && /^\d{4}-/.test(apiVersion)
}

function deploymentOf({ deployments = {}, model }: Target): string {
  return (Object.hasOwn(deployments, model) ? deployments[model] : undefined) ?? model
}

/** The model behind a name, where the configuration tells; else the name itself. */
function modelOf({ deployments = {}, model }: Target): string {
  return Object.entries(deployments).find(([, deployment]) => deployment === model)?.[0] ?? model
}

/** One segment of a path, and never a step up: a dot or two would be resolved away before the request is sent. */
function segment(deployment: string): string {
  if (deployment === '' || deployment === '.' || deployment === '..') {
    throw new Fault('invalid_request', `${JSON.stringify(deployment)} cannot be the name of a deployment`)
  }
  return encodeURIComponent(deployment)
}

/** `/openai/v1` knows the newer name for every model of chat; a dated version may be older than the name. */
function limitFor(target: Target, maxTokens: number | undefined): Json {
  const renamed = !isDated(target) && maxTokens !== undefined
  return renamed ? { max_tokens: undefined, max_completion_tokens: maxTokens } : {}
}

function datedOnly(target: Target): Target {
  if (isDated(target)) return target
  throw new Fault(
    'configuration',
    'Azure takes legacy completions (mode text) only with a dated API version: set apiVersion of this provider, to 2024-10-21 say',
    { cause: 'api_version' },
  )
}

/** The name of a filter goes into a sentence. */
const decentName = /^\w{1,64}$/

/** The filters that stopped something, of a list such as `{"hate":{"filtered":true,"severity":"high"},…}`. */
function filtersOf(results: unknown): string[] {
  return Object.entries(isObject(results) ? results : {}).flatMap(([name, result]) =>
    isObject(result) && result['filtered'] === true && decentName.test(name) ? [name] : [],
  )
}

function filterWarnings(choice: Json): Event[] {
  const filters = filtersOf(choice['content_filter_results'])
  return filters.length > 0
    ? [{ type: 'warning', message: `Azure’s content filter stopped the answer: ${filters.join(', ')}` }]
    : []
}

/** What of the request or of the configuration an error is about, as far as Azure's answer tells. */
function fault(status: number, headers: Readonly<Record<string, string>>, body: string): Fault {
  const said = faultOfStatus(status, headers, body)
  const reading = read(status, said.code, body)
  if (!reading) return said
  const { code, cause, advice } = reading
  const message = `${said.message.replace(/[.\s]+$/, '')}; ${advice}`
  return new Fault(code, message, { ...said.detail, cause, retryable: false })
}

type Reading = { code: FaultCode; cause: string; advice: string }

const versionWords = /api[- ]version/i
const deploymentWords = /DeploymentNotFound|model_not_found|unknown_model|deployment .*(?:does not exist|not found)/i
const networkWords = /virtual network|firewall|private endpoint|public (?:network )?access/i

function read(status: number, code: FaultCode, body: string): Reading | undefined {
  const { message = '', code: word = '' } = parseProblem(body)
  const words = `${word} ${message}`.slice(0, 2000)
  if (code === 'content_filter') {
    const filters = filtersIn(body)
    return filters.length > 0
      ? { code, cause: 'content_filter', advice: `what was filtered: ${filters.join(', ')}` }
      : undefined
  }
  if (status === 401 && word === 'PermissionDenied') {
    return {
      code: 'permission',
      cause: 'role',
      advice: 'the identity needs a role on the resource, Cognitive Services OpenAI User say',
    }
  }
  if (status === 403 && networkWords.test(words)) {
    return {
      code: 'permission',
      cause: 'network_rules',
      advice: 'the resource takes calls from its own networks only: call from there, or let this machine’s address in',
    }
  }
  if (status !== 400 && status !== 404) return undefined
  if (versionWords.test(words)) {
    return {
      code: 'configuration',
      cause: 'api_version',
      advice: 'set apiVersion of this provider to a version that knows the operation, or leave it out',
    }
  }
  if (deploymentWords.test(words)) {
    return {
      code: 'model_not_found',
      cause: 'deployment',
      advice:
        'the endpoint and the key are right, the deployment is not: give the name of a deployment of this very resource, or map the model to it in deployments',
    }
  }
  if (status === 400) return undefined
  return {
    code: 'configuration',
    cause: 'path',
    advice:
      'the endpoint answers and has no such path: check that it is the resource’s own (https://NAME.openai.azure.com) and that apiVersion, if it is set, is one that Azure knows',
  }
}

/** The filters that stopped the prompt: they stand in an inner error, whose names Azure spells in two ways. */
function filtersIn(body: string): string[] {
  try {
    const { error } = JSON.parse(body) as Json
    const inner = isObject(error) ? (error['innererror'] ?? error['inner_error']) : undefined
    return isObject(inner) ? filtersOf(inner['content_filter_result'] ?? inner['content_filter_results']) : []
  } catch {
    return []
  }
}
