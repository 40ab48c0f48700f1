import { isObject, type Json } from '../../src/json.ts'
import { bodyOf, isStreamed, lastResponse, type Played } from './played.ts'

/** What only an answer shows. The code reads it at every provider; who sends it is told here, after the vendors. */
export type Shown = {
  name: string
  /** The surfaces that answer so; without it, all that have chat. */
  by?: readonly string[]
  shows(played: Played): boolean
}

const openai = ['openai', 'openai responses', 'azure', 'azure dated', 'azure responses']
/** Where the arguments of a call are written as a text, and may be no JSON. */
const textArguments = [...openai, 'anthropic', 'lmstudio', 'compatible']

/** Whether an answer of chat came to its end, and this is true of it. */
function ended(isSo: (answer: Json, played: Played) => boolean): Shown['shows'] {
  return (played) => played.ask.kind === 'chat' && !played.fault && isSo(played.answer, played)
}

function broken(isSo: (fault: Json, played: Played) => boolean): Shown['shows'] {
  return (played) => played.ask.kind === 'chat' && played.fault !== undefined && isSo(played.fault, played)
}

function finished(reason: string): Shown['shows'] {
  return ended((answer) => answer['finishReason'] === reason)
}

function counts(name: string): Shown['shows'] {
  return ended(({ usage }) => isObject(usage) && Number(usage[name]) > 0)
}

function callsOf({ toolCalls }: Json): Json[] {
  return Array.isArray(toolCalls) ? toolCalls : []
}

export const chatAnswers: readonly Shown[] = [
  { name: 'streamed', shows: ended((_, played) => isStreamed(played)) },
  { name: 'not streamed', shows: ended((_, played) => !isStreamed(played)) },
  {
    name: 'cut characters',
    shows: ended((_, played) => isStreamed(played) && /[^\p{ASCII}]/u.test(bodyOf(lastResponse(played)))),
  },
  { name: 'one tool call', shows: ended((answer) => callsOf(answer).length === 1) },
  { name: 'several tool calls', shows: ended((answer) => callsOf(answer).length > 1) },
  {
    name: 'call without arguments',
    shows: ended((answer) =>
      callsOf(answer).some((call) => JSON.stringify(call['arguments']) === '{}' && call['argumentsText'] === undefined),
    ),
  },
  {
    name: 'arguments that are no JSON',
    by: textArguments,
    shows: ended((answer) =>
      callsOf(answer).some((call) => JSON.stringify(call['arguments']) === '{}' && call['argumentsText'] !== undefined),
    ),
  },
  {
    name: 'thoughts shown',
    by: ['openai responses', 'azure responses', 'anthropic', 'ollama', 'lmstudio', 'compatible'],
    shows: ended(({ reasoning }) => typeof reasoning === 'string' && reasoning !== ''),
  },
  { name: 'answer as an object', shows: ended(({ object }) => isObject(object)) },
  {
    name: 'log probabilities',
    by: [...openai, 'ollama', 'compatible'],
    shows: ended(({ logprobs }) => Array.isArray(logprobs)),
  },
  { name: 'end: stop', shows: finished('stop') },
  { name: 'end: length', shows: finished('length') },
  { name: 'end: refusal', by: [...openai, 'anthropic', 'compatible'], shows: finished('refusal') },
  { name: 'end: content filter', by: [...openai, 'compatible'], shows: finished('contentFilter') },
  {
    name: 'cached prompt tokens',
    by: [...openai, 'anthropic', 'compatible'],
    shows: counts('cachedPromptTokens'),
  },
  {
    name: 'reasoning tokens',
    by: [...openai, 'anthropic', 'lmstudio', 'compatible'],
    shows: counts('reasoningTokens'),
  },
  {
    name: 'empty answer',
    shows: ended((answer) => answer['text'] === '' && callsOf(answer).length === 0),
  },
  {
    name: 'cut answer',
    shows: broken(({ code }, played) => code === 'truncated' && lastResponse(played).fault === undefined),
  },
  {
    name: 'broken connection',
    shows: broken(({ code }, played) => code === 'truncated' && lastResponse(played).fault !== undefined),
  },
  {
    name: 'error after 200',
    shows: broken((_, played) => lastResponse(played).status === 200 && isStreamed(played) && hasError(played)),
  },
]

/** An error of the server's own, in the midst of its answer. */
function hasError(played: Played): boolean {
  return /"error"\s*:\s*(?:\{|")|"type":"error"|response\.failed/.test(bodyOf(lastResponse(played)))
}

/** The statuses that each vendor documents, or its server has been seen to answer with, for a call that it refuses. */
export const refusals: Readonly<Record<string, readonly number[]>> = {
  openai: [400, 401, 403, 404, 429, 500, 503],
  azure: [400, 401, 403, 404, 408, 429, 500, 503],
  anthropic: [400, 401, 402, 403, 404, 409, 413, 429, 500, 504, 529],
  ollama: [400, 401, 403, 404, 405, 500, 501, 502, 503],
  lmstudio: [400, 401, 404, 500],
  compatible: [400, 401, 402, 403, 404, 413, 422, 429, 500, 502, 503],
}
