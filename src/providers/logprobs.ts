import type { Event, TokenLogprob } from '../gateway.ts'
import { isObject } from './json.ts'

/**
 * Log probabilities as servers tell them: a list of tokens (OpenAI's ChatCompletionTokenLogprob, which others share), below
 * `content` in chat, or for the legacy completions one list each for tokens, their values and their alternatives.
 */
export function readLogprobs(told: unknown): Event[] {
  const tokens = isObject(told) ? (readTokens(told['content']) ?? readColumns(told)) : readTokens(told)
  return tokens === undefined || tokens.length === 0 ? [] : [{ type: 'logprobs', tokens }]
}

function readTokens(list: unknown): TokenLogprob[] | undefined {
  if (!Array.isArray(list)) return undefined
  return list.flatMap((entry) => {
    const one = readOne(entry)
    if (one === undefined) return []
    const others = isObject(entry) && Array.isArray(entry['top_logprobs']) ? entry['top_logprobs'] : []
    return [withOthers(one, others.map(readOne))]
  })
}

function readColumns({ tokens, token_logprobs: values, top_logprobs: tops }: Record<string, unknown>) {
  if (!Array.isArray(tokens) || !Array.isArray(values)) return undefined
  return tokens.flatMap((token, at) => {
    const one = readOne({ token, logprob: values[at] })
    if (one === undefined) return []
    const top: unknown = Array.isArray(tops) ? tops[at] : undefined
    const others = isObject(top) ? Object.entries(top) : []
    return [
      withOthers(
        one,
        others.map(([other, logprob]) => readOne({ token: other, logprob })),
      ),
    ]
  })
}

/** The first token of a prompt that is echoed has no probability. */
function readOne(entry: unknown): { token: string; logprob: number } | undefined {
  if (!isObject(entry)) return undefined
  const { token, logprob } = entry
  return typeof token === 'string' && typeof logprob === 'number' ? { token, logprob } : undefined
}

function withOthers(one: TokenLogprob, others: readonly (TokenLogprob | undefined)[]): TokenLogprob {
  const known = others.filter((other) => other !== undefined)
  return known.length === 0 ? one : { ...one, topLogprobs: known }
}
