import type { Usage } from '../gateway.ts'
import { countOf, isObject } from './json.ts'

/**
 * Token counts, as chat, completions and embeddings alike report them: cached ones are among the prompt's, thoughts among
 * the completion's.
 */
export function readUsage(usage: unknown): Usage | undefined {
  if (!isObject(usage)) return undefined
  const { prompt_tokens, completion_tokens, total_tokens, prompt_tokens_details, completion_tokens_details } = usage
  if ([prompt_tokens, completion_tokens, total_tokens].every((count) => countOf(count) === undefined)) return undefined
  const promptTokens = countOf(prompt_tokens) ?? 0
  const written = countOf(completion_tokens) ?? 0
  const cachedPromptTokens =
    (isObject(prompt_tokens_details) ? countOf(prompt_tokens_details['cached_tokens']) : undefined) ??
    countOf(usage['prompt_cache_hit_tokens']) ??
    countOf(usage['cached_tokens'])
  const reasoningTokens = isObject(completion_tokens_details)
    ? countOf(completion_tokens_details['reasoning_tokens'])
    : undefined
  const total = countOf(total_tokens)
  // xAI counts its models' thoughts beside the completion, and only its total holds them.
  const isBeside = total === promptTokens + written + (reasoningTokens ?? 0)
  const completionTokens = isBeside ? written + (reasoningTokens ?? 0) : written
  return {
    promptTokens,
    completionTokens,
    totalTokens: total ?? promptTokens + completionTokens,
    ...(cachedPromptTokens === undefined ? {} : { cachedPromptTokens }),
    ...(reasoningTokens === undefined ? {} : { reasoningTokens }),
  }
}
