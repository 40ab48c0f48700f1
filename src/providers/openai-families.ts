/** What OpenAI's model families accept, by the longest matching beginning of the model's name. */

type Family = {
  /** Whether it reasons when nothing is said about effort. */
  reasons: boolean
  /** Whether effort `none` is accepted, and switches sampling on. */
  acceptsNone: boolean
}

/** Answers at once, and knows no effort. */
const ordinary: Family = { reasons: false, acceptsNone: false }
const always: Family = { reasons: true, acceptsNone: false }
const onRequest: Family = { reasons: false, acceptsNone: true }
const unlessNone: Family = { reasons: true, acceptsNone: true }

/**
 * Gathered from the vendor's documentation and from the profiles that other clients verified against the live service
 * (July 2026). A name that no row covers is an ordinary model.
 */
const families: Readonly<Record<string, Family>> = {
  o1: always,
  o3: always,
  o4: always,
  'gpt-5': always,
  'gpt-5-chat': ordinary,
  'gpt-4': ordinary,
  'gpt-4o': ordinary,
  'gpt-3.5': ordinary,
  'chatgpt-4o': ordinary,
  'gpt-5.1': onRequest,
  'gpt-5.1-chat': always,
  'gpt-5.1-codex': always,
  'gpt-5.2': onRequest,
  'gpt-5.2-chat': always,
  'gpt-5.2-pro': always,
  'gpt-5.3': onRequest,
  'gpt-5.3-chat': always,
  'gpt-5.4': onRequest,
  'gpt-5.4-pro': always,
  'gpt-5.5': unlessNone,
  'gpt-5.5-pro': always,
  'gpt-5.6': unlessNone,
}

const byLength = Object.keys(families).sort((a, b) => b.length - a.length)

/** How a model takes a request that asks for this reasoning effort. */
export type Manner = {
  /** One of OpenAI's own reasoning families, under whatever vendor prefix. */
  reasoningFamily: boolean
  /** Known to have no effort to set; a name that no row covers may have one. */
  effortless: boolean
  /** Whether it will reason on this request, and so refuses sampling parameters and is slow to begin. */
  reasons: boolean
}

export function mannerOf(model: string, reasoningEffort: string | undefined): Manner {
  const name = model.slice(model.lastIndexOf('/') + 1).toLowerCase()
  const prefix = byLength.find((candidate) => name.startsWith(candidate) && !/^\w/.test(name.slice(candidate.length)))
  const family = prefix === undefined ? ordinary : (families[prefix] as Family)
  const off = reasoningEffort === 'none' && family.acceptsNone
  const asked = reasoningEffort !== undefined && reasoningEffort !== 'none'
  return {
    reasoningFamily: family !== ordinary,
    effortless: prefix !== undefined && family === ordinary,
    reasons: family !== ordinary && !off && (family.reasons || asked),
  }
}
