import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Check } from '../check.ts'
import { expectFault, expectWithin, ok } from '../scenes.ts'
import { delay, type Stage, sideBySide } from '../stage.ts'
import { head, refusal } from '../wire.ts'

/** When a refused request is made again, how long after, and when never. */

/** A fixed date of the server's own clock, an hour off ours. */
function skewed(hours: number, aheadS?: number): Record<string, string> {
  const at = (offsetS: number) => new Date(Date.now() + hours * 3_600_000 + offsetS * 1000).toUTCString()
  return { date: at(0), ...(aheadS === undefined ? {} : { 'retry-after': at(aheadS) }) }
}

type Pushback = {
  headers: Readonly<Record<string, string>>
  gap?: [least: number, most: number]
  returned?: number | true
}

/** 429 waits a second at first, half of it by chance; a header lengthens that and never shortens it. */
const own: [number, number] = [490, 1600]
const pushbacks: Readonly<Record<string, Pushback>> = {
  none: { headers: {}, gap: own },
  'one second': { headers: { 'retry-after': '1' }, gap: [990, 1800] },
  '2500 ms': { headers: { 'retry-after-ms': '2500' }, gap: [2490, 3400] },
  '20 ms': { headers: { 'retry-after-ms': '20' }, gap: own },
  'a date, clocks alike': { headers: skewed(0, 3), gap: [1990, 4200] },
  'a date, clock ahead': { headers: skewed(1, 3), gap: [2990, 4200] },
  'a date, clock behind': { headers: skewed(-1, 3), gap: [2990, 4200] },
  'a date that is past': { headers: skewed(0, -60), gap: own },
  negative: { headers: { 'retry-after': '-5' }, gap: own },
  garbage: { headers: { 'retry-after': 'soon' }, gap: own },
  'not a number': { headers: { 'retry-after': 'NaN' }, gap: own },
  '1e400': { headers: { 'retry-after': '1e400' }, gap: own },
  '120 s': { headers: { 'retry-after': '120' }, returned: 120_000 },
  '30 days': { headers: { 'retry-after': '2592000' }, returned: 2_592_000_000 },
  'no retry wanted': { headers: { 'x-should-retry': 'false' }, returned: true },
}

const money: Readonly<Record<string, [status: number, error: object]>> = {
  insufficient_quota: [429, { type: 'insufficient_quota', code: 'insufficient_quota' }],
  credit_balance_exhausted: [429, { type: 'rate_limit_error', code: 'credit_balance_exhausted' }],
  project_spend_limit_exceeded: [429, { type: 'requests', code: 'project_spend_limit_exceeded' }],
  organization_spend_limit_exceeded: [429, { code: 'organization_spend_limit_exceeded' }],
  organization_usage_limit_exceeded: [429, { code: 'organization_usage_limit_exceeded' }],
  billing_hard_limit_reached: [429, { code: 'billing_hard_limit_reached' }],
  billing_not_active: [429, { type: 'billing_not_active', code: 'billing_not_active' }],
  enforced_spend_limit_reached: [
    429,
    { type: 'rate_limit_error', details: { error_code: 'enforced_spend_limit_reached' } },
  ],
  'payment required': [402, {}],
  'a spend cap as 400': [
    400,
    { type: 'invalid_request_error', message: 'Your credit balance is too low to access the API.' },
  ],
}

/** A refusal of the request itself: one request, and a code that says what to change. */
const refusals: Readonly<Record<string, [status: number, error: object, code: string]>> = {
  'bad request': [400, { type: 'invalid_request_error' }, 'invalid_request'],
  'wrong key': [401, { code: 'invalid_api_key' }, 'authentication'],
  forbidden: [403, { message: 'You may not do this.' }, 'permission'],
  'no such model': [404, { message: 'The model `tiny` does not exist', code: 'model_not_found' }, 'model_not_found'],
  'method not allowed': [405, {}, 'invalid_request'],
  'too large': [413, {}, 'too_large'],
  'unsupported type': [415, {}, 'invalid_request'],
  unprocessable: [422, {}, 'invalid_request'],
  'a content filter': [400, { code: 'content_filter' }, 'content_filter'],
  'too long': [
    400,
    { code: 'context_length_exceeded', message: "This model's maximum context length is 8192 tokens." },
    'context_length',
  ],
}

const outageCalls = 1000

export const retries: readonly Check[] = [
  {
    id: 'U18',
    what: '429 with every kind of Retry-After: never sooner than it says, never sooner than our own wait',
    timed: true,
    async run(stage) {
      const upstream = await stage.upstream((exchange) => {
        const { headers = {} } = pushbacks[exchange.prompt] ?? {}
        return exchange.attempt === 0
          ? exchange.send(refusal(429, { type: 'rate_limit_exceeded' }, headers))
          : ok(exchange)
      })
      const gateway = await stage.gateway({ providers: { a: { at: upstream, maxRetries: 1 } } })
      await gateway.warm()
      await sideBySide(Object.entries(pushbacks), 20, async ([what, { gap, returned }]) => {
        const seen = await gateway.ask({ prompt: what })
        const [first, second] = upstream.calls().filter(({ prompt }) => prompt === what)
        if (gap) {
          stage.expect(second !== undefined, `${what}: no second request (${seen.code})`)
          if (first && second) expectWithin(stage, what, second.atMs - first.atMs, ...gap)
        } else {
          expectFault(stage, what, seen, 'rate_limited', undefined, 1)
          expectWithin(stage, what, seen.tookMs, 0, 400)
          if (typeof returned === 'number') stage.equal(seen.fault['retryAfterMs'], returned, `${what}: retryAfterMs`)
        }
      })
      return `${Object.keys(pushbacks).length} headers`
    },
  },
  {
    id: 'U19',
    what: 'no money left, as eight codes of 429, 402 and 400: one request, and another provider where there is one',
    async run(stage) {
      const rich = await stage.upstream((exchange) => ok(exchange))
      await sideBySide(Object.entries(money), 4, async ([what, [status, error]]) => {
        const poor = await stage.upstream((exchange) => exchange.send(refusal(status, error)))
        const gateway = await stage.gateway({
          providers: { poor: { at: poor }, rich: { at: rich } },
          routes: { either: { strategy: 'failover', targets: [{ model: 'poor/tiny' }, { model: 'rich/tiny' }] } },
        })
        // The second call of the list leaves alone whom the first has found without money.
        for (const [attempts, code] of [
          [2, 'quota'],
          [1, 'unavailable'],
        ] as const) {
          const { text, structured } = await gateway.ask({ model: 'either' })
          const { provider, attempts: made, substituted } = structured
          stage.equal(
            { text, provider, made, substituted },
            { text: 'fine thanks', provider: 'rich', made: attempts, substituted: [{ model: 'poor/tiny', code }] },
            `${what}: a call with another provider`,
          )
          stage.equal(poor.calls().length, 1, `${what}: requests of the list's calls`)
        }
        const alone = await gateway.ask()
        expectFault(stage, what, alone, 'quota', undefined, 1)
        stage.equal(alone.fault['retryable'], false, `${what}: retryable`)
        stage.equal(poor.calls().length, 2, `${what}: requests, with the call that goes there alone`)
      })
      return undefined
    },
  },
  {
    id: 'U20',
    what: '500, 502, 503, 504, 520 and 529, once and always, with two retries',
    async run(stage) {
      const statuses = [500, 502, 503, 504, 520, 529]
      const upstream = await stage.upstream((exchange) => {
        const [status = '500', times] = exchange.prompt.split(' ')
        return times === 'once' && exchange.attempt > 0 ? ok(exchange) : exchange.send(refusal(Number(status), {}))
      })
      await sideBySide(statuses, 3, async (status) => {
        const gateway = await stage.gateway({ providers: { a: { at: upstream, maxRetries: 2 } } })
        const code = status === 503 || status === 529 ? 'overloaded' : 'provider_error'
        const [once, always] = await Promise.all([
          gateway.ask({ prompt: `${status} once` }),
          gateway.ask({ prompt: `${status} always` }),
        ])
        stage.equal([once.text, once.structured['attempts']], ['fine thanks', 2], `${status} once`)
        expectFault(stage, `${status} always`, always, code, undefined, 3)
        stage.equal(
          upstream.calls().filter(({ prompt }) => prompt === `${status} always`).length,
          3,
          `${status} always: requests`,
        )
      })
      return undefined
    },
  },
  {
    id: 'U21',
    what: 'refusals of the request itself: one request each, the right code; a key that was replaced meanwhile',
    async run(stage) {
      const upstream = await stage.upstream((exchange) => {
        const [status, error] = refusals[exchange.prompt] ?? [500, {}]
        return exchange.send(exchange.method === 'POST' ? refusal(status, error) : refusal(404, {}))
      })
      const keyed = await stage.upstream((exchange) =>
        exchange.headers['authorization'] === `Bearer ${stage.key('fresh')}`
          ? ok(exchange)
          : exchange.send(refusal(401, { code: 'invalid_api_key' })),
      )
      const keyFile = join(stage.folder(), 'key')
      writeFileSync(keyFile, `${stage.key('filed')}\n`)
      const gateway = await stage.gateway({
        providers: { a: { at: upstream }, filed: { at: keyed, apiKeyFile: keyFile } },
        keys: { fresh: keyed },
      })
      for (const [what, [, , code]] of Object.entries(refusals)) {
        expectFault(stage, what, await gateway.ask({ prompt: what }), code, undefined, 1)
        stage.equal(upstream.calls().filter(({ prompt }) => prompt === what).length, 1, `${what}: requests`)
      }
      expectFault(stage, 'a key of a file', await gateway.ask({ model: 'filed/tiny' }), 'authentication', undefined, 1)
      writeFileSync(keyFile, `${stage.key('fresh')}\n`)
      const rotated = await gateway.ask({ model: 'filed/tiny' })
      stage.equal(
        [rotated.text, rotated.structured['attempts'], keyed.calls().length],
        ['fine thanks', 2, 3],
        'the key was replaced',
      )
      return undefined
    },
  },
  {
    id: 'U22',
    what: 'a total outage, 1 000 calls: few requests, an open circuit, and soon well again',
    heavy: true,
    async run(stage) {
      let broken = true
      const upstream = await stage.upstream((exchange) =>
        broken ? exchange.send(`${head(500, { 'content-length': 0 })}`) : ok(exchange),
      )
      const gateway = await stage.gateway({ providers: { a: { at: upstream, timeout: 5 } } })
      const codes = new Map<string, number>()
      await sideBySide(Array(outageCalls).fill(0), 50, async () => {
        const { code = 'none' } = await gateway.ask()
        codes.set(code, (codes.get(code) ?? 0) + 1)
      })
      const requests = upstream.calls().length
      stage.expect(
        requests <= outageCalls * 1.1 + 10,
        `${requests} requests for ${outageCalls} calls, at most ${outageCalls * 1.1 + 10}`,
      )
      stage.expect(codes.has('unavailable'), `no call was told that the circuit is open: ${JSON.stringify([...codes])}`)
      broken = false
      const healedMs = performance.now()
      let well = false
      while (!well && performance.now() - healedMs < 20_000) {
        well = !(await gateway.ask()).isError
        if (!well) await delay(200)
      }
      stage.expect(well, 'not well within 20 s of the outage')
      const healingS = ((performance.now() - healedMs) / 1000).toFixed(1)
      await expectAvoided(stage)
      return `${requests} requests, ${JSON.stringify(Object.fromEntries(codes))}, well after ${healingS} s`
    },
  },
]

/** A route whose first target is dead: its calls are answered, and soon nobody asks the dead one each time. */
async function expectAvoided(stage: Stage): Promise<void> {
  const dead = await stage.upstream((exchange) => exchange.send(head(500, { 'content-length': 0 })))
  const well = await stage.upstream((exchange) => ok(exchange))
  const gateway = await stage.gateway({
    providers: { dead: { at: dead, maxRetries: 1 }, well: { at: well } },
    routes: { both: { strategy: 'failover', targets: [{ model: 'dead/tiny' }, { model: 'well/tiny' }] } },
    model: 'both',
  })
  let answered = 0
  for (let call = 0; call < 40; call++) answered += (await gateway.ask()).isError ? 0 : 1
  stage.equal(answered, 40, 'calls over a route with a dead target that were answered')
  const asked = dead.calls().length
  stage.expect(asked <= 15, `the dead target of a route was asked ${asked} times in 40 calls, at most 15 are allowed`)
}
