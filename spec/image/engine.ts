import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import type { TestContext } from 'node:test'
import { type Gateway, startGateway } from '../harness/gateway.ts'

/** The image, run by this machine's container engine. Every container is gone when its test is over. */

export const image = process.env['IMAGE'] ?? 'genai-gateway-mcp'

/** Where the engine is; the client of a container gets none of this. */
const engine = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => name.startsWith('DOCKER_')) as [string, string][],
)

export function docker(...args: string[]): string {
  return execFileSync('docker', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim()
}

/** What a container is allowed when it is allowed as little as possible. */
export const hardened = [
  ...['--read-only', '--cap-drop', 'ALL', '--security-opt', 'no-new-privileges', '--network', 'none'],
  ...['--memory', '512m', '--cpus', '1'],
]

/** Starts a container by the arguments of `docker`, of which the first is `run`. */
export function containerFor(t: TestContext, args: readonly string[], env: Record<string, string> = {}) {
  const name = `genai-gateway-spec-${randomUUID()}`
  const [run = '', ...rest] = args
  const gateway: Gateway = startGateway({ ...engine, ...env }, [run, '--name', name, ...rest], 'docker')
  t.after(() => {
    gateway.child.kill('SIGKILL')
    try {
      docker('rm', '--force', name)
    } catch {
      // It is gone already, as it should be.
    }
  })
  return { gateway, name }
}

/** What a script prints that Node runs in a container in the place of the gateway. */
export function inside(flags: readonly string[], script: string): string {
  return docker('run', '--rm', ...flags, '--entrypoint', '/usr/local/bin/node', image, '--eval', script)
}

/** A network without a way out, on which this machine has an address that containers see. */
export function networkFor(t: TestContext): { network: string; address: string } {
  const network = `genai-gateway-spec-${randomUUID()}`
  docker('network', 'create', '--internal', network)
  t.after(() => docker('network', 'rm', network))
  return { network, address: docker('network', 'inspect', network, '--format', '{{(index .IPAM.Config 0).Gateway}}') }
}
