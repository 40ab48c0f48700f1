import type { ChatAsk, Part } from '../gateway.ts'

/**
 * The ask with ids of tool calls that a server takes which wants a number of letters and digits, and nothing else (Mistral
 * refuses others by its error 3280). Ids that fit stay; calls and results are rewritten alike, so that they still match.
 */
export function withCallIds(ask: ChatAsk, chars: number | undefined): ChatAsk {
  if (chars === undefined) return ask
  const fits = (id: string) => id.length === chars && /^[A-Za-z0-9]+$/.test(id)
  const parts = ask.messages.flatMap(({ content }) => content)
  const taken = new Set(parts.flatMap((part) => (isOfCall(part) && fits(part.id) ? [part.id] : [])))
  const given = new Map<string, string>()
  const idFor = (id: string): string => {
    if (fits(id)) return id
    const known = given.get(id)
    if (known !== undefined) return known
    let next = id
      .replace(/[^A-Za-z0-9]/g, '')
      .slice(-chars)
      .padStart(chars, '0')
    for (let count = 0; taken.has(next); count++) next = String(count).padStart(chars, '0')
    taken.add(next)
    given.set(id, next)
    return next
  }
  const renamed = (part: Part): Part => (isOfCall(part) ? { ...part, id: idFor(part.id) } : part)
  return { ...ask, messages: ask.messages.map(({ role, content }) => ({ role, content: content.map(renamed) })) }
}

function isOfCall(part: Part): part is Extract<Part, { id: string }> {
  return part.type === 'tool-use' || part.type === 'tool-result'
}
