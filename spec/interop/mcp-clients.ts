import { Client, StreamableHTTPClientTransport, type VersionNegotiationMode } from '@modelcontextprotocol/client'
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio'
import { Client as HandshakeClient } from '@modelcontextprotocol/sdk/client/index.js'
import { StdioClientTransport as HandshakeStdio } from '@modelcontextprotocol/sdk/client/stdio.js'
import { StreamableHTTPClientTransport as HandshakeHttp } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import type { Transport as HandshakeTransport } from '@modelcontextprotocol/sdk/shared/transport.js'
import { type Json, program } from '../harness/gateway.ts'
import { startHttpGateway, token } from '../harness/http-gateway.ts'

/** MCP's own client libraries, each in its ways of agreeing on a revision, connected to the built gateway over both transports. */

export type Calling = {
  onprogress?: (progress: { progress: number; message?: string | undefined }) => void
  signal?: AbortSignal
  /** Milliseconds. */
  timeout?: number
  resetTimeoutOnProgress?: boolean
}

export type Connected = {
  revision: string | undefined
  serverName: string | undefined
  pid: number | null
  /** What the library complained about, which a well-behaved server gives no reason for. */
  complaints: Error[]
  listTools(): Promise<{ name: string; outputSchema?: unknown }[]>
  callTool(name: string, args: Json, calling?: Calling): Promise<Json>
  close(): Promise<void>
}

export type ClientKind = { name: string; revision: string; connect(env: Record<string, string>): Promise<Connected> }

const info = { name: 'interop', version: '1.0.0' }

type Connect = (env: Record<string, string>, over: 'stdio' | 'HTTP') => Promise<Connected>

const libraries: readonly { name: string; revision: string; connect: Connect }[] = [
  { name: 'SDK v1', revision: '2025-11-25', connect: connectFirst },
  { name: 'SDK v2, handshake', revision: '2025-11-25', connect: connectSecond('legacy') },
  { name: 'SDK v2, automatic', revision: '2026-07-28', connect: connectSecond('auto') },
  { name: 'SDK v2, pinned', revision: '2026-07-28', connect: connectSecond({ pin: '2026-07-28' }) },
]

export const clientKinds: readonly ClientKind[] = (['stdio', 'HTTP'] as const).flatMap((over) =>
  libraries.map(({ name, revision, connect }) => ({
    name: `${name}, over ${over}`,
    revision,
    connect: (env: Record<string, string>) => connect(env, over),
  })),
)

function serverWith(env: Record<string, string>) {
  return { command: process.execPath, args: [program], env, stderr: 'pipe' as const }
}

/** The gateway as a server of its own, which ends when its client does. */
export async function startServer(env: Record<string, string>, args: readonly string[] = []) {
  const { child, ended, url } = await startHttpGateway(env, args)
  const close = async () => {
    child.kill('SIGTERM')
    await ended
  }
  return { url: new URL(url), pid: child.pid ?? null, close }
}

const authorized = { requestInit: { headers: { authorization: `Bearer ${token}` } } }

async function orClose(connected: Promise<void>, server: { close(): Promise<void> } | undefined): Promise<void> {
  await connected.catch(async (error: unknown) => {
    await server?.close()
    throw error
  })
}

async function connectFirst(env: Record<string, string>, over: 'stdio' | 'HTTP'): Promise<Connected> {
  const complaints: Error[] = []
  const server = over === 'HTTP' ? await startServer(env) : undefined
  const stdio = new HandshakeStdio(serverWith(env))
  const transport = server ? new HandshakeHttp(server.url, authorized) : stdio
  const client = new HandshakeClient(info)
  client.onerror = (error) => void complaints.push(error)
  let revision: string | undefined
  // The library tells the agreed revision to its transport alone.
  const tell = transport instanceof HandshakeHttp ? transport.setProtocolVersion.bind(transport) : () => {}
  const setProtocolVersion = (agreed: string) => {
    revision = agreed
    tell(agreed)
  }
  const connected = client.connect(Object.assign(transport, { setProtocolVersion }) as HandshakeTransport)
  await orClose(connected, server)
  return {
    revision,
    serverName: client.getServerVersion()?.name,
    pid: server?.pid ?? stdio.pid,
    complaints,
    listTools: async () => (await client.listTools()).tools,
    callTool: (name, args, calling = {}) => client.callTool({ name, arguments: args }, undefined, calling),
    async close() {
      await client.close()
      await server?.close()
    },
  }
}

function connectSecond(mode: VersionNegotiationMode): Connect {
  return async (env, over) => {
    const complaints: Error[] = []
    const server = over === 'HTTP' ? await startServer(env) : undefined
    const stdio = new StdioClientTransport(serverWith(env))
    const client = new Client(info, { versionNegotiation: { mode } })
    client.onerror = (error) => void complaints.push(error)
    await orClose(client.connect(server ? new StreamableHTTPClientTransport(server.url, authorized) : stdio), server)
    return {
      revision: client.getNegotiatedProtocolVersion(),
      serverName: client.getServerVersion()?.name,
      pid: server?.pid ?? stdio.pid,
      complaints,
      listTools: async () => (await client.listTools()).tools,
      callTool: async (name, args, calling = {}) => ({
        ...(await client.callTool({ name, arguments: args }, calling)),
      }),
      async close() {
        await client.close()
        await server?.close()
      },
    }
  }
}
