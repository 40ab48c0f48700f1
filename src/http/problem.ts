import { Fault, type FaultCode, type FaultDetail } from '../errors.ts'
import { dateOf, exhaustedForMs } from './rate-limit.ts'

/** What an error body says, whatever its shape: providers wrap it in an object, a string, an array or `detail`. */
export type Problem = { message?: string; type?: string; code?: string; param?: string }

/** A connection that was lost while the answer came. */
export function brokenOff(host: string, cause: string): Fault {
  return new Fault('truncated', `${host} broke the connection in the middle of its answer`, { cause, retryable: true })
}

const maxQuotedChars = 500

/** How often an error may be wrapped in another. */
const maxWrappings = 6

/** Reads an error out of a parsed body; every field may be missing. */
export function readProblem(body: unknown, wrappings = 0): Problem {
  if (typeof body === 'string') return { message: body }
  if (wrappings > maxWrappings || typeof body !== 'object' || body === null) return {}
  if (Array.isArray(body)) return readProblem(body[0], wrappings + 1)
  const { error, detail, details, message, msg, type, code, param, status, loc, metadata } = body as Record<
    string,
    unknown
  >
  const inner = error ?? detail
  if (typeof inner === 'object' && inner !== null) return readProblem(inner, wrappings + 1)
  const said = [inner, message, msg].find((value) => typeof value === 'string') as string | undefined
  // A server that passes on another's error may wrap its whole body in a string, or hand it on beside its own words.
  const nested = said?.trimStart().startsWith('{') ? parsed(said) : undefined
  if (nested !== undefined) return readProblem(nested, wrappings + 1)
  const raw = wordOf(memberOf(metadata, 'raw'))
  return withoutUndefined({
    message: said !== undefined && raw !== undefined ? `${said} (${raw})` : said,
    type: wordOf(type) ?? wordOf(status),
    code: wordOf(memberOf(details, 'error_code')) ?? wordOf(code),
    param: wordOf(param) ?? (Array.isArray(loc) ? wordOf(loc[1]) : undefined),
  })
}

function wordOf(value: unknown): string | undefined {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : undefined
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined
}

export function parseProblem(body: string): Problem {
  const value = parsed(body)
  if (value !== undefined) return readProblem(value)
  // A page of markup says nothing that a sentence could quote.
  return /^\s*</.test(body) || body.trim() === '' ? {} : { message: body }
}

/** A provider's words, fit for a sentence: one line, no control or invisible characters, of bounded length. */
export function quote(text: string): string {
  const clean = visible(text.slice(0, 4 * maxQuotedChars).replace(/[\ud800-\udbff]$/, ''))
  if (clean.length <= maxQuotedChars) return clean
  // Not within a character of two halves.
  return `${clean.slice(0, maxQuotedChars).replace(/[\ud800-\udbff]$/, '')}…`
}

/** A text without what moves a terminal, breaks a line or cannot be seen. */
export function visible(text: string): string {
  return notPlain.test(text) ? cleaned(text) : text
}

/** What most names hold nothing of: the tables of Unicode are loaded only where one does. */
const notPlain = /[^ -~]|^ | {2}| $/

function cleaned(text: string): string {
  return text
    .replace(/\u001b\[[0-?]*[ -/]*[@-~]|\u001b\][^\u0007\u001b]*(?:\u0007|\u001b\\)?/g, '')
    .replace(/[\p{Cc}\p{Zl}\p{Zp}\s]+/gu, ' ')
    .replace(/[\p{Cf}\p{Cs}\p{Co}\p{Cn}]/gu, '')
    .trim()
}

const moneyCodes =
  /insufficient_quota|credit[_ ]balance|spend_limit|usage_limit_exceeded|billing|insufficient_(?:balance|funds|credits)|payment_required/i
const contextWords =
  /context_length|exceed_context|context (?:length|size|window)|maximum context|prompt is too long|too many tokens|input length exceeds/i
const keyWords = /(?:incorrect|invalid|missing|no) (?:x-)?api[ _-]?key|api[ _]?key[ _](?:not valid|invalid)/i
const modelWords =
  /model_not_found|deploymentnotfound|model .*(?:does not exist|not found|not exist|not available|is not supported)|unknown model|no such model|invalid model/i
const pathWords =
  /^not found$|file not found|invalid url|unknown (?:path|route|endpoint|url)|page not found|no route|cannot (?:get|post)/i
const filterWords = /content_filter|content_policy|responsibleaipolicyviolation|input was flagged/i
const unfitWords = /image input is not supported/i

/**
 * What a refused request means, by status first and by the body's own codes where the status leaves it open.
 * `headers` have names in lower case.
 */
export function faultOfStatus(status: number, headers: Readonly<Record<string, string>>, body: string): Fault {
  const problem = parseProblem(body)
  const { code, retryable, cause } = classify(status, problem, body)
  // A success that is none has no error to quote: its body is an answer.
  const said = problem.message === undefined || status < 300 ? '' : `: ${quote(problem.message)}`
  return new Fault(code, `it answered ${status}${said}${hintOf(cause, headers)}`, {
    status,
    ...detailOf(problem, headers),
    ...(status === 400 || status === 422 ? { parameter: refusedParameter(problem) } : {}),
    cause,
    retryable: retryable && headers['x-should-retry'] !== 'false',
  })
}

function hintOf(cause: string | undefined, headers: Readonly<Record<string, string>>): string {
  if (cause !== 'redirect') return ''
  const { location = '' } = headers
  return ` and sends to ${quote(location).slice(0, 200) || 'another address'}, which is not followed`
}

/** The status that an error would have come with, by the words of its type and code. */
const statusWords: readonly [RegExp, number][] = [
  [/rate_limit|too_many_requests|quota|credit|billing|spend/i, 429],
  [/overloaded|unavailable/i, 503],
  [/authentication|unauthorized|api_key/i, 401],
  [/permission|forbidden/i, 403],
  [/not_found/i, 404],
  [/invalid_request|context|content_filter|content_policy|unsupported/i, 400],
]

/** What an error inside a 200 means: there is no status, so the body's own codes decide. */
export function faultOfProblem(problem: Problem, headers: Readonly<Record<string, string>>): Fault {
  const words = `${problem.type ?? ''} ${problem.code ?? ''}`
  const named = Number(problem.code)
  const status =
    named >= 400 && named < 600 ? named : (statusWords.find(([pattern]) => pattern.test(words))?.[1] ?? 500)
  const { code, retryable } = classify(status, problem, '{}')
  const said = problem.message === undefined ? '' : `: ${quote(problem.message)}`
  return new Fault(code, `it reported an error inside its answer${said}`, {
    ...detailOf(problem, headers),
    cause: 'stream_error',
    retryable,
  })
}

type Verdict = { code: FaultCode; retryable: boolean; cause?: string }

function classify(status: number, { message = '', type = '', code = '', param = '' }: Problem, body: string): Verdict {
  const empty = body.trim() === ''
  // A page, or nothing: whoever answered does not know this path, let alone models.
  const isPage = empty || /^\s*</.test(body)
  // Bounded, because the text is the provider's and the patterns backtrack.
  const words = `${type} ${code} ${message}`.slice(0, 2000)
  const final = (fault: FaultCode, cause?: string): Verdict =>
    cause === undefined ? { code: fault, retryable: false } : { code: fault, retryable: false, cause }
  const passing = (fault: FaultCode): Verdict => ({ code: fault, retryable: true })

  if (status >= 300 && status < 400) return final('configuration', 'redirect')
  if (status < 400) return final('invalid_response', empty ? 'empty' : 'bad_http')
  if (status === 401) return final('authentication')
  if (status === 402) return final('quota')
  if (status === 413) return final('too_large')
  if (status === 429) return moneyCodes.test(words) ? final('quota') : passing('rate_limited')
  if (status === 503 || status === 529) return passing('overloaded')
  // Some servers call a mistake of the caller's their own.
  if (unfitWords.test(words)) return final('invalid_request')
  if (status === 408 || status === 409 || status === 425 || (status >= 500 && status !== 501)) {
    return contextWords.test(words) ? final('context_length') : passing('provider_error')
  }
  if (keyWords.test(words)) return final('authentication')
  if (moneyCodes.test(`${type} ${code}`) || /credit balance is too low/i.test(words)) return final('quota')
  if (filterWords.test(words)) return final('content_filter')
  if (status === 403) return final('permission')
  if (contextWords.test(words)) return final('context_length')
  if (status === 404)
    return isPage || pathWords.test(message.slice(0, 2000)) ? final('configuration', 'path') : final('model_not_found')
  if (modelWords.test(words) || (param === 'model' && status !== 422)) return final('model_not_found')
  return final(status === 501 ? 'provider_error' : 'invalid_request')
}

const refusals = [
  /unsupported (?:parameter|value):? ['"`]?([\w.]+)/i,
  /['"`]([\w.]+)['"`] (?:is|are) (?:not supported|unsupported|deprecated|not permitted|not allowed)/i,
  /(?:unrecognized|unknown|unexpected) (?:request )?(?:argument|parameter|field|key|property|keyword)s?(?: supplied)?:? ['"`]?([\w.]+)/i,
  /^([\w.]+): extra inputs are not permitted/i,
]

/** The parameter that a 400 or 422 complains of, by the field that names it or by the usual sentences. */
function refusedParameter({ code = '', type, param, message = '' }: Problem): FaultDetail['parameter'] {
  const text = message.slice(0, 1000)
  const said = refusals.map((pattern) => pattern.exec(text)?.[1]).find((name) => name !== undefined)
  const name =
    /^(?:unsupported|unknown)_(?:parameter|value)$/.test(code) || type === 'extra_forbidden' ? (param ?? said) : said
  if (name === undefined) return undefined
  const replacement = /use ['"`]?([\w.]+)['"`]? instead/i.exec(text)?.[1]
  return { name: name.split(/[.[]/, 1)[0] as string, ...(replacement ? { replacement } : {}) }
}

function detailOf(problem: Problem, headers: Readonly<Record<string, string>>): FaultDetail {
  // A number only repeats the status.
  const word = problem.code !== undefined && !/^\d+$/.test(problem.code) ? problem.code : (problem.type ?? problem.code)
  return withoutUndefined({
    providerCode: word === undefined ? undefined : quote(word).slice(0, 100),
    requestId: requestIdOf(headers),
    retryAfterMs: retryAfterMs(headers),
  })
}

export function requestIdOf(headers: Readonly<Record<string, string>>): string | undefined {
  const id = headers['x-request-id'] ?? headers['request-id'] ?? headers['apim-request-id']
  return id === undefined ? undefined : quote(id).slice(0, 200)
}

/**
 * Milliseconds that the provider asks us to wait. A value that is no plain number of seconds and no date ahead is
 * ignored, so that a header can lengthen our own wait and never shorten it. A date is read against the response's own
 * clock, and against ours only where it does not tell.
 */
export function retryAfterMs(headers: Readonly<Record<string, string>>): number | undefined {
  const plain = (value: string | undefined, unit: number) =>
    value !== undefined && /^\d{1,10}(?:\.\d+)?$/.test(value) ? Number(value) * unit : undefined
  const counted = plain(headers['retry-after-ms'], 1) ?? plain(headers['retry-after'], 1000)
  if (counted !== undefined) return counted
  if (headers['retry-after'] === undefined) return exhaustedForMs(headers)
  const until = dateOf(headers['retry-after']) - (headers['date'] === undefined ? Date.now() : dateOf(headers['date']))
  return until > 0 ? until : undefined
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function withoutUndefined<T extends object>(value: { [K in keyof T]: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined)) as T
}
