import type { Event } from '../gateway.ts'
import { isObject, type Json } from './json.ts'

type Citation = Extract<Event, { type: 'citation' }>

/** The sources of an answer, each once, in the order in which they were first named. */
export type Citations = {
  /** Takes one in any vendor's shape; what names no source is passed over. */
  cite(told: unknown): void
  /** Takes a page that was found, and may have been used: of interest where nothing is cited. */
  find(told: unknown): void
  all(): Citation[]
}

const maxSources = 256

export function createCitations(): Citations {
  const cited = new Map<string, Citation>()
  const found = new Map<string, Citation>()
  const put = (sources: Map<string, Citation>, told: unknown) => {
    const source = readSource(told)
    if (!source) return
    const { url, title, text } = source
    // A page has one entry however often it is cited; passages of a document without an address differ by their words.
    const key = url ?? `${title} ${text}`
    const known = sources.get(key)
    if (known ? known.title === undefined : sources.size < maxSources) sources.set(key, { ...known, ...source })
  }
  return {
    cite: (told) => put(cited, told),
    find: (told) => put(found, told),
    all: () => [...(cited.size > 0 ? cited : found).values()],
  }
}

/**
 * `{ url, title }` as OpenAI's /responses and Anthropic have it, `{ url_citation: { url, title } }` as chat has it, a bare
 * address as Perplexity and xAI have it, and documents, which have a name and the words that are cited.
 */
function readSource(told: unknown): Citation | undefined {
  if (typeof told === 'string') return sourceOf({ url: told })
  if (!isObject(told)) return undefined
  return sourceOf(isObject(told['url_citation']) ? told['url_citation'] : told)
}

const maxChars = 2048

function sourceOf({ url, source, title, document_title, filename, cited_text }: Json): Citation | undefined {
  const address = [url, source].find(isAddress)
  const name = [title, document_title, filename].find(isText)
  if (address !== undefined)
    return { type: 'citation', url: address, ...(name === undefined ? {} : { title: name.slice(0, maxChars) }) }
  if (name === undefined) return undefined
  return {
    type: 'citation',
    title: name.slice(0, maxChars),
    ...(isText(cited_text) ? { text: cited_text.slice(0, maxChars) } : {}),
  }
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}

/** Whoever reads an answer may follow its links. */
function isAddress(value: unknown): value is string {
  return typeof value === 'string' && value.length <= maxChars && /^https?:\/\//i.test(value) && URL.canParse(value)
}
