// Plays seeds of the chat tower in virtual time and prints what went wrong, a line a fault, and a last line of figures.
//   node --import tsx scripts/scorecard/simulation.ts FIRST_SEED COUNT
import { Fault, faultCodes } from '../../src/errors.ts'
import type { HttpRequest, HttpResponse, Send } from '../../src/http/message.ts'
import { createRandom, type Random } from './random.ts'
import { anyAsk, createTower } from './source.ts'
import { createVirtualTime, type VirtualTime } from './virtual-time.ts'
import { bytesOf, openaiEvent, piecesOf } from './wire.ts'

const [first = 1, count = 1] = process.argv.slice(2).map(Number)

type Plan = {
  fault: Fault | undefined
  status: number
  headers: Record<string, string>
  latencyMs: number
  texts: string[]
  gapMs: number
  ending: 'whole' | 'cut' | 'hang' | 'error'
}
type Attempt = {
  atMs: number
  said: string
  prompt: string
  host: string
  retryAfterMs: number
  open: boolean
  endedMs: number
}
type Figures = { calls: number; attempts: number; whole: number; failed: number; cancelled: number; virtualMs: number }

const faults: readonly (() => Fault)[] = [
  () => new Fault('network', 'x', { cause: 'connect_refused', retryable: true }),
  () => new Fault('network', 'x', { cause: 'closed_early', retryable: true }),
  () => new Fault('network', 'x', { cause: 'reset', retryable: true }),
  () => new Fault('network', 'x', { cause: 'dns' }),
]

function planOf(random: Random): Plan {
  const texts = Array.from({ length: 1 + random.below(6) }, (_, at) => `${random.text(3)}${at} `)
  const healthy = random.below(5) > 0
  const wait = random.pick([0, 0, 1, 3, 40])
  return {
    fault: random.below(10) === 0 ? random.pick(faults)() : undefined,
    status: healthy ? 200 : random.pick([200, 400, 401, 404, 429, 429, 500, 503, 529]),
    headers: wait > 0 ? { 'retry-after': String(wait) } : {},
    latencyMs: random.pick([1, 20, 300, 1000, 50_000]),
    texts,
    gapMs: random.pick([0, 0, 5, 200, 4000]),
    ending: random.pick(['whole', 'whole', 'whole', 'whole', 'whole', 'whole', 'cut', 'hang', 'error']),
  }
}

/** An upstream whose faults come from the seed, and which knows of every request whether it is still open. */
function createUpstream(random: Random, attempts: Attempt[], time: VirtualTime): Send {
  return async (request: HttpRequest, signal: AbortSignal): Promise<HttpResponse> => {
    const plan = planOf(random)
    const { messages } = JSON.parse(String(request.body)) as { messages: { content: string }[] }
    const attempt: Attempt = {
      atMs: time.now(),
      said: '',
      prompt: messages.at(-1)?.content ?? '',
      host: new URL(request.url).host,
      retryAfterMs: 0,
      open: true,
      endedMs: 0,
    }
    attempts.push(attempt)
    const close = () => {
      attempt.open = false
      attempt.endedMs = time.now()
    }
    const wait = (ms: number) =>
      time.sleep(ms, signal).catch((error: unknown) => {
        close()
        throw error
      })
    await wait(plan.latencyMs)
    if (plan.fault) {
      close()
      throw plan.fault
    }
    if (plan.status !== 200) attempt.retryAfterMs = Number(plan.headers['retry-after'] ?? 0) * 1000
    async function* body() {
      try {
        if (plan.status !== 200) {
          yield Buffer.from('{"error":{"message":"x"}}')
          return
        }
        for (const text of plan.texts) {
          await wait(plan.gapMs)
          attempt.said += text
          yield Buffer.from(openaiEvent({ content: text }))
        }
        if (plan.ending === 'hang') await wait(10_000_000)
        if (plan.ending === 'error') yield Buffer.from('data: {"error":{"message":"x","type":"server_error"}}\n\n')
        if (plan.ending === 'whole') yield Buffer.from(bytesOf(piecesOf('openai', [])))
        if (plan.ending === 'cut') throw new Fault('truncated', 'x', { cause: 'reset', retryable: true })
      } finally {
        close()
      }
    }
    return { status: plan.status, headers: { 'content-type': 'text/event-stream', ...plan.headers }, body: body() }
  }
}

async function play(seed: number, figures: Figures): Promise<string[]> {
  const random = createRandom(seed)
  const time = createVirtualTime(random.next)
  const attempts: Attempt[] = []
  const maxRetries = random.below(4)
  const maxConcurrency = 1 + random.below(3)
  const limits = { maxRetries, maxConcurrency, timeout: random.pick([2, 10, 60]) }
  const handle = createTower(
    {
      providers: Object.fromEntries(
        ['a', 'b'].map((name) => [
          name,
          { type: 'openai', baseUrl: `https://${name}.example.com/v1`, apiKey: `sk-simulated-${name}`, ...limits },
        ]),
      ),
      routes: {
        both: {
          strategy: random.pick(['failover', 'round-robin', 'weighted', 'least-latency']),
          targets: [{ model: 'a/one' }, { model: 'b/two' }],
        },
      },
    },
    createUpstream(random.branch('upstream'), attempts, time),
    time,
  )
  const said: string[] = []
  const tell = (sentence: string) => said.push(`seed ${seed}: ${sentence}`)
  let open = 0
  const call = async (at: number) => {
    const controller = new AbortController()
    const prompt = `call ${at}`
    const timeoutMs = random.pick([1000, 30_000, 600_000])
    const cancelMs = random.below(4) === 0 ? random.below(20_000) : undefined
    const model = random.pick(['a/one', 'both'])
    const streaming = random.below(2) === 0
    await time.sleep(random.below(10_000), controller.signal)
    const startedMs = time.now()
    let cancelledMs = Number.POSITIVE_INFINITY
    const cancelling =
      cancelMs === undefined
        ? undefined
        : time.timer(cancelMs, () => {
            cancelledMs = time.now()
            controller.abort()
          })
    open += 1
    let text = ''
    let fault: unknown
    let finished = false
    let deliveredMs = Number.POSITIVE_INFINITY
    try {
      const answer = handle(
        { ...anyAsk, model, timeoutMs, messages: [{ role: 'user', content: [{ type: 'text', text: prompt }] }] },
        { signal: controller.signal, streaming },
      )
      for await (const events of answer) {
        for (const event of events) {
          if (event.type === 'text-delta') {
            text += event.text
            deliveredMs = Math.min(deliveredMs, time.now())
          }
          if (event.type === 'finish') finished = true
        }
      }
    } catch (error) {
      fault = error
    }
    cancelling?.stop()
    open -= 1
    figures.calls += 1
    const own = attempts.filter((one) => one.prompt === prompt)
    figures.attempts += own.length
    if (cancelledMs < Number.POSITIVE_INFINITY) figures.cancelled += 1
    else if (fault) figures.failed += 1
    else figures.whole += 1
    const elapsedMs = time.now() - startedMs
    if (elapsedMs > timeoutMs + 500) tell(`${prompt} took ${elapsedMs} ms of ${timeoutMs}`)
    if (cancelledMs < Number.POSITIVE_INFINITY && time.now() > cancelledMs + 50)
      tell(`${prompt} went on for ${time.now() - cancelledMs} ms after its cancellation`)
    if (fault && !(fault instanceof Fault && (faultCodes as readonly string[]).includes(fault.code)))
      tell(`${prompt} threw ${String(fault)}`)
    if (!fault && !finished) tell(`${prompt} ended without a finish`)
    const late = own.filter(({ atMs }) => atMs > Math.min(cancelledMs, deliveredMs))
    if (late.length > 0) tell(`${prompt} sent a request after it was cancelled, or after it had delivered`)
    for (const host of ['a.example.com', 'b.example.com']) {
      const there = own.filter((one) => one.host === host)
      if (there.length > maxRetries + 1)
        tell(`${prompt} made ${there.length} requests at ${host} with ${maxRetries} retries`)
      for (const [index, before] of there.slice(0, -1).entries()) {
        const gapMs = (there[index + 1]?.atMs ?? 0) - before.endedMs
        if (gapMs < Math.max(50, before.retryAfterMs))
          tell(`${prompt} repeated after ${gapMs} ms, ${before.retryAfterMs} were asked for`)
      }
    }
    // Of what nobody streamed, the fault holds what had come.
    if (fault instanceof Fault && text === '') text = fault.detail.partialText ?? ''
    if (text !== '' && !own.some((one) => (fault ? one.said.startsWith(text) : one.said === text)))
      tell(`${prompt} delivered ${JSON.stringify(text)}, which nobody said`)
  }
  const calls = Promise.all(Array.from({ length: 1 + random.below(6) }, (_, at) => call(at)))
  let settled = false
  void calls.then(() => (settled = true))
  figures.virtualMs += await time.run()
  if (!settled) tell(`${open} calls are stuck`)
  if (attempts.some((one) => one.open)) tell(`${attempts.filter((one) => one.open).length} connections stay open`)
  return said
}

const figures: Figures = { calls: 0, attempts: 0, whole: 0, failed: 0, cancelled: 0, virtualMs: 0 }
for (let seed = first; seed < first + count; seed++) {
  for (const sentence of await play(seed, figures)) console.log(sentence)
}
const { calls, attempts, whole, failed, cancelled, virtualMs } = figures
console.log(
  `${count} seeds from ${first}, ${calls} calls, ${attempts} requests, ${whole} whole, ${failed} failed, ${cancelled} cancelled, ${Math.round(virtualMs / 3_600_000)} virtual hours`,
)
