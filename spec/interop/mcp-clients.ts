import { Client, type VersionNegotiationMode } from '@modelcontextprotocol/client'
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio'
import { Client as HandshakeClient } from '@modelcontextprotocol/sdk/client/index.js'
import { StdioClientTransport as HandshakeTransport } from '@modelcontextprotocol/sdk/client/stdio.js'
import { type Json, program } from '../harness/gateway.ts'

/** MCP's own client libraries, each in its ways of agreeing on a revision, connected to the built gateway. */

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

export const clientKinds: readonly ClientKind[] = [
  { name: 'SDK v1', revision: '2025-11-25', connect: connectFirst },
  { name: 'SDK v2, handshake', revision: '2025-11-25', connect: (env) => connectSecond(env, 'legacy') },
  { name: 'SDK v2, automatic', revision: '2026-07-28', connect: (env) => connectSecond(env, 'auto') },
  { name: 'SDK v2, pinned', revision: '2026-07-28', connect: (env) => connectSecond(env, { pin: '2026-07-28' }) },
]

function serverWith(env: Record<string, string>) {
  return { command: process.execPath, args: [program], env, stderr: 'pipe' as const }
}

async function connectFirst(env: Record<string, string>): Promise<Connected> {
  const complaints: Error[] = []
  const transport = new HandshakeTransport(serverWith(env))
  const client = new HandshakeClient(info)
  client.onerror = (error) => void complaints.push(error)
  let revision: string | undefined
  // The library tells the agreed revision to its transport alone.
  Object.assign(transport, { setProtocolVersion: (agreed: string) => (revision = agreed) })
  await client.connect(transport)
  return {
    revision,
    serverName: client.getServerVersion()?.name,
    pid: transport.pid,
    complaints,
    listTools: async () => (await client.listTools()).tools,
    callTool: (name, args, calling = {}) => client.callTool({ name, arguments: args }, undefined, calling),
    close: () => client.close(),
  }
}

async function connectSecond(env: Record<string, string>, mode: VersionNegotiationMode): Promise<Connected> {
  const complaints: Error[] = []
  const transport = new StdioClientTransport(serverWith(env))
  const client = new Client(info, { versionNegotiation: { mode } })
  client.onerror = (error) => void complaints.push(error)
  await client.connect(transport)
  return {
    revision: client.getNegotiatedProtocolVersion(),
    serverName: client.getServerVersion()?.name,
    pid: transport.pid,
    complaints,
    listTools: async () => (await client.listTools()).tools,
    callTool: async (name, args, calling = {}) => ({ ...(await client.callTool({ name, arguments: args }, calling)) }),
    close: () => client.close(),
  }
}
