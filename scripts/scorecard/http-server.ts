import { type Posted, type PostOptions, post, startHttpGateway } from '../../spec/harness/http-gateway.ts'
import { statusOf } from './processes.ts'

/** The built gateway over HTTP, and all that it says. */

export type HttpServer = {
  port: number
  pid: number
  tokens: readonly string[]
  /** Posts as the client of this number; what is answered is kept. */
  post(client: number, body: object | string, options?: PostOptions): Promise<Posted>
  answers(): Buffer[]
  output(): Buffer[]
  alive(): boolean
  peakRssMb(): number
  /** Ends it; resolves to what was wrong with it until then. */
  finish(rssMb: number): Promise<string[]>
}

const endMs = 8_000
const healthMs = 250
const patienceMs = 5_000

export async function startHttpServer(
  env: Readonly<Record<string, string>>,
  tokens: readonly string[],
): Promise<HttpServer> {
  const { child, output, ended, url, port } = await startHttpGateway({ GATEWAY_HTTP_TOKEN: tokens.join(','), ...env })
  const answers: Buffer[] = []

  const healthy = async () => {
    const times: number[] = []
    // On a busy machine one answer may be late; a gateway that is stuck is late each time.
    for (let at = 0; at < 3 && (times.at(-1) ?? healthMs) >= healthMs; at++) {
      const startedMs = performance.now()
      const signal = AbortSignal.timeout(patienceMs)
      const { status } = await post({ port, url }, undefined, { method: 'GET', path: '/health', signal })
      if (status !== 204) return `health is ${status}`
      times.push(performance.now() - startedMs)
    }
    return Math.min(...times) < healthMs ? undefined : `health took ${times.map(Math.round).join(', ')} ms`
  }

  const server: HttpServer = {
    port,
    pid: child.pid ?? 0,
    tokens,
    async post(client, body, options) {
      const answer = await post({ port, url, token: tokens[client] ?? '' }, body, options)
      answers.push(Buffer.from(`${JSON.stringify(answer.headers)}\n${answer.text}\n`))
      return answer
    },
    answers: () => answers,
    output: () => output,
    alive: () => child.exitCode === null && child.signalCode === null,
    peakRssMb: () => statusOf(child.pid ?? 0, 'VmHWM') / 1024,
    async finish(rssMb) {
      if (!server.alive()) return ['the gateway over HTTP is gone']
      const peak = server.peakRssMb()
      const faults = [
        await healthy().catch((error: Error) => `health cannot be asked for: ${error.message}`),
        peak > rssMb ? `I12: ${Math.round(peak)} MB of memory at the most over HTTP, ${rssMb} are allowed` : undefined,
      ]
      child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), endMs)
      const code = await ended
      clearTimeout(timer)
      if (code !== 143) faults.push(`the gateway over HTTP ended with ${code} behind SIGTERM`)
      return faults.filter((fault) => fault !== undefined)
    },
  }
  return server
}
