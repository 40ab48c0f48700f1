// The thread in which one plugin lives: it loads the plugin and answers for its functions.
import { isBuiltin, registerHooks } from 'node:module'
import { parentPort, workerData } from 'node:worker_threads'
import { Fault } from '../errors.ts'
import type { Ask, Event } from '../gateway.ts'
import type { HttpResponse } from '../http/message.ts'
import type { Operation as AnyOperation, EncodedRequest, Operations, Provider, Target } from '../provider.ts'
import { createPeer, type Port } from './peer.ts'

/** `source` is what the digest was taken of, so that the file cannot change between the check and the loading. */
export type PluginModule = { url: string; source: Uint8Array }

const { url, source } = workerData as PluginModule

registerHooks({
  resolve(specifier, context, next) {
    // Not where a symbolic link leads: it is what was read that has the digest.
    if (specifier === url) return { url, format: 'module', shortCircuit: true }
    if (specifier === 'genai-gateway-mcp/plugin') {
      return { url: new URL('./plugin.mjs', import.meta.url).href, format: 'module', shortCircuit: true }
    }
    // The digest covers one file.
    if (context.parentURL === url && !isBuiltin(specifier)) {
      throw new Error(`a plugin is one file and may import builtins and genai-gateway-mcp/plugin, not ${specifier}`)
    }
    return next(specifier, context)
  },
  load: (asked, context, next) =>
    asked === url ? { format: 'module', source, shortCircuit: true } : next(asked, context),
})

/** As a plugin writes it: events come one by one. */
type Operation = AnyOperation<Ask, EncodedRequest, Event>
type Authored = Pick<Provider, 'authorize' | 'fault'> & Operations<EncodedRequest, Event>

const { provider } = (await import(url)) as { provider?: Authored }
if (typeof provider?.authorize !== 'function' || typeof provider.fault !== 'function') {
  throw new Error('it exports no provider: a constant of that name with authorize, fault and its operations')
}

const { tools = {} } = provider
const operationOf = (kind: Ask['kind'], name = ''): Operation => {
  const operation = kind === 'tool' ? tools[name] : provider[kind]
  if (!operation) throw new Fault('invalid_request', `it does not offer ${name || kind}`)
  return operation as Operation
}
const operationFor = (ask: Ask) => operationOf(ask.kind, ask.kind === 'tool' ? ask.name : undefined)

/** Answers that are being decoded, by the number that the gateway gave them. */
const streams = new Map<number, AsyncIterator<Event>>()

const gateway = createPeer(parentPort as Port, {
  describe: () => ({
    operations: (['chat', 'text', 'embed', 'models'] as const).filter((kind) => provider[kind] !== undefined),
    tools: Object.fromEntries(
      Object.entries(tools).map(([name, { description, inputSchema, sendOnce }]) => [
        name,
        { description, inputSchema, sendOnce },
      ]),
    ),
  }),
  authorize: (key: string) => provider.authorize(key),
  async fault(status: number, headers: Record<string, string>, body: string) {
    throw await provider.fault(status, headers, body)
  },
  encode: (ask: Ask, target: Target) => operationFor(ask).encode(ask, target),
  open(stream: number, head: Omit<HttpResponse, 'body'>, ask: Ask) {
    const events = operationFor(ask).decode({ ...head, body: bodyOf(stream) }, ask)
    streams.set(stream, events[Symbol.asyncIterator]())
  },
  /** The next event; undefined when there are no more. */
  async next(stream: number) {
    const { value, done } = (await streams.get(stream)?.next()) ?? { value: undefined, done: true }
    return done ? undefined : value
  },
  async close(stream: number) {
    const events = streams.get(stream)
    streams.delete(stream)
    await events?.return?.()
  },
})

async function* bodyOf(stream: number): AsyncGenerator<Uint8Array> {
  for (;;) {
    const chunk = (await gateway.ask('chunk', stream)) as Uint8Array | undefined
    if (chunk === undefined) return
    yield chunk
  }
}
