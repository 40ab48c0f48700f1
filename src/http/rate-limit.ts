/** What providers say in their headers of how much may still be asked, and until when it may not. */

/** A longer rest is not waited out: the provider will say no, and the caller hears when to come back. */
const maxRestMs = 10_000

export type Pace = {
  /** Takes note of what an answer says, be it a success or a 429. */
  learn(provider: string, headers: Readonly<Record<string, string>>): void
  /** Milliseconds for which the next request had better wait. */
  restMs(provider: string): number
}

export function createPace(now: () => number): Pace {
  const untils = new Map<string, number>()
  return {
    learn(provider, headers) {
      const ms = exhaustedForMs(headers)
      if (ms !== undefined && ms <= maxRestMs) untils.set(provider, now() + ms)
    },
    restMs(provider) {
      const until = untils.get(provider)
      return until === undefined ? 0 : Math.max(0, until - now())
    },
  }
}

/** `x-ratelimit-remaining-requests`, or with another prefix and the words the other way round. */
const remainder = /^(\w+-ratelimit)-(?:remaining-([\w-]+)|([\w-]+)-remaining)$/

/** Milliseconds until something of which nothing is left is there again; undefined where nothing is used up. */
export function exhaustedForMs(headers: Readonly<Record<string, string>>): number | undefined {
  let longest: number | undefined
  for (const name in headers) {
    const [, prefix, before, behind] = (headers[name] === '0' && remainder.exec(name)) || []
    if (prefix === undefined) continue
    const reset = headers[before === undefined ? `${prefix}-${behind}-reset` : `${prefix}-reset-${before}`]
    const ms = durationMs(reset) ?? untilMs(reset, headers['date'])
    if (ms !== undefined && ms > (longest ?? 0)) longest = ms
  }
  return longest
}

/** `6ms`, `1s`, `6m0s`, `2m59.56s`, `1h2m`, or plain seconds. */
function durationMs(text = ''): number | undefined {
  if (/^\d{1,7}(?:\.\d+)?$/.test(text)) return Number(text) * 1000
  const [whole, hours = 0, minutes = 0, seconds = 0, ms = 0] =
    /^(?:(\d{1,4})h)?(?:(\d{1,5})m(?!s))?(?:(\d{1,6}(?:\.\d+)?)s)?(?:(\d{1,7}(?:\.\d+)?)ms)?$/.exec(text) ?? []
  return whole ? ((Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds)) * 1000 + Number(ms) : undefined
}

/** A time of RFC 3339 against the answer's own clock, or ours where it has none. */
function untilMs(text = '', date: string | undefined): number | undefined {
  const until = /^\d{4}-\d{2}-\d{2}T[\d:.]+(?:Z|[+-]\d{2}:\d{2})$/.test(text) ? Date.parse(text) : Number.NaN
  const ms = until - (date === undefined ? Date.now() : dateOf(date))
  return Number.isFinite(ms) ? ms : undefined
}

/** An HTTP date (RFC 9110, IMF-fixdate) in milliseconds, NaN for anything else: Date.parse alone takes almost any words. */
export function dateOf(text = ''): number {
  return /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/.test(text) ? Date.parse(text) : Number.NaN
}
