// Nothing but small builtins is loaded here: what the first answer does not need waits until after it.
import { identityOf, instructions } from './identity.ts'
import { createServer } from './mcp/server.ts'
import type { Redaction } from './rpc/encoder.ts'
import type { Tool } from './tool.ts'
import { declarations } from './tools/declarations.ts'
import { createPipe, type Pipe } from './transports/pipe.ts'
import { serveStdio } from './transports/stdio.ts'

/** Set by the build from package.json. */
declare const PACKAGE_VERSION: string
declare const REQUIRED_NODE: string

/** Loading takes tens of milliseconds and would hold up requests right behind the first answer. */
const preloadDelayMs = 30

let redaction: Redaction = { text: (text) => text, pieces: (pieces) => pieces }
let logged = async (): Promise<unknown> => undefined

if (isOlderThan(process.versions.node, REQUIRED_NODE)) {
  complain(`genai-gateway-mcp needs Node ${REQUIRED_NODE} or newer, and this is ${process.versions.node}.`)
  process.exitCode = 1
} else if (process.argv.length > 2) {
  void import('./cli/command.ts')
    .then(({ runCommand }) => runCommand(process.argv.slice(2), PACKAGE_VERSION))
    // Connections that providers keep open would hold the program for seconds.
    .then((exitCode) => process.exit(exitCode))
} else {
  const pipe = createPipe()
  void serve(pipe).then(async (exitCode) => {
    await logged()
    pipe.exit(exitCode)
  })
}

/** Serves until the client is gone; resolves to the exit code. */
function serve(pipe: Pipe): Promise<number> {
  let tools: Promise<ReadonlyMap<string, Tool>> | undefined
  const load = async () => {
    const { createChat } = await import('./chat.ts')
    const chat = await createChat({ version: PACKAGE_VERSION })
    redaction = { text: chat.redact, pieces: chat.redactPieces }
    logged = chat.logged
    return chat.tools
  }
  const loadOnce = () =>
    (tools ??= load().catch((error: unknown) => {
      tools = undefined
      throw error
    }))
  const loadForCall = () => {
    if (!tools) keepParsed()
    return loadOnce()
  }
  const server = createServer(identityOf(PACKAGE_VERSION), instructions, { declarations, load: loadForCall })
  let asked = false

  if (pipe.isTerminal()) complain('This is an MCP server: a client starts it and speaks to it over stdin. See --help.')
  return serveStdio(
    {
      ...server,
      serve(request, exchange) {
        // A fault of loading is told by the call that needs what was loaded.
        if (!asked) setTimeout(() => loadOnce().catch(() => {}), preloadDelayMs).unref()
        asked = true
        return server.serve(request, exchange)
      },
    },
    {
      pipe,
      redaction: { text: (text) => redaction.text(text), pieces: (pieces) => redaction.pieces(pieces) },
      complain,
    },
  )
}

/**
 * Half of what loading costs is parsing, and Node can keep what it has parsed: beside the bundles, where whoever may write
 * could change the bundles themselves, and nowhere if that cannot be written. It is done where a call waits for the loading:
 * what is kept then holds all that a first call needs. NODE_COMPILE_CACHE names another place, NODE_DISABLE_COMPILE_CACHE none.
 */
function keepParsed(): void {
  process.getBuiltinModule('node:module').enableCompileCache?.(`${import.meta.dirname}/.cache`)
}

function complain(sentence: string): void {
  // Nobody may be reading; making the stream costs a millisecond that the first answer need not pay.
  process.stderr.once('error', () => {})
  process.stderr.write(`${redaction.text(sentence)}\n`)
}

function isOlderThan(version: string, required: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [requiredMajor = 0, requiredMinor = 0] = required.split('.').map(Number)
  return major < requiredMajor || (major === requiredMajor && minor < requiredMinor)
}
