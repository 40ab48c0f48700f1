import type { Config, PluginSource, ProviderConfig } from '../config.ts'
import { Fault } from '../errors.ts'
import type { Ask, Event, Events, Part } from '../gateway.ts'
import type { HttpResponse } from '../http/message.ts'
import { quote } from '../http/problem.ts'
import type { Logger } from '../log.ts'
import type { Dialect, EncodedRequest, Operation, Target } from '../provider.ts'
import type * as z from '../schema.ts'
import { createShapes, type Shapes } from './shapes.ts'
import { createThread, type Thread } from './thread.ts'
import type { PluginModule } from './worker.ts'

type RemoteOperation = Operation<Ask, Promise<EncodedRequest>>

/** Loads the plugins that providers are of. One that cannot be loaded is the problem of its providers alone. */
export async function withPlugins(config: Config, log: Logger, isReadable: IsReadable): Promise<Config> {
  const providers = [...config.providers.values()]
  const used = [...config.plugins].filter(([type]) => providers.some((provider) => provider.type === type))
  if (used.length === 0) return config
  const shapes = createShapes()
  const loaded = new Map(
    await Promise.all(
      used.map(async ([type, source]) => [type, await load(type, source, { shapes, log, isReadable })] as const),
    ),
  )
  const adapt = (provider: ProviderConfig): ProviderConfig => {
    const plugin = loaded.get(provider.type)
    if (plugin === undefined) return provider
    if (typeof plugin !== 'string') return { ...provider, preset: { ...provider.preset, dialect: plugin } }
    log.warn(plugin)
    return { ...provider, problem: provider.problem ?? plugin }
  }
  return { ...config, providers: new Map([...config.providers].map(([name, provider]) => [name, adapt(provider)])) }
}

/** Whether arguments can be held against a JSON Schema. */
type IsReadable = (schema: Record<string, unknown>) => Promise<boolean>

type Loading = { shapes: Shapes; log: Logger; isReadable: IsReadable }

/** The plugin's dialect, or why there is none. */
async function load(
  type: string,
  plugin: PluginSource,
  { shapes, log, isReadable }: Loading,
): Promise<Dialect | string> {
  // Whoever has no plugin needs none of these, and they take milliseconds to load.
  const [{ createHash }, { readFile }, { pathToFileURL }, { Worker }] = await Promise.all([
    import('node:crypto'),
    import('node:fs/promises'),
    import('node:url'),
    import('node:worker_threads'),
  ])
  const where = `PROVIDER_CONFIG plugins.${type}`
  const source = await readFile(plugin.path).catch(() => undefined)
  if (source === undefined) return `${where}.path cannot be read`
  const digest = createHash('sha256').update(source).digest('hex')
  if (digest !== plugin.sha256.toLowerCase()) return `${where}.sha256 is not that of the file, which is ${digest}`
  const module: PluginModule = { url: pathToFileURL(plugin.path).href, source }
  const script = new URL('./plugin-worker.mjs', import.meta.url)
  const thread = createThread(type, (options) => new Worker(script, { ...options, workerData: module }), log)
  try {
    const description = checked(shapes.description, await thread.ask('describe'))
    for (const [name, { inputSchema }] of Object.entries(description.tools)) {
      if (!(await isReadable(inputSchema))) throw new Error(`the inputSchema of its tool ${name} is no JSON Schema`)
    }
    return dialectOf(thread, description, shapes)
  } catch (error) {
    thread.stop()
    return `${where} cannot be loaded: ${quote(error instanceof Error ? error.message : String(error))}`
  }
}

function dialectOf(thread: Thread, { operations, tools }: z.infer<Shapes['description']>, shapes: Shapes): Dialect {
  const ask = async (method: string, ...parameters: unknown[]) => {
    try {
      return await thread.ask(method, ...parameters)
    } catch (error) {
      throw contained(error, shapes)
    }
  }
  const operation: RemoteOperation = {
    async encode(asked, target) {
      const encoded = checked(shapes.encoded, await ask('encode', plain(asked), target))
      assertAtHome(encoded.url, target)
      return encoded as EncodedRequest
    },
    decode(response, asked) {
      const events = decode(thread, response, asked, shapes)
      return response.signal ? abandonable(events, response.signal) : events
    },
  }
  return {
    authorize: async (key) => checked(shapes.headers, await ask('authorize', key)),
    // A fault is thrown on the other side, because that is how faults travel.
    fault: (...answer) =>
      ask('fault', ...answer).then(
        () => new Fault('provider_error', 'its plugin gave no fault', { cause: 'plugin' }),
        (fault: Fault) => fault,
      ),
    ...(Object.fromEntries(operations.map((kind) => [kind, operation])) as Partial<Dialect>),
    tools: Object.fromEntries(
      Object.entries(tools).map(([name, tool]) => [name, { ...tool, ...operation }]),
    ) as NonNullable<Dialect['tools']>,
  }
}

/** Events that stop at once when the call is interrupted, even where the thread hangs. */
function abandonable(events: AsyncGenerator<Events>, signal: AbortSignal): AsyncIterable<Events> {
  let interrupt = (_reason: unknown) => {}
  const abandon = () => {
    interrupt(signal.reason)
    events.return(undefined).catch(() => {})
  }
  if (signal.aborted) abandon()
  else signal.addEventListener('abort', abandon, { once: true })
  const over = () => signal.removeEventListener('abort', abandon)
  const iterator: AsyncIterator<Events> = {
    async next() {
      try {
        const next = await new Promise<IteratorResult<Events>>((resolve, reject) => {
          if (signal.aborted) reject(signal.reason)
          interrupt = reject
          events.next().then(resolve, reject)
        })
        if (next.done) over()
        return next
      } catch (error) {
        over()
        throw error
      }
    },
    async return() {
      over()
      const ended = events.return(undefined)
      if (signal.aborted) ended.catch(() => {})
      else await ended
      return { value: undefined, done: true }
    },
  }
  return { [Symbol.asyncIterator]: () => iterator }
}

async function* decode(thread: Thread, response: HttpResponse, asked: Ask, shapes: Shapes): AsyncGenerator<Events> {
  const { status, headers } = response
  const chunks = response.body[Symbol.asyncIterator]()
  let begun = false
  const stream = thread.open({
    next() {
      begun = true
      return chunks.next()
    },
  })
  let finished = asked.kind !== 'chat' && asked.kind !== 'text'
  try {
    await stream.ask('open', { status, headers }, plain(asked))
    for (let next = await stream.ask('next'); next !== undefined; next = await stream.ask('next')) {
      const event = checked(shapes.event, next) as Event
      finished ||= event.type === 'finish'
      yield [event]
    }
    if (!finished) throw new Fault('truncated', 'the answer ended before it was finished', { retryable: true })
  } catch (error) {
    throw contained(error, shapes)
  } finally {
    stream.close()
    // What was never begun cannot be ended: the connection is closed, once whoever reads has heard how it ended.
    if (!begun) setImmediate(() => response.interrupt?.(new Fault('invalid_response', 'nobody reads the answer')))
    // Not waited for: the thread may have ended over a chunk that the provider has not sent yet.
    else chunks.return?.().catch(() => {})
  }
}

/** An integer that keeps all its digits is a thing that only its own thread can write: a plugin is given a number. */
function plain(asked: Ask): Ask {
  if (asked.kind !== 'chat') return asked
  const numbers = (part: Part): Part =>
    part.type === 'tool-use' ? { ...part, arguments: JSON.parse(JSON.stringify(part.arguments)) } : part
  return { ...asked, messages: asked.messages.map(({ role, content }) => ({ role, content: content.map(numbers) })) }
}

/** A plugin decides what is sent to its provider, and nowhere else. */
function assertAtHome(url: string, { baseUrl }: Target): void {
  if (new URL(url).origin === new URL(baseUrl).origin) return
  throw new Fault('configuration', 'its plugin asks for another address than its baseUrl', { cause: 'plugin' })
}

function checked<Shape extends z.ZodMiniType>(shape: Shape, value: unknown): z.infer<Shape> {
  const { success, data, error } = shape.safeParse(value)
  if (success) return data
  const [issue] = error.issues
  const where = issue?.path.join('.') || 'what it gave'
  throw new Fault('provider_error', `its plugin did not keep to the types: ${quote(`${where}: ${issue?.message}`)}`, {
    cause: 'plugin',
  })
}

/** A fault as the plugin tells it, held to what a fault may say. */
function contained(error: unknown, { fault }: Shapes): unknown {
  if (!(error instanceof Fault)) return error
  const { code, message, detail } = checked(fault, { code: error.code, message: error.message, detail: error.detail })
  return new Fault(code, quote(message), detail)
}
