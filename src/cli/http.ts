import { parseArgs } from 'node:util'
import type { Access } from '../access.ts'
import type { HttpConfig } from '../config.ts'
import { Fault } from '../errors.ts'
import { identityOf, instructions } from '../identity.ts'
import { createServer } from '../mcp/server.ts'
import { createStreamableHttp, defaultSessionLimits } from '../mcp/streamable-http.ts'
import { declarations } from '../tools/declarations.ts'
import { serveHttp } from '../transports/http.ts'
import { type Authority, endpoint, readAuthority } from '../transports/http-checks.ts'
import { type Command, misuse, wentWrong } from './context.ts'
import { say } from './terminal.ts'

const defaultHost = '127.0.0.1'
const defaultPort = '8790'
const loopback = /^(?:localhost|127(?:\.\d{1,3}){3}|::1)$/
const makeToken = 'node -p "crypto.randomBytes(32).toString(\'base64url\')"'

export const http: Command = {
  usage: '[--port N] [--host ADDRESS] [--allow-host NAME]...',
  summary: 'Serves MCP over HTTP (Streamable HTTP), for clients that take a URL.',
  help: `  --port N            where it listens (GATEWAY_HTTP_PORT, ${defaultPort}); 0 takes any that is free
  --host ADDRESS      on which address (GATEWAY_HTTP_HOST, ${defaultHost})
  --allow-host NAME   a name under which it may be reached besides localhost, with a port or without; several may be
                      given (GATEWAY_HTTP_ALLOW_HOSTS, separated by commas)
  --without-token     lets everybody on this machine in, every page in a browser that gets past the checks among them

  export GATEWAY_HTTP_TOKEN=$(${makeToken})
  genai-gateway-mcp http

Clients send the token as Authorization: Bearer TOKEN to http://${defaultHost}:${defaultPort}${endpoint}. It may also be in a file that
GATEWAY_HTTP_TOKEN_FILE names. It speaks no TLS: on an address that others can reach, put it behind a server that does, and
say by --allow-host under which name. Ctrl-C ends it when the calls in flight have had four seconds to finish.
`,
  async run(args, { version, signal }) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        port: { type: 'string' },
        host: { type: 'string' },
        'allow-host': { type: 'string', multiple: true },
        'without-token': { type: 'boolean', default: false },
      },
    })
    const { createChat, readConfig } = await import('../chat.ts')
    const config = readConfig()
    const open = values['without-token']
    const { host, port, authorities } = readAddress(values.host, values.port, values['allow-host'], config.http)
    if (open && !loopback.test(host)) throw new Fault('configuration', `--without-token is for ${defaultHost} alone`)
    if (!open && !config.http.tokens) throw noToken('no token is set')

    const chat = await createChat({ version, config })
    if (signal.aborted) return wentWrong
    const identify = open ? () => '' : identifyBy(chat.access as Access)
    const load = () => Promise.resolve(chat.tools)
    const createPeer = () => createServer(identityOf(version), instructions, { declarations, load })
    const complain = (sentence: string) => say(chat.redact(sentence))
    const protocol = createStreamableHttp(createPeer, defaultSessionLimits, () => performance.now())
    const exitCode = await serveHttp(protocol, {
      host,
      port,
      authorities,
      identify,
      redact: chat.redact,
      complain,
      onListening(listening) {
        if (open) say('WITHOUT A TOKEN: whatever runs on this machine can use it, and what it costs is yours')
        say(`genai-gateway-mcp serves MCP at http://${host.includes(':') ? `[${host}]` : host}:${listening}${endpoint}`)
      },
    }).catch((error: { code?: string }) => {
      throw new Fault('configuration', `cannot listen on ${host}, port ${port} (${error.code ?? 'unknown'})`)
    })
    await chat.logged()
    return exitCode
  },
}

type Address = { host: string; port: number; authorities: readonly Authority[] }

/** What the command line says, or else the environment. Throws a Fault where that is nothing to listen on. */
function readAddress(
  givenHost: string | undefined,
  givenPort: string | undefined,
  givenNames: readonly string[] | undefined,
  config: HttpConfig,
): Address {
  const host = (givenHost ?? config.host ?? defaultHost).toLowerCase().replace(/^\[(.*)\]$/, '$1')
  const port = givenPort ?? config.port ?? defaultPort
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535) {
    throw misuse(`${givenPort === undefined ? 'GATEWAY_HTTP_PORT' : '--port'} must be a number from 0 to 65535`)
  }
  const names = givenNames ?? config.allowedHosts?.split(',').map((name) => name.trim()) ?? []
  const authorities = names.map((name) => {
    const authority = readAuthority(name)
    if (authority) return authority
    throw misuse(`${JSON.stringify(name)} is no name of a host: give one such as gateway.example.com`)
  })
  if (!loopback.test(host) && authorities.length === 0) {
    throw new Fault(
      'configuration',
      `${host} can be reached from other machines: say by --allow-host NAME under which name, or listen on ${defaultHost}`,
    )
  }
  return { host, port: Number(port), authorities }
}

/** Who comes with which token; throws a Fault where nobody could. */
function identifyBy(access: Access): (token: string | undefined) => string | undefined {
  const problem = access.problem()
  if (problem !== undefined) throw noToken(problem)
  return (token) => (token === undefined ? undefined : access.identify(token))
}

function noToken(problem: string): Fault {
  return new Fault('configuration', `${problem}: export GATEWAY_HTTP_TOKEN=$(${makeToken})`)
}
