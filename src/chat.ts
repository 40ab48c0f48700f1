import { type Access, createAccess } from './access.ts'
import { type Clock, systemClock } from './clock.ts'
import { type Config, readConfig, readVariables } from './config.ts'
import { tuneEngine, writeParsed } from './engine.ts'
import { withCallLog } from './extensions/call-log.ts'
import { withDeadline } from './extensions/deadline.ts'
import { withLimits } from './extensions/limit.ts'
import { withRedaction } from './extensions/redaction.ts'
import { withStartAdvice } from './extensions/start-advice.ts'
import { withStructuredOutput } from './extensions/structured-output.ts'
import { compose, type Handle } from './handle.ts'
import type { Send } from './http/message.ts'
import { createPool } from './http/pool.ts'
import { createPlayer, createRecorder } from './http/tape.ts'
import { withTimeouts } from './http/timeouts.ts'
import { createLogger, type Logger } from './log.ts'
import { createDirectory, type Directory } from './pipeline/directory.ts'
import { createPipeline } from './pipeline/pipeline.ts'
import { createRouter } from './pipeline/router.ts'
import { createTranslator } from './pipeline/translator.ts'
import { withPlugins } from './plugins/plugins.ts'
import { presets } from './providers/index.ts'
import { createSecrets, type Secrets } from './secrets.ts'
import type { Tool } from './tool.ts'
import { createCallTool } from './tools/call-tool.ts'
import { createCreateCompletion } from './tools/create-completion.ts'
import { createCreateEmbedding } from './tools/create-embedding.ts'
import { createListModels } from './tools/list-models.ts'

// What the command line needs of this bundle, so that its own holds no second copy of it, nor of the class Fault.
export { createPlayer, presets, readConfig, readVariables }

export type Chat = {
  tools: ReadonlyMap<string, Tool>
  redact: Secrets['redact']
  redactPieces: Secrets['redactPieces']
  /** Resolves when all that was logged has been written. */
  logged: () => Promise<unknown>
  /** Who may come in over HTTP; absent where no token is configured. */
  access?: Access
}

export type ChatOptions = {
  version: string
  config?: Config
  /** What answers requests, instead of the network. */
  send?: Send
}

/** By then the first call, which should not wait for it, is on its way. */
const settledMs = 500
/** With fewer, a session pays for what V8 optimizes, in time and memory, and does not come to use it. */
const manyCalls = 100

/** Builds the chat tower from the configuration: what main.ts loads once the first answer is out. */
export async function createChat(options: ChatOptions): Promise<Chat> {
  setTimeout(writeParsed, settledMs).unref()
  const { version, config: read = readConfig(), send = createPool(read.proxy) } = options
  const providers = [...read.providers.values()]
  const secrets = secretsOf(read)
  const { tokens } = read.http
  const access = tokens && createAccess(tokens, secrets.learn, systemClock.now)
  const log = createLogger(read.logLevel, secrets.redact)
  for (const note of read.notes) log.warn(note)
  if (read.problem) log.warn(read.problem)
  log.debug({ version, providers: providers.map(({ name }) => name) }, 'configured')

  const config = await withPlugins(read, log, async (schema) => {
    const { checkArguments } = await import('./pipeline/response-schema.ts')
    try {
      checkArguments(schema, {})
      return true
    } catch {
      return false
    }
  })
  const clock = systemClock
  const taped = config.recordDir
    ? createRecorder(send, config.recordDir, secrets, (sentence) => log.error(sentence))
    : send
  const { handle: handleOne, directory } = composeHandle({ config, send: taped, clock, secrets, log })
  let calls = 0
  const handle: Handle = (ask, call) => {
    calls += 1
    if (calls === manyCalls) tuneEngine()
    return handleOne(ask, call)
  }

  const tools = [
    createListModels(config, directory, clock.now),
    createCreateCompletion(handle, clock.now),
    createCreateEmbedding(handle, clock.now),
    createCallTool(config, handle, clock.now),
  ]
  return {
    tools: new Map(tools.map((tool) => [tool.name, tool])),
    redact: secrets.redact,
    redactPieces: secrets.redactPieces,
    logged: log.written,
    ...(access ? { access } : {}),
  }
}

export type HandleParts = { config: Config; send: Send; clock: Clock; secrets: Secrets; log: Logger }

/** All that stands between an ask and the sending of its requests. */
export function composeHandle(parts: HandleParts): { handle: Handle; directory: Directory } {
  const { config, send, clock, secrets, log } = parts
  const translate = withLimits(createTranslator({ send: withTimeouts(send, clock), secrets, clock }), clock.now)
  const directory = createDirectory((ask, signal) => handle(ask, { signal, streaming: false }), clock.now)
  const router = createRouter(config, directory, clock.random)
  const handle: Handle = compose(
    [
      withCallLog(log, clock.now),
      withStartAdvice(config),
      withDeadline(clock),
      withStructuredOutput,
      withRedaction(secrets),
    ],
    createPipeline({ router, translate, directory, clock }),
  )
  return { handle, directory }
}

/** The keys of all providers, each bound to its own. */
export function secretsOf(config: Config): Secrets {
  const providers = [...config.providers.values()]
  return createSecrets(
    providers.flatMap(({ name, baseUrl, key }) => (key ? [{ provider: name, baseUrl, source: key }] : [])),
    providers.flatMap(({ headers }) => secretValues(headers)),
  )
}

/** Headers that carry a credential by the look of their names. */
function secretValues(headers: Readonly<Record<string, string>>): string[] {
  return Object.entries(headers).flatMap(([name, value]) => {
    if (!/auth|key|token|secret|cookie/i.test(name)) return []
    return [value, value.replace(/^\S+\s+/, '')]
  })
}
