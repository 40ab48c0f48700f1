/** What happened between a client, the gateway and its upstreams, in one order, as plain data for the checker. */

export type Id = string | number

/** A request of the client. `at` is its place in the order of all that was sent and received. */
export type Sent = {
  at: number
  atMs: number
  id: Id
  method: string
  token?: Id | undefined
  /** What the model was asked, where it was asked something. */
  prompt?: string | undefined
  /** The most milliseconds that the call was allowed to take. */
  limitMs?: number | undefined
}

export type Line = { at: number; atMs: number; bytes: Buffer }

export type History = {
  requests: Sent[]
  cancels: { at: number; id: Id }[]
  /** Lines of stdout without their newline. */
  lines: Line[]
  /** Bytes of stdout behind the last newline. */
  rest: Buffer
  /** Whether lines were written that stand in no list above: answers to them are nobody's. */
  raw: boolean
  /** Whether the client or the gateway was ended with calls in flight. */
  cutShort: boolean
  /** Requests that an upstream has seen, by prompt. */
  attempts: ReadonlyMap<string, number>
  /** The most requests that a call is worth, by the configuration. */
  maxAttempts: number
  /** Text of complete upstream events, by prompt, that the client must get. */
  owed: ReadonlyMap<string, string>
}

export type Message = {
  jsonrpc?: unknown
  id?: unknown
  method?: string
  params?: Record<string, unknown>
  result?: Record<string, unknown>
  error?: { code: number; message: string; data?: unknown }
}

/** Messages of a line, one or a batch; none if it is no JSON. */
export function messagesOf({ bytes }: Line): Message[] {
  try {
    return [JSON.parse(bytes.toString('utf8')) as Message | Message[]].flat()
  } catch {
    return []
  }
}

/** The text that a result delivers, whole or as a partial answer, and whether it says that it is whole. */
export function deliveryOf(result: Record<string, unknown>): { text: string; complete: boolean } {
  const content = (result['content'] ?? []) as { text?: string }[]
  return result['isError'] === true
    ? {
        text: content
          .slice(1)
          .map(({ text = '' }) => text)
          .join(''),
        complete: false,
      }
    : { text: content[0]?.text ?? '', complete: true }
}
