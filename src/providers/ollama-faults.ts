import { Fault, type FaultCode } from '../errors.ts'
import { faultOfProblem, faultOfStatus, parseProblem, readProblem } from '../http/problem.ts'
import type { Json } from './json.ts'

type Headers = Readonly<Record<string, string>>

/** What a sentence of the server means beyond its status. */
type Reading = {
  says: RegExp
  code?: FaultCode
  cause?: string
  retryable?: boolean
  /** The field of the request that is refused: without it, the same request may pass. */
  parameter?: { name: string }
  /** What helps, by what the pattern captured. */
  advice?: (captured: string) => string
}

/** The server has sentences and no codes: {"error":"text"} (its server/routes.go; most of these are recorded). */
const readings: readonly Reading[] = [
  {
    says: /^model ['"]?([\w./:@+~-]{1,128})['"]? not found/,
    advice: (name) => `where it runs, \`ollama pull ${name}\` fetches the model`,
  },
  {
    says: /exceeds the (?:available )?context|longer than the context/,
    advice: () => 'num_ctx in options asks for a larger context',
  },
  {
    says: /does not support thinking/,
    parameter: { name: 'think' },
    advice: () => 'leave out reasoningEffort or take a model that thinks',
  },
  // Servers from before there were levels, or before there was `max` (api/types.go, ThinkValue).
  { says: /invalid think value|\.think of type bool/, parameter: { name: 'think' } },
  { says: /does not support tools/, advice: () => 'leave out tools or take a model that can call them' },
  {
    says: /does not support embeddings?/,
    code: 'invalid_request',
    retryable: false,
    advice: () => 'take a model that makes embeddings',
  },
  // The server has 500 for this mistake of the caller's.
  { says: /^option "[^"]*" must be of/, code: 'invalid_request', retryable: false },
  { says: /requires more system memory/, retryable: false, advice: () => 'take a smaller model or a smaller num_ctx' },
  { says: /loading model/i, code: 'overloaded', cause: 'loading', retryable: true },
]

/** What an answer with a status other than 200 means. */
export function faultOfAnswer(status: number, headers: Headers, body: string): Fault {
  const fault = faultOfStatus(status, headers, body)
  // The server's own refusals are JSON: a path that it does not know, it answers in plain text.
  if ((status === 404 || status === 405) && !/^\s*\{/.test(body)) {
    return changed(fault, {
      code: 'configuration',
      cause: 'path',
      retryable: false,
      advice: 'a base URL of this type has no path, as in http://127.0.0.1:11434',
    })
  }
  if (status === 401 && body.includes('"signin_url"')) {
    return changed(fault, { advice: 'where it runs, `ollama signin` signs it in' })
  }
  return explained(fault, parseProblem(body).message)
}

/** What an error inside a 200 means, in a line of its own or as the whole answer. */
export function faultOfLine(line: Json, headers: Headers): Fault {
  const problem = readProblem(line)
  return explained(faultOfProblem(problem, headers), problem.message)
}

function explained(fault: Fault, message = ''): Fault {
  for (const { says, advice, ...verdict } of readings) {
    const found = says.exec(message.slice(0, 2000))
    if (found) return changed(fault, { ...verdict, ...(advice ? { advice: advice(found[1] ?? '') } : {}) })
  }
  return fault
}

function changed(fault: Fault, { code, advice, ...detail }: Omit<Reading, 'says' | 'advice'> & { advice?: string }) {
  const message = advice === undefined ? fault.message : `${fault.message.replace(/[.\s]+$/, '')}; ${advice}`
  return new Fault(code ?? fault.code, message, { ...fault.detail, ...detail })
}
