import type { Usage } from '../gateway.ts'
import { countOf, isObject } from './json.ts'

/** Token counts, as chat, completions and embeddings alike report them; the cached ones are inside the prompt's. */
export function readUsage(usage: unknown): Usage | undefined {
  if (!isObject(usage)) return undefined
  const { prompt_tokens, completion_tokens, total_tokens, prompt_tokens_details, completion_tokens_details } = usage
  if ([prompt_tokens, completion_tokens, total_tokens].every((count) => countOf(count) === undefined)) return undefined
  const promptTokens = countOf(prompt_tokens) ?? 0
  const completionTokens = countOf(completion_tokens) ?? 0
  const cachedPromptTokens =
    (isObject(prompt_tokens_details) ? countOf(prompt_tokens_details['cached_tokens']) : undefined) ??
    countOf(usage['prompt_cache_hit_tokens']) ??
    countOf(usage['cached_tokens'])
  const reasoningTokens = isObject(completion_tokens_details)
    ? countOf(completion_tokens_details['reasoning_tokens'])
    : undefined
  return {
    promptTokens,
    completionTokens,
    totalTokens: countOf(total_tokens) ?? promptTokens + completionTokens,
    ...(cachedPromptTokens === undefined ? {} : { cachedPromptTokens }),
    ...(reasoningTokens === undefined ? {} : { reasoningTokens }),
  }
}
