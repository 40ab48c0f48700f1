import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ProviderConfig, readConfig } from '../../src/config.ts'
import { Fault } from '../../src/errors.ts'
import { createHealth } from '../../src/pipeline/health.ts'
import type { Route } from '../../src/pipeline/router.ts'

/** How routes have fared, and in which order they are tried for it. */

const config = readConfig({
  PROVIDER_CONFIG: JSON.stringify({ providers: { a: { type: 'openai', baseUrl: 'https://llm.example.com/v1' } } }),
})
const provider = config.providers.get('a') as ProviderConfig
const routeTo = (model: string): Route => ({
  provider,
  target: { provider: 'a', model, baseUrl: provider.baseUrl, headers: {} },
})

test('no route is lost while its rest ends, however the time passes between two looks at the clock', () => {
  let nowMs = 0
  const health = createHealth(() => nowMs++)
  const routes = [routeTo('one'), routeTo('two')]
  for (const route of routes) {
    for (let time = 0; time < 5; time++) health.failed(route, new Fault('network', 'down', { cause: 'reset' }))
  }
  for (nowMs = 14_980; nowMs < 15_040; ) {
    const startedMs = nowMs
    assert.equal(health.order(routes).length, 2, `at ${startedMs} ms`)
    nowMs = startedMs + 1
  }
})
