import { Fault, type FaultCode, type FaultDetail } from '../errors.ts'

/** What an error body says, whatever its shape: providers wrap it in an object, a string, an array or `detail`. */
export type Problem = { message?: string; type?: string; code?: string; param?: string }

const maxQuotedChars = 500

/** Reads an error out of a parsed body; every field may be missing. */
export function readProblem(body: unknown): Problem {
  if (typeof body === 'string') return { message: body }
  if (Array.isArray(body)) return readProblem(body[0])
  if (typeof body !== 'object' || body === null) return {}
  const { error, detail, message, msg, type, code, param, status, loc } = body as Record<string, unknown>
  const inner = error ?? detail
  if (typeof inner === 'object' && inner !== null) return readProblem(inner)
  const text = [inner, message, msg].find((value) => typeof value === 'string') as string | undefined
  // A server that passes on another's error may wrap its whole body in a string.
  if (text?.trimStart().startsWith('{')) {
    const nested = parsed(text)
    if (nested !== undefined) return readProblem(nested)
  }
  const word = (value: unknown) => (typeof value === 'string' || typeof value === 'number' ? String(value) : undefined)
  return withoutUndefined({
    message: text,
    type: word(type) ?? word(status),
    code: word(code),
    param: word(param) ?? (Array.isArray(loc) ? word(loc[1]) : undefined),
  })
}

export function parseProblem(body: string): Problem {
  const value = parsed(body)
  if (value !== undefined) return readProblem(value)
  // A page of markup says nothing that a sentence could quote.
  return /^\s*</.test(body) || body.trim() === '' ? {} : { message: body }
}

/** A provider's words, fit for a sentence: one line, no control or invisible characters, of bounded length. */
export function quote(text: string): string {
  const clean = text
    .slice(0, 4 * maxQuotedChars)
    .replace(/\u001b\[[0-?]*[ -/]*[@-~]|\u001b\][^\u0007\u001b]*(?:\u0007|\u001b\\)?/g, '')
    .replace(/[\p{Cc}\p{Zl}\p{Zp}\s]+/gu, ' ')
    .replace(/[\p{Cf}\p{Cs}\p{Co}\p{Cn}]/gu, '')
    .trim()
  return clean.length > maxQuotedChars ? `${clean.slice(0, maxQuotedChars)}…` : clean
}

const moneyCodes =
  /insufficient_quota|credit_balance|spend_limit|usage_limit_exceeded|billing|insufficient_(?:balance|funds|credits)|payment_required/i
const contextWords =
  /context_length|exceed_context|context (?:length|size|window)|maximum context|prompt is too long|too many tokens|input length exceeds/i
const keyWords = /(?:incorrect|invalid|missing|no) (?:x-)?api[ _-]?key|api[ _]?key[ _](?:not valid|invalid)/i
const modelWords =
  /model_not_found|deploymentnotfound|model .*(?:does not exist|not found|not exist|not available|is not supported)|unknown model|no such model|invalid model/i
const pathWords =
  /file not found|invalid url|unknown (?:path|route|endpoint|url)|page not found|no route|cannot (?:get|post)/i
const filterWords = /content_filter|content_policy|responsibleaipolicyviolation/i

/**
 * What a refused request means, by status first and by the body's own codes where the status leaves it open.
 * `headers` have names in lower case.
 */
export function faultOfStatus(status: number, headers: Readonly<Record<string, string>>, body: string): Fault {
  const problem = parseProblem(body)
  const { code, retryable, cause } = classify(status, problem, body.trim() === '')
  const said = problem.message === undefined ? '' : `: ${quote(problem.message)}`
  return new Fault(code, `it answered ${status}${said}`, {
    status,
    ...detailOf(problem, headers),
    ...(status === 400 || status === 422 ? { parameter: refusedParameter(problem) } : {}),
    cause,
    retryable: retryable && headers['x-should-retry'] !== 'false',
  })
}

/** What an error inside a 200 means: there is no status, so the body's own codes decide. */
export function faultOfProblem(problem: Problem, headers: Readonly<Record<string, string>>): Fault {
  const words = `${problem.type ?? ''} ${problem.code ?? ''}`
  const status = Number(problem.code)
  const { code, retryable } =
    status >= 400 && status < 600
      ? classify(status, problem, false)
      : /rate_limit/i.test(words)
        ? classify(429, problem, false)
        : /overloaded|unavailable/i.test(words)
          ? classify(503, problem, false)
          : /invalid_request|not_found|context/i.test(words)
            ? classify(400, problem, false)
            : classify(500, problem, false)
  const said = problem.message === undefined ? '' : `: ${quote(problem.message)}`
  return new Fault(code, `it reported an error in the middle of its answer${said}`, {
    ...detailOf(problem, headers),
    cause: 'stream_error',
    retryable,
  })
}

type Verdict = { code: FaultCode; retryable: boolean; cause?: string }

function classify(
  status: number,
  { message = '', type = '', code = '', param = '' }: Problem,
  empty: boolean,
): Verdict {
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
  if (status === 408 || status === 409 || status === 425 || (status >= 500 && status !== 501)) {
    return contextWords.test(words) ? final('context_length') : passing('provider_error')
  }
  if (keyWords.test(words)) return final('authentication')
  if (moneyCodes.test(`${type} ${code}`)) return final('quota')
  if (status === 403) return final('permission')
  if (filterWords.test(words)) return final('content_filter')
  if (contextWords.test(words)) return final('context_length')
  if (status === 404)
    return pathWords.test(message) || empty ? final('configuration', 'path') : final('model_not_found')
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
  const word = problem.code ?? problem.type
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
 * clock, not ours.
 */
export function retryAfterMs(headers: Readonly<Record<string, string>>): number | undefined {
  const plain = (value: string | undefined, unit: number) =>
    value !== undefined && /^\d{1,10}(?:\.\d+)?$/.test(value) ? Number(value) * unit : undefined
  const counted = plain(headers['retry-after-ms'], 1) ?? plain(headers['retry-after'], 1000)
  if (counted !== undefined) return counted
  const until = Date.parse(headers['retry-after'] ?? '') - Date.parse(headers['date'] ?? '')
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
