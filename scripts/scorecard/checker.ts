import { isUtf8 } from 'node:buffer'
import { deliveryOf, type History, type Id, type Line, type Message, messagesOf, type Sent } from './history.ts'

/** The invariants that hold for every history, whatever was done to the gateway. Pure: a history in, sentences out. */

/** The closed list of the contract, typed here and not imported: the list is what is checked. */
const faultCodes = new Set(
  `invalid_request configuration authentication permission model_not_found context_length content_filter quota rate_limited
   overloaded timeout network tls truncated invalid_response too_large provider_error unavailable busy internal`.split(
    /\s+/,
  ),
)
/** Go's decoder gives up there. */
const maxDepth = 10_000
/** By how much a call may overrun the time it was given. */
const lateMs = 500

export type Verdict = { violations: string[]; bytesLost: number }

export function checkHistory(history: History): Verdict {
  const heard = history.lines.flatMap((line) => messagesOf(line).map((message) => ({ ...line, message })))
  const calls = pair(history, heard)
  const owing = calls.map((call) => debtOf(call, history))
  const stray = history.rest.length
  return {
    violations: [
      ...history.lines.flatMap(faultsOfLine),
      ...(stray > 0 && !history.cutShort ? [`I5: ${stray} bytes behind the last newline of stdout`] : []),
      ...faultsOfReplies(history, heard, calls),
      ...faultsOfProgress(history, heard, calls),
      ...calls.flatMap((call) => faultsOfCall(call, history)),
      ...owing.flatMap(({ violation }) => violation ?? []),
    ],
    bytesLost:
      owing.reduce((sum, { bytes }) => sum + bytes, 0) +
      history.lines.filter((line) => messagesOf(line).length === 0).reduce((sum, { bytes }) => sum + bytes.length, 0),
  }
}

type Heard = Line & { message: Message }
/** A request, the answer that belongs to it, and the place after which nothing more may be said of it. */
type Call = { sent: Sent; answer: Heard | undefined; silentFrom: number; cancelled: boolean }

const keyOf = (id: unknown) => JSON.stringify(id)

/** Pairs the answers that carry an id with the requests that do, in order. */
function pair({ requests, cancels }: History, heard: readonly Heard[]): Call[] {
  const answers = Map.groupBy(
    heard.filter(({ message }) => message.method === undefined && message.id !== undefined),
    ({ message }) => keyOf(message.id),
  )
  const firstAnswerAfter = firstAnswers(requests, answers)
  return requests.map((sent) => {
    const answer = answers.get(keyOf(sent.id))?.find(({ at }) => at > sent.at)
    if (answer)
      answers.set(
        keyOf(sent.id),
        (answers.get(keyOf(sent.id)) ?? []).filter((one) => one !== answer),
      )
    const cancel = cancels.find(
      ({ at, id }) => keyOf(id) === keyOf(sent.id) && at > sent.at && (!answer || at < answer.at),
    )
    // Whatever answers a request sent behind the cancellation was said after the gateway had read it.
    return {
      sent,
      answer,
      cancelled: cancel !== undefined,
      silentFrom: cancel ? firstAnswerAfter(cancel.at) : Number.POSITIVE_INFINITY,
    }
  })
}

function firstAnswers(
  requests: readonly Sent[],
  answers: ReadonlyMap<string, readonly Heard[]>,
): (at: number) => number {
  const known = requests
    .map((sent) => ({
      at: sent.at,
      answeredAt: answers.get(keyOf(sent.id))?.find(({ at }) => at > sent.at)?.at ?? Number.POSITIVE_INFINITY,
    }))
    .reverse()
  let least = Number.POSITIVE_INFINITY
  const earliest = known.map(({ at, answeredAt }) => ({ at, least: (least = Math.min(least, answeredAt)) })).reverse()
  return (at) => {
    let low = 0
    let high = earliest.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((earliest[middle]?.at ?? 0) > at) high = middle
      else low = middle + 1
    }
    return earliest[low]?.least ?? Number.POSITIVE_INFINITY
  }
}

/** I5: stdout is messages and newlines, in UTF-8, without a raw control byte, no deeper than a client can read. */
function faultsOfLine(line: Line): string[] {
  const { bytes } = line
  const shown = JSON.stringify(bytes.toString('latin1', 0, 60))
  if (!isUtf8(bytes)) return [`I5: stdout holds what is no UTF-8: ${shown}`]
  const messages = messagesOf(line)
  if (messages.length === 0) return [`I5: stdout holds what is no message: ${shown}`]
  if (bytes.some((byte) => byte < 0x20)) return [`I5: a raw control byte on stdout: ${shown}`]
  if (depthOf(bytes) >= maxDepth) return [`I5: a message nests ${maxDepth} deep or more`]
  return messages.flatMap((message) =>
    typeof message === 'object' && message?.jsonrpc === '2.0' ? [] : [`I5: no JSON-RPC message: ${shown}`],
  )
}

function depthOf(bytes: Buffer): number {
  let depth = 0
  let deepest = 0
  let inside = false
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at]
    if (inside && byte === 0x5c) at++
    else if (byte === 0x22) inside = !inside
    else if (!inside && (byte === 0x7b || byte === 0x5b)) deepest = Math.max(deepest, ++depth)
    else if (!inside && (byte === 0x7d || byte === 0x5d)) depth--
  }
  return deepest
}

/** I1, I2, I3: one answer for each request, with its very id, and none for what was cancelled. */
function faultsOfReplies({ raw, cutShort }: History, heard: readonly Heard[], calls: readonly Call[]): string[] {
  const used = new Set(calls.map(({ answer }) => answer))
  const ids = new Set(calls.map(({ sent }) => String(sent.id)))
  const unasked = heard.filter(
    (one) => one.message.method === undefined && one.message.id !== undefined && !used.has(one),
  )
  return [
    ...calls
      .filter(({ answer, cancelled }) => !answer && !cancelled && !cutShort)
      .map(({ sent }) => `I1: no answer to ${sent.method} ${keyOf(sent.id)}`),
    ...calls
      .filter(({ answer, silentFrom }) => answer && answer.at > silentFrom)
      .map(({ sent }) => `I3: ${keyOf(sent.id)} was answered after its cancellation had been read`),
    ...unasked
      .filter(({ message }) => !raw || ids.has(String(message.id)))
      .map(({ message }) => `I1, I2: an answer with the id ${keyOf(message.id)}, which no open request has`),
  ]
}

/** I3, I4: progress rises strictly, belongs to a request in flight, and ends with its result or cancellation. */
function faultsOfProgress({ raw }: History, heard: readonly Heard[], calls: readonly Call[]): string[] {
  const notices = Map.groupBy(
    heard.filter(({ message }) => message.method === 'notifications/progress'),
    ({ message }) => keyOf(message.params?.['progressToken']),
  )
  const owners = Map.groupBy(calls, ({ sent }) => keyOf(sent.token))
  return [...notices].flatMap(([token, all]) => {
    const claimants = owners.get(token) ?? []
    if (claimants.length === 0) return raw ? [] : [`I3: progress for the token ${token}, which nobody gave`]
    const faults = new Set<string>()
    let last: { owner: Call; progress: number } | undefined
    for (const { at, message } of all) {
      const owner = claimants.find(({ sent, answer }) => sent.at < at && (!answer || answer.at > at))
      const progress = message.params?.['progress']
      if (!owner) faults.add(`I3: progress for ${token} after its result`)
      else if (at > owner.silentFrom) faults.add(`I3: progress for ${token} after its cancellation had been read`)
      if (typeof progress !== 'number') faults.add(`I4: progress for ${token} without a number`)
      else if (owner) {
        if (last?.owner === owner && progress <= last.progress) faults.add(`I4: progress for ${token} does not rise`)
        last = { owner, progress }
      }
    }
    return [...faults]
  })
}

/** I6, I11: no more attempts than the configuration allows, in time, and a code from the closed list. */
function faultsOfCall({ sent, answer }: Call, { attempts, maxAttempts }: History): string[] {
  const result = answer?.message.result
  const seen = sent.prompt === undefined ? 0 : (attempts.get(sent.prompt) ?? 0)
  const took = answer ? answer.atMs - sent.atMs : 0
  const code = errorOf(result)?.['code']
  return [
    ...(seen > maxAttempts ? [`I6: ${seen} requests for ${keyOf(sent.id)}, at most ${maxAttempts} are allowed`] : []),
    ...(sent.limitMs !== undefined && took > sent.limitMs + lateMs
      ? [`I6: ${keyOf(sent.id)} took ${Math.round(took)} ms of ${sent.limitMs}`]
      : []),
    ...(result?.['isError'] === true && !faultCodes.has(String(code))
      ? [`I11: ${keyOf(sent.id)} failed with the code ${String(code)}`]
      : []),
    ...(result?.['isError'] === true && result['structuredContent'] !== undefined
      ? [`I11: ${keyOf(sent.id)} failed and has structuredContent`]
      : []),
  ]
}

/** I7: the text is that of the complete upstream events: all of it, or exactly what came, as a partial answer. */
function debtOf({ sent, answer, cancelled }: Call, { owed }: History): { bytes: number; violation?: string } {
  const owing = sent.prompt === undefined ? undefined : owed.get(sent.prompt)
  const result = answer?.message.result
  if (owing === undefined || result === undefined || cancelled) return { bytes: 0 }
  const { text } = deliveryOf(result)
  if (text === owing) return { bytes: 0 }
  let same = 0
  while (same < Math.min(text.length, owing.length) && text[same] === owing[same]) same++
  return {
    bytes: Buffer.byteLength(owing) - Buffer.byteLength(owing.slice(0, same)),
    violation: `I7: ${keyOf(sent.id)} delivered ${text.length} characters, and ${owing.length} had come; the first ${same} are the same`,
  }
}

export function errorOf(result: Record<string, unknown> | undefined): Record<string, unknown> | undefined {
  const meta = result?.['_meta'] as Record<string, unknown> | undefined
  return meta?.['genai-gateway/error'] as Record<string, unknown> | undefined
}

export type { Id }
