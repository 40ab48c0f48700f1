import type { Usage } from '../gateway.ts'

/** Narrow readers for JSON that a server sent: what is not of the expected type counts as absent. */

export type Json = Record<string, unknown>

export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function countOf(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : undefined
}

export function readUsage(usage: unknown): Usage | undefined {
  if (!isObject(usage)) return undefined
  const { prompt_tokens, completion_tokens, total_tokens, prompt_tokens_details, completion_tokens_details } = usage
  const promptTokens = countOf(prompt_tokens) ?? 0
  const completionTokens = countOf(completion_tokens) ?? 0
  const cachedPromptTokens =
    (isObject(prompt_tokens_details) ? countOf(prompt_tokens_details['cached_tokens']) : undefined) ??
    countOf(usage['prompt_cache_hit_tokens'])
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
