/** What Anthropic's model families accept, told by the generation in the model's name. */

export type Manner = {
  /** How it thinks: not at all, with a budget of tokens, or as it sees fit within an effort. */
  thinking: 'none' | 'budget' | 'adaptive'
  /** The most tokens of an answer and its thoughts together, where a budget has to fit in; infinite where none is set. */
  maxOutput: number
  /** Whether temperature, top_p and top_k are taken. */
  samples: boolean
  /** Whether it takes temperature and top_p together. */
  samplesTwice: boolean
  /** Whether the highest effort but one is known. */
  knowsXhigh: boolean
  /** Whether an answer can be held to a schema while it is written. */
  structured: boolean
  /** Whether a tool can be forced. */
  canBeForced: boolean
}

/**
 * The generation decides: thinking by budget came with 3.7, adaptive thinking with 4.6, and from 4.7 on sampling is
 * refused (vendor's documentation and the profiles that other clients verified in July 2026). A name without a
 * generation is taken for the newest; what it refuses after all is learnt from the refusal.
 */
export function mannerOf(model: string): Manner {
  const name = model.slice(model.lastIndexOf('/') + 1).toLowerCase()
  const generation = generationOf(name)
  const common = {
    knowsXhigh: generation >= 4.7,
    structured: generation >= 4.5 || name.includes('opus-4-1'),
    canBeForced: !/fable|mythos/.test(name),
    maxOutput: Number.POSITIVE_INFINITY,
  }
  if (generation < 3.7) return { ...common, thinking: 'none', samples: true, samplesTwice: true }
  if (generation < 4.6) {
    const maxOutput = generation < 4.5 && name.includes('opus') ? 32_000 : 64_000
    return { ...common, maxOutput, thinking: 'budget', samples: true, samplesTwice: generation < 4.1 }
  }
  return { ...common, thinking: 'adaptive', samples: generation < 4.7, samplesTwice: false }
}

/** `claude-3-7-sonnet-…` and `claude-opus-4-5-…` write it before or after the family; a date is not part of it. */
function generationOf(name: string): number {
  const found = /claude-(?:[a-z]+-)?(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)/.exec(name)
  if (!found) return name.startsWith('claude-instant') ? 1 : Number.POSITIVE_INFINITY
  return Number(found[1]) + Number(found[2] ?? 0) / 10
}
