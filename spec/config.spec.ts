import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import fc from 'fast-check'
import { type Config, type ProviderConfig, readConfig } from '../src/config.ts'
import type { Environment } from '../src/config-settings.ts'
import { providerVariables, variables } from '../src/config-variables.ts'

/** The environment and PROVIDER_CONFIG to one configuration, which never throws and never tells a key. */

const secret = 'sk-canary-0123456789'

const providersOf = (config: Config) => [...config.providers.values()]
const read = (env: Record<string, string>) => readConfig(env)

function only(config: Config): ProviderConfig {
  const [provider, ...others] = providersOf(config)
  assert.deepEqual(others, [])
  assert.ok(provider)
  return provider
}

function provider(config: Config, name: string): ProviderConfig {
  const found = config.providers.get(name)
  assert.ok(found, `no provider ${name}`)
  return found
}

/** Everything that the configuration would say to anybody. */
const said = (config: Config) =>
  JSON.stringify([config.problem, config.notes, providersOf(config).map(({ problem }) => problem)])

const withConfig = (file: unknown, env: Record<string, string> = {}) =>
  read({ ...env, PROVIDER_CONFIG: JSON.stringify(file) })

function folderFor(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'config-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

test('nothing set: one sentence that names what to set', () => {
  const config = read({})
  assert.deepEqual(providersOf(config), [])
  assert.match(config.problem ?? '', /OPENAI_API_KEY/)
  assert.match(config.problem ?? '', /GATEWAY_URL/)
})

test('one key is enough', () => {
  const config = read({ OPENAI_API_KEY: secret })
  const { name, type, baseUrl, key, problem, maxRetries, limits, headers } = only(config)
  assert.deepEqual(
    { name, type, baseUrl, key, problem, maxRetries, limits, headers },
    {
      name: 'openai',
      type: 'openai',
      baseUrl: 'https://api.openai.com/v1',
      key: { value: secret },
      problem: undefined,
      maxRetries: 3,
      limits: { firstByteMs: 30_000, slowFirstByteMs: 300_000, idleMs: 30_000 },
      headers: {},
    },
  )
  assert.equal(config.problem, undefined)
  assert.deepEqual(config.defaultProviders, ['openai'])
  assert.equal(config.logLevel, 'info')
  assert.ok(Object.isFrozen(config))
})

// Where calls go and which key is meant for them.
const places: [string, Record<string, string>, { name: string; baseUrl: string; key?: string }][] = [
  [
    'a base URL without a key',
    { OPENAI_BASE_URL: 'http://llm.example.com:8080/v1' },
    { name: 'openai', baseUrl: 'http://llm.example.com:8080/v1' },
  ],
  [
    'a slash at the end',
    { OPENAI_BASE_URL: 'https://llm.example.com/v1//' },
    { name: 'openai', baseUrl: 'https://llm.example.com/v1' },
  ],
  ['no scheme', { OPENAI_BASE_URL: 'llm.example.com/v1' }, { name: 'openai', baseUrl: 'https://llm.example.com/v1' }],
  [
    'spaces around',
    { OPENAI_BASE_URL: ' https://llm.example.com/v1 ', OPENAI_API_KEY: ` ${secret}\n` },
    { name: 'openai', baseUrl: 'https://llm.example.com/v1', key: secret },
  ],
  [
    'GATEWAY_URL alone',
    { GATEWAY_URL: 'https://llm.example.com/v1' },
    { name: 'openai', baseUrl: 'https://llm.example.com/v1' },
  ],
  [
    'GATEWAY_URL with its key',
    { GATEWAY_URL: 'https://llm.example.com/v1', GATEWAY_API_KEY: secret },
    { name: 'openai', baseUrl: 'https://llm.example.com/v1', key: secret },
  ],
  [
    'GATEWAY_URL with the vendor’s key',
    { GATEWAY_URL: 'https://llm.example.com/v1', OPENAI_API_KEY: secret },
    { name: 'openai', baseUrl: 'https://llm.example.com/v1', key: secret },
  ],
  [
    'GATEWAY_API_KEY before the vendor’s',
    { GATEWAY_URL: 'https://llm.example.com/v1', GATEWAY_API_KEY: secret, OPENAI_API_KEY: 'sk-other-key' },
    { name: 'openai', baseUrl: 'https://llm.example.com/v1', key: secret },
  ],
  [
    'GATEWAY_API_KEY alone',
    { GATEWAY_API_KEY: secret },
    { name: 'openai', baseUrl: 'https://api.openai.com/v1', key: secret },
  ],
  [
    'GATEWAY_URL before the vendor’s',
    { GATEWAY_URL: 'https://a.example.com/v1', OPENAI_BASE_URL: 'https://b.example.com/v1' },
    { name: 'openai', baseUrl: 'https://a.example.com/v1' },
  ],
  [
    'empty variables count as unset',
    { OPENAI_API_KEY: secret, GATEWAY_URL: '', OPENAI_BASE_URL: ' ' },
    { name: 'openai', baseUrl: 'https://api.openai.com/v1', key: secret },
  ],
]
for (const [name, env, expected] of places) {
  test(`where calls go: ${name}`, () => {
    const config = read(env)
    const found = only(config)
    assert.equal(config.problem, undefined)
    assert.equal(found.problem, undefined)
    assert.deepEqual(
      { name: found.name, baseUrl: found.baseUrl, key: found.key },
      { key: undefined, ...expected, ...(expected.key ? { key: { value: expected.key } } : {}) },
    )
  })
}

const vendors: [Record<string, string>, { name: string; baseUrl: string }][] = [
  [{ ANTHROPIC_API_KEY: secret }, { name: 'anthropic', baseUrl: 'https://api.anthropic.com' }],
  [
    { ANTHROPIC_API_KEY: secret, ANTHROPIC_BASE_URL: 'https://llm.example.com/' },
    { name: 'anthropic', baseUrl: 'https://llm.example.com' },
  ],
  [
    { AZURE_OPENAI_API_KEY: secret, AZURE_OPENAI_ENDPOINT: 'https://mine.openai.azure.com/' },
    { name: 'azure', baseUrl: 'https://mine.openai.azure.com' },
  ],
]
for (const [env, { name, baseUrl }] of vendors) {
  test(`a vendor's usual variables turn it on: ${Object.keys(env).join(', ')}`, () => {
    const found = only(read(env))
    assert.deepEqual(
      { name: found.name, type: found.type, baseUrl: found.baseUrl, key: found.key, problem: found.problem },
      { name, type: name, baseUrl, key: { value: secret }, problem: undefined },
    )
  })
}

test('an Azure key without its endpoint says which variable to set', () => {
  assert.match(only(read({ AZURE_OPENAI_API_KEY: secret })).problem ?? '', /AZURE_OPENAI_ENDPOINT/)
})

const hosts: [Record<string, string>, string, string][] = [
  [{ OLLAMA_HOST: 'http://127.0.0.1:11434' }, 'ollama', 'http://127.0.0.1:11434'],
  [{ OLLAMA_HOST: '0.0.0.0' }, 'ollama', 'http://127.0.0.1:11434'],
  [{ OLLAMA_HOST: '0.0.0.0:11435' }, 'ollama', 'http://127.0.0.1:11435'],
  [{ OLLAMA_HOST: ':11435' }, 'ollama', 'http://127.0.0.1:11435'],
  [{ OLLAMA_HOST: '[::]:11435' }, 'ollama', 'http://127.0.0.1:11435'],
  [{ OLLAMA_HOST: 'box.example.com' }, 'ollama', 'http://box.example.com:11434'],
  [{ OLLAMA_HOST: 'https://box.example.com' }, 'ollama', 'https://box.example.com'],
  [{ OLLAMA_BASE_URL: 'http://box.example.com:1/' }, 'ollama', 'http://box.example.com:1'],
  [{ LMSTUDIO_HOST: 'localhost:1234' }, 'lmstudio', 'http://localhost:1234'],
  [{ LMSTUDIO_HOST: 'box.example.com' }, 'lmstudio', 'http://box.example.com:1234'],
  [{ LMSTUDIO_BASE_URL: 'http://localhost:1234/v1' }, 'lmstudio', 'http://localhost:1234'],
  [{ PROVIDER_TYPE: 'ollama' }, 'ollama', 'http://127.0.0.1:11434'],
  [{ PROVIDER_TYPE: 'LMStudio' }, 'lmstudio', 'http://127.0.0.1:1234'],
]
for (const [env, name, origin] of hosts) {
  test(`a server of one’s own: ${JSON.stringify(env)}`, () => {
    const config = read(env)
    const found = only(config)
    assert.equal(found.name, name)
    assert.equal(new URL(found.baseUrl).origin, origin)
    assert.equal(found.problem, undefined)
    assert.deepEqual(found.limits, { firstByteMs: 300_000, slowFirstByteMs: 300_000, idleMs: 300_000 })
  })
}

/** What a container finds under each address: its own machine is not the one that the models run on. */
const aroundContainer: [Record<string, string>, string, string][] = [
  [{ PROVIDER_TYPE: 'ollama' }, 'ollama', 'http://host.docker.internal:11434'],
  [{ PROVIDER_TYPE: 'lmstudio' }, 'lmstudio', 'http://host.docker.internal:1234/v1'],
  [{ PROVIDER_TYPE: 'local' }, 'ollama', 'http://host.docker.internal:11434'],
  [{ PROVIDER_TYPE: 'local' }, 'lmstudio', 'http://host.docker.internal:1234/v1'],
  [{ PROVIDER_TYPE: 'vllm' }, 'vllm', 'http://host.docker.internal:8000/v1'],
  [{ OLLAMA_HOST: '0.0.0.0' }, 'ollama', 'http://host.docker.internal:11434'],
  [{ OLLAMA_HOST: ':11435' }, 'ollama', 'http://host.docker.internal:11435'],
  [{ OLLAMA_HOST: '127.0.0.1' }, 'ollama', 'http://127.0.0.1:11434'],
  [{ OLLAMA_HOST: 'box.example.com' }, 'ollama', 'http://box.example.com:11434'],
  [{ OPENAI_BASE_URL: 'http://0.0.0.0:8080/v1' }, 'openai', 'http://127.0.0.1:8080/v1'],
  [{ OPENAI_API_KEY: secret }, 'openai', 'https://api.openai.com/v1'],
]
for (const [env, name, baseUrl] of aroundContainer) {
  test(`GATEWAY_LOCAL_HOST stands where no host is given: ${JSON.stringify(env)}, ${name}`, () => {
    const config = read({ ...env, GATEWAY_LOCAL_HOST: 'host.docker.internal' })
    assert.equal(provider(config, name).baseUrl, baseUrl)
    assert.equal(config.problem, undefined)
  })
}

test('GATEWAY_LOCAL_HOST is a host and nothing else', () => {
  for (const host of ['http://host', 'host:1', 'a b', 'user@host', 'host/path', '[::1']) {
    const config = read({ PROVIDER_TYPE: 'ollama', GATEWAY_LOCAL_HOST: host })
    assert.match(config.problem ?? '', /^GATEWAY_LOCAL_HOST /, host)
    assert.equal(provider(config, 'ollama').baseUrl, 'http://127.0.0.1:11434')
  }
  const [found] = providersOf(read({ PROVIDER_TYPE: 'ollama', GATEWAY_LOCAL_HOST: '[::1]' }))
  assert.equal(found?.baseUrl, 'http://[::1]:11434')
})

const inferred: [Record<string, string>, string][] = [
  [{ GATEWAY_URL: 'https://api.openai.com/v1' }, 'openai'],
  [{ GATEWAY_URL: 'http://localhost:11434' }, 'ollama'],
  [{ GATEWAY_URL: 'localhost:11434' }, 'ollama'],
  [{ GATEWAY_URL: 'http://box:1234/v1' }, 'lmstudio'],
  [{ GATEWAY_URL: 'http://192.168.1.5:11434' }, 'ollama'],
  [{ GATEWAY_URL: 'https://box.example.com:1234/v1' }, 'openai'],
  [{ GATEWAY_URL: 'http://box.example.com:9999/v1' }, 'openai'],
  [{ GATEWAY_URL: 'http://box.example.com:114340/v1' }, 'openai'],
  [{ GATEWAY_URL: 'http://localhost:11434/v1', PROVIDER_TYPE: 'openai' }, 'openai'],
  [{ GATEWAY_URL: 'https://llm.example.com/v1', PROVIDER_TYPE: 'ollama' }, 'ollama'],
]
for (const [env, type] of inferred) {
  test(`the kind of provider: ${JSON.stringify(env)} is ${type}`, () => {
    assert.deepEqual(read(env).defaultProviders, [type])
  })
}

test('GATEWAY_URL with the /v1 of a server that speaks two dialects does not get a second path', () => {
  const { type, baseUrl } = only(read({ GATEWAY_URL: 'http://127.0.0.1:11434/v1' }))
  assert.equal(baseUrl, `http://127.0.0.1:11434${type === 'openai' ? '/v1' : ''}`)
})

test('PROVIDER_TYPE=local leaves open which server it is, and prefers the first that is there', () => {
  const config = read({ PROVIDER_TYPE: 'local' })
  assert.deepEqual(config.defaultProviders, ['ollama', 'lmstudio'])
  assert.deepEqual([...config.providers.keys()], ['ollama', 'lmstudio'])
})

test('several providers at once, each with its own key; the gateway’s is the default', () => {
  const config = read({
    OPENAI_API_KEY: secret,
    OLLAMA_HOST: 'http://127.0.0.1:11434',
    GATEWAY_URL: 'http://127.0.0.1:1234/v1',
    GATEWAY_API_KEY: 'gateway-key',
    PROVIDER_TYPE: 'lmstudio',
  })
  assert.deepEqual(new Set(config.providers.keys()), new Set(['openai', 'ollama', 'lmstudio']))
  assert.deepEqual(config.defaultProviders, ['lmstudio'])
  assert.deepEqual(provider(config, 'openai').key, { value: secret })
  assert.deepEqual(provider(config, 'lmstudio').key, { value: 'gateway-key' })
  assert.equal(provider(config, 'ollama').key, undefined)
})

test('a key for a server that needs none does not turn it on', () => {
  assert.deepEqual(
    [...read({ OPENAI_API_KEY: secret, OLLAMA_API_KEY: 'x', LMSTUDIO_API_KEY: 'y' }).providers.keys()],
    ['openai'],
  )
})

for (const name of ['OPENAI_API_KEY', 'GATEWAY_API_KEY']) {
  test(`${name}_FILE names a file; ${name} itself goes before it`, () => {
    assert.deepEqual(only(read({ [`${name}_FILE`]: '/run/secrets/key' })).key, {
      file: '/run/secrets/key',
      setBy: `${name}_FILE`,
    })
    assert.deepEqual(only(read({ [`${name}_FILE`]: '/run/secrets/key', [name]: secret })).key, { value: secret })
  })
}

const placeholders = [
  '<UNKNOWN>',
  '<your-api-key>',
  '$OPENAI_API_KEY',
  `\${OPENAI_API_KEY}`,
  `\${input:key}`,
  '{{OPENAI_API_KEY}}',
  'your-api-key',
  'YOUR_API_KEY_HERE',
  'se://docker/mcp/x',
]
for (const value of placeholders) {
  test(`${value} is nobody's key`, () => {
    const config = read({ OPENAI_API_KEY: value })
    assert.deepEqual(providersOf(config), [])
    assert.match(config.problem ?? '', /OPENAI_API_KEY/)
    assert.match(config.notes.join(), /OPENAI_API_KEY/)
    const inFile = withConfig({ providers: { mine: { type: 'openai', apiKey: value } } })
    assert.equal(provider(inFile, 'mine').key, undefined)
  })
}

for (const value of ['sk-proj-abc', 'lm-studio', 'not-needed', 'a$b', 'sk-<x>']) {
  test(`${value} may be a key`, () => {
    assert.deepEqual(only(read({ OPENAI_API_KEY: value })).key, { value })
  })
}

const timeouts: [string, number][] = [
  ['45', 45_000],
  ['0.5', 500],
  ['86400', 86_400_000],
]
for (const [value, ms] of timeouts) {
  test(`TIMEOUT=${value} holds for hosted and local providers, and for slow beginnings`, () => {
    const config = read({ TIMEOUT: value, OPENAI_API_KEY: secret, OLLAMA_HOST: 'localhost' })
    for (const { limits } of providersOf(config))
      assert.deepEqual(limits, { firstByteMs: ms, slowFirstByteMs: ms, idleMs: ms })
  })
}

for (const value of ['0', '-1', '86401', 'soon', 'Infinity', 'NaN', '30s', '1e400']) {
  test(`TIMEOUT=${value} is told by its name`, () => {
    assert.match(read({ TIMEOUT: value, OPENAI_API_KEY: secret }).problem ?? '', /TIMEOUT/)
  })
}

test('MAX_RETRIES from none to twenty, and nothing else', () => {
  for (const [value, retries] of [
    ['0', 0],
    ['20', 20],
  ] as const) {
    assert.equal(only(read({ MAX_RETRIES: value, OPENAI_API_KEY: secret })).maxRetries, retries)
  }
  for (const value of ['-1', '21', '1.5', 'many', 'Infinity']) {
    assert.match(read({ MAX_RETRIES: value, OPENAI_API_KEY: secret }).problem ?? '', /MAX_RETRIES/)
  }
})

test('a wrong PROVIDER_TYPE is told with what would be right', () => {
  const { problem = '' } = read({ PROVIDER_TYPE: 'openia', OPENAI_API_KEY: secret })
  assert.match(problem, /PROVIDER_TYPE/)
  assert.match(problem, /openia/)
  assert.match(problem, /ollama/)
})

for (const level of ['debug', 'info', 'warn', 'error', 'silent']) {
  test(`LOG_LEVEL=${level}`, () => {
    assert.equal(read({ LOG_LEVEL: level.toUpperCase() }).logLevel, level)
  })
}

test('a wrong LOG_LEVEL costs a note and nothing else', () => {
  const config = read({ LOG_LEVEL: 'loud', OPENAI_API_KEY: secret })
  assert.equal(config.logLevel, 'info')
  assert.equal(config.problem, undefined)
  assert.match(config.notes.join(), /LOG_LEVEL/)
})

for (const url of [
  'ftp://llm.example.com',
  'https://user:pw@llm.example.com/v1',
  'https://',
  'http://a b/',
  'file:///etc/passwd',
  'javascript:alert(1)',
]) {
  test(`GATEWAY_URL=${url} is told by its name, and no key is bound to it`, () => {
    const config = read({ GATEWAY_URL: url, GATEWAY_API_KEY: secret })
    const found = only(config)
    assert.match(found.problem ?? config.problem ?? '', /GATEWAY_URL/)
    assert.equal(found.key, undefined)
    assert.doesNotMatch(said(config), /:pw@/)
  })
}

test('proxies, in capitals and not', () => {
  assert.deepEqual(read({ HTTP_PROXY: 'http://a', HTTPS_PROXY: 'http://b', NO_PROXY: 'c' }).proxy, {
    http: 'http://a',
    https: 'http://b',
    except: 'c',
  })
  assert.deepEqual(read({ http_proxy: 'http://a', https_proxy: 'http://b', no_proxy: 'c' }).proxy, {
    http: 'http://a',
    https: 'http://b',
    except: 'c',
  })
  assert.deepEqual(read({}).proxy, { http: undefined, https: undefined, except: undefined })
})

test('a proxy that is none stops only the calls that would go through it', () => {
  const both = { OPENAI_API_KEY: 'sk-0123456789', OLLAMA_HOST: 'http://127.0.0.1:11434' }
  const problems = (env: Record<string, string>) => {
    const { problem, providers } = read({ ...both, ...env })
    assert.equal(problem, undefined)
    return Object.fromEntries([...providers].map(([name, provider]) => [name, provider.problem]))
  }
  const said = (name: string) => `${name} is not the URL of an http proxy`
  assert.deepEqual(problems({ HTTPS_PROXY: 'socks5://a:1080' }), { openai: said('HTTPS_PROXY'), ollama: undefined })
  assert.deepEqual(problems({ HTTP_PROXY: 'not a url', HTTPS_PROXY: 'http://b' }), {
    openai: undefined,
    ollama: said('HTTP_PROXY'),
  })
  assert.deepEqual(problems({ http_proxy: 'ftp://a' }), { openai: said('HTTP_PROXY'), ollama: said('HTTP_PROXY') })
})

const example = {
  providers: {
    mine: {
      type: 'openai',
      baseUrl: 'https://llm.example.com/v1',
      apiKey: secret,
      headers: { 'x-team': 'a' },
      defaultModel: 'gpt-5-mini',
      timeout: 30,
      maxRetries: 3,
      maxConcurrency: 16,
      requestsPerMinute: 600,
    },
  },
  routes: { best: { strategy: 'failover', targets: [{ model: 'mine/gpt-5', weight: 2 }, { model: 'gpt-5-mini' }] } },
  defaultModel: 'best',
}

function assertExample(config: Config): void {
  assert.equal(config.problem, undefined)
  const { name, type, baseUrl, key, headers, defaultModel, limits, maxRetries, maxConcurrency, requestsPerMinute } =
    only(config)
  assert.deepEqual(
    { name, type, baseUrl, key, headers, defaultModel, limits, maxRetries, maxConcurrency, requestsPerMinute },
    {
      name: 'mine',
      type: 'openai',
      baseUrl: 'https://llm.example.com/v1',
      key: { value: secret },
      headers: { 'x-team': 'a' },
      defaultModel: 'gpt-5-mini',
      limits: { firstByteMs: 30_000, slowFirstByteMs: 30_000, idleMs: 30_000 },
      maxRetries: 3,
      maxConcurrency: 16,
      requestsPerMinute: 600,
    },
  )
  assert.deepEqual(
    [...config.routes],
    [
      [
        'best',
        {
          failoverOn: [],
          strategy: 'failover',
          targets: [
            { model: 'mine/gpt-5', weight: 2 },
            { model: 'gpt-5-mini', weight: 1 },
          ],
        },
      ],
    ],
  )
  assert.equal(config.defaultModel, 'best')
  assert.deepEqual(config.defaultProviders, ['mine'])
}

test("PROVIDER_CONFIG: the contract's own example, as text and as a file", (t) => {
  assertExample(withConfig(example))
  assertExample(read({ PROVIDER_CONFIG: `  ${JSON.stringify(example, undefined, 2)}\n` }))
  const path = join(folderFor(t), 'config.json')
  writeFileSync(path, `\ufeff${JSON.stringify({ $schema: 'https://example.com/schema.json', ...example })}`)
  assertExample(read({ PROVIDER_CONFIG: path }))
})

for (const strategy of ['failover', 'weighted', 'round-robin', 'least-latency']) {
  test(`PROVIDER_CONFIG: a route by ${strategy}`, () => {
    const config = withConfig({ ...example, routes: { best: { strategy, targets: [{ model: 'a', weight: 0.5 }] } } })
    assert.equal(config.problem, undefined)
    assert.equal(config.routes.get('best')?.strategy, strategy)
  })
}

test('PROVIDER_CONFIG: a key by value, by variable and by file', () => {
  const config = withConfig(
    {
      providers: {
        a: { type: 'openai', apiKey: secret },
        b: { type: 'openai', apiKeyEnv: 'COMPANY_KEY' },
        c: { type: 'openai', apiKeyEnv: 'OTHER_KEY' },
        d: { type: 'openai', apiKeyFile: '/run/secrets/d' },
      },
    },
    { COMPANY_KEY: 'company-key', OTHER_KEY_FILE: '/run/secrets/other' },
  )
  assert.deepEqual(provider(config, 'a').key, { value: secret })
  assert.deepEqual(provider(config, 'b').key, { value: 'company-key' })
  assert.deepEqual(provider(config, 'c').key, { file: '/run/secrets/other', setBy: 'OTHER_KEY_FILE' })
  assert.deepEqual(provider(config, 'd').key, {
    file: '/run/secrets/d',
    setBy: 'PROVIDER_CONFIG providers.d.apiKeyFile',
  })
})

test('PROVIDER_CONFIG refines a provider of the environment, which keeps its place and key', () => {
  const config = withConfig(
    { providers: { openai: { type: 'openai', timeout: 5, defaultModel: 'x' } } },
    { OPENAI_BASE_URL: 'https://llm.example.com/v1', OPENAI_API_KEY: secret },
  )
  const { baseUrl, key, limits, defaultModel } = only(config)
  assert.deepEqual(
    [baseUrl, key, limits.idleMs, defaultModel],
    ['https://llm.example.com/v1', { value: secret }, 5000, 'x'],
  )
})

for (const [variables, type, names] of [
  [{ GATEWAY_URL: 'ftp://llm.example.com' }, 'openai', /GATEWAY_URL/],
  [{ AZURE_OPENAI_API_KEY: secret }, 'azure', /AZURE_OPENAI_ENDPOINT/],
] as const) {
  test(`what is wrong with a provider of the environment, ${names.source}, stays wrong when the file refines it`, () => {
    const config = withConfig({ providers: { [type]: { type, timeout: 5 } } }, variables)
    assert.match(provider(config, type).problem ?? config.problem ?? '', names)
  })
}

test('DEFAULT_MODEL goes before the default of the file', () => {
  assert.equal(withConfig(example, { DEFAULT_MODEL: 'mine/other' }).defaultModel, 'mine/other')
})

test('a provider that needs a key and has none says which variable to set; the others are fine', () => {
  const config = withConfig({ providers: { openai: { type: 'openai' } } }, { OLLAMA_HOST: 'localhost' })
  assert.equal(config.problem, undefined)
  assert.match(provider(config, 'openai').problem ?? '', /OPENAI_API_KEY/)
  assert.equal(provider(config, 'ollama').problem, undefined)
})

for (const [name, value] of [
  ['bad name', 'x'],
  ['x-a', 'a\nb'],
  ['', 'x'],
  ['x-a', 'é'],
] as const) {
  test(`a header that cannot be sent, ${JSON.stringify([name, value])}, is told by its name`, () => {
    const found = provider(
      withConfig({
        providers: { mine: { type: 'openai', baseUrl: 'https://llm.example.com/v1', headers: { [name]: value } } },
      }),
      'mine',
    )
    assert.match(found.problem ?? '', /headers/)
    assert.ok(value === 'x' || !found.problem?.includes(value))
  })
}

// A key of the environment is meant for its own provider, and for nobody that the file has chosen.
const elsewhere = 'https://elsewhere.example.com/v1'
const strays: [string, unknown][] = [
  ['a URL under the same name', { openai: { type: 'openai', baseUrl: elsewhere } }],
  ['a URL under another name', { mine: { type: 'openai', baseUrl: elsewhere } }],
  ['another kind under the same name', { openai: { type: 'ollama' } }],
  ['another kind and URL under the same name', { openai: { type: 'lmstudio', baseUrl: elsewhere } }],
  ['a kind that has its own home', { mine: { type: 'ollama' } }],
]
for (const [name, providers] of strays) {
  test(`a key of the environment does not follow ${name}`, () => {
    const config = withConfig({ providers }, { OPENAI_API_KEY: secret })
    for (const { baseUrl, key } of providersOf(config)) {
      const { hostname } = new URL(baseUrl)
      if (hostname !== 'api.openai.com') assert.equal(key, undefined, `the key would go to ${hostname}`)
    }
  })
}

test('a key of the environment does not leave the base URL that the environment gives it', () => {
  const config = withConfig(
    { providers: { mine: { type: 'openai' } } },
    { OPENAI_BASE_URL: elsewhere, OPENAI_API_KEY: secret },
  )
  for (const { baseUrl, key } of providersOf(config)) {
    if (!baseUrl.startsWith(elsewhere)) assert.equal(key, undefined, `the key would go to ${baseUrl}`)
  }
})

const mistakes: [string, unknown, RegExp][] = [
  ['an unknown member at the top', { provider: {} }, /provider/],
  ['an unknown member of a provider', { providers: { a: { type: 'openai', apikey: secret } } }, /providers\.a/],
  ['an unknown kind', { providers: { a: { type: 'openia' } } }, /providers\.a\.type/],
  ['no kind', { providers: { a: {} } }, /providers\.a\.type/],
  ['a timeout of nothing', { providers: { a: { type: 'openai', timeout: 0 } } }, /providers\.a\.timeout/],
  ['retries without end', { providers: { a: { type: 'openai', maxRetries: 1000 } } }, /providers\.a\.maxRetries/],
  ['a number as text', { providers: { a: { type: 'openai', timeout: '30' } } }, /providers\.a\.timeout/],
  ['an unknown strategy', { routes: { a: { strategy: 'best', targets: [{ model: 'x' }] } } }, /routes\.a\.strategy/],
  ['a route to nowhere', { routes: { a: { strategy: 'failover', targets: [] } } }, /routes\.a\.targets/],
  [
    'a route to a route',
    {
      routes: {
        a: { strategy: 'failover', targets: [{ model: 'a' }, { model: 'p/b' }, { model: 'b' }] },
        b: { strategy: 'failover', targets: [{ model: 'x' }] },
        'p/b': { strategy: 'failover', targets: [{ model: 'p/b' }] },
      },
    },
    /routes\.a\.targets\.2\.model .*: it is a route, and no model/,
  ],
  [
    'a weight of nothing',
    { routes: { a: { strategy: 'weighted', targets: [{ model: 'x', weight: 0 }] } } },
    /routes\.a\.targets/,
  ],
  ['a name that holds a slash', { providers: { 'a/b': { type: 'openai' } } }, /a\/b/],
  ['no object', [], /PROVIDER_CONFIG/],
]
for (const [name, file, where] of mistakes) {
  test(`PROVIDER_CONFIG: ${name} is told by its place`, () => {
    const config = withConfig(file, { OPENAI_API_KEY: secret })
    assert.match(config.problem ?? '', /PROVIDER_CONFIG/)
    assert.match(config.problem ?? '', where)
    assert.ok(!said(config).includes(secret))
  })
}

// Written as a person writes a file: the place is the one that an editor shows.
const misspellings: [string, string, string][] = [
  [
    'a name',
    '{\n  "providers": {\n    "a": { "type": "openai", "baseURL": "x" }\n  }\n}',
    'providers.a.baseURL (line 3, column 30): there is no such name; the nearest known one is baseUrl',
  ],
  [
    'a type',
    '{"providers":\r\n{"a":{"type":"opnai"}}}',
    'providers.a.type (line 2, column 7): not a value that it can have; the nearest known one is openai',
  ],
  [
    'a section',
    '{"provider": {}}',
    'provider (line 1, column 2): there is no such name; the nearest known one is providers',
  ],
  [
    'a strategy',
    '{"routes":{"a":{"strategy":"fail-over","targets":[{"model":"x"}]}}}',
    'routes.a.strategy (line 1, column 17): not a value that it can have; the nearest known one is failover',
  ],
  [
    'a member of a target',
    '{"routes":{"a":{"strategy":"failover","targets":[{"modle":"x","model":"x"}]}}}',
    'routes.a.targets.0.modle (line 1, column 51): there is no such name; the nearest known one is model',
  ],
]
for (const [name, text, says] of misspellings) {
  test(`PROVIDER_CONFIG: ${name} that is misspelt is told with its place and the likest one`, () => {
    assert.equal(read({ PROVIDER_CONFIG: text }).problem, `PROVIDER_CONFIG: ${says}`)
  })
}

const slips: [string, string][] = [
  ['{"providers": {"a": {"type": "openai",}}}', 'line 1, column 39: a name in double quotes is missing'],
  ['{\n  // mine\n  "providers": {}\n}', 'line 2, column 3: JSON has no comments'],
  ['{\n  "providers": {}\n  "routes": {}\n}', 'line 3, column 3: a comma is missing'],
  ['{"providers": {', 'line 1, column 16: a } is missing'],
]
for (const [text, says] of slips) {
  test(`PROVIDER_CONFIG: ${says}`, () => {
    const { problem } = read({ PROVIDER_CONFIG: text })
    assert.equal(problem, `PROVIDER_CONFIG is not valid JSON (${says}); it holds JSON text or the path of a JSON file`)
  })
}

// However the text is broken, it may hold a key, and is not quoted.
const broken: [string, string][] = [
  ['cut off', JSON.stringify(example).slice(0, -5)],
  ['with a comma too many', `{"providers":{"a":{"type":"openai","apiKey":"${secret}",}}}`],
  ['in the quotes that a shell would have taken off', `'${JSON.stringify(example)}'`],
  ['in double quotes', `"${JSON.stringify(example)}"`],
  ['a list', JSON.stringify([example])],
  ['behind a byte order mark', `\ufeff\ufeff${JSON.stringify(example)}`],
  ['nested without end', '['.repeat(100_000)],
  ['nested deep, and whole', `{"x":${'['.repeat(100_000)}${']'.repeat(100_000)}}`],
  ['very long', `'${JSON.stringify({ ...example, defaultModel: 'x'.repeat(10_000) })}'`],
]
for (const [name, text] of broken) {
  test(`PROVIDER_CONFIG ${name} is told without a word of it`, () => {
    const config = read({ PROVIDER_CONFIG: text, OPENAI_API_KEY: 'sk-other-key' })
    assert.ok(!said(config).includes(secret), 'the key is quoted')
    if (config.problem !== undefined) assert.match(config.problem, /PROVIDER_CONFIG/)
  })
}

test('PROVIDER_CONFIG: a file that is not there, a folder, and one that is no JSON are told', (t) => {
  const folder = folderFor(t)
  const bad = join(folder, 'bad.json')
  writeFileSync(bad, `{"apiKey": "${secret}"`)
  for (const path of [join(folder, 'none.json'), folder, bad]) {
    const { problem = '' } = read({ PROVIDER_CONFIG: path })
    assert.match(problem, /PROVIDER_CONFIG/)
    assert.ok(!problem.includes(secret))
  }
})

for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
  test(`${name} is a name like any other`, () => {
    const text = `{"providers":{"mine":{"type":"openai","baseUrl":"https://llm.example.com/v1","apiKeyEnv":"${name}"}}}`
    assert.doesNotThrow(() => read({ PROVIDER_CONFIG: text }))
    assert.doesNotThrow(() => readConfig({ ...process.env, PROVIDER_CONFIG: text } as Environment))
    for (const config of [
      read({ PROVIDER_TYPE: name, OPENAI_API_KEY: secret }),
      read({ PROVIDER_CONFIG: `{"providers":{"mine":{"type":"${name}"}}}` }),
      read({ PROVIDER_CONFIG: `{"${name}":{"polluted":true}}`, OPENAI_API_KEY: secret }),
    ]) {
      assert.ok(config.problem !== undefined || name === '__proto__')
    }
    assert.equal(({} as Record<string, unknown>)['polluted'], undefined)
  })
}

test('whatever the environment holds, reading it does not throw and tells no key', () => {
  const names = [
    ...'GATEWAY_URL PROVIDER_TYPE DEFAULT_MODEL TIMEOUT MAX_RETRIES LOG_LEVEL GATEWAY_RECORD HTTP_PROXY NO_PROXY'.split(
      ' ',
    ),
    ...'OPENAI_BASE_URL OLLAMA_HOST LMSTUDIO_HOST'.split(' '),
  ]
  const value = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 30 }),
    fc.webUrl(),
    fc.constantFrom(
      'openai',
      'ollama',
      'http://',
      '[::',
      ':',
      '0',
      '-0',
      '1e308',
      '\0',
      '//x',
      '%',
      'http://[::1]:99999',
    ),
  )
  const leaf = fc.oneof(
    fc.string({ maxLength: 10 }),
    fc.double(),
    fc.boolean(),
    fc.constant(null),
    fc.constantFrom('openai', 'failover', 'https://llm.example.com'),
  )
  const entry = fc.dictionary(
    fc.constantFrom('type', 'baseUrl', 'apiKey', 'apiKeyFile', 'headers', 'timeout', 'maxRetries', 'x'),
    fc.oneof(leaf, fc.dictionary(fc.string(), leaf)),
    { maxKeys: 5 },
  )
  const file = fc.dictionary(
    fc.constantFrom('providers', 'routes', 'defaultModel', 'x'),
    fc.oneof(leaf, fc.dictionary(fc.string({ maxLength: 8 }), fc.oneof(leaf, entry), { maxKeys: 3 })),
  )
  fc.assert(
    fc.property(
      fc.dictionary(fc.constantFrom(...names), value, { maxKeys: 6 }),
      fc.option(file, { nil: undefined }),
      (env, config) => {
        const fuzzed = {
          ...env,
          OPENAI_API_KEY: secret,
          GATEWAY_API_KEY: secret,
          ...(config ? { PROVIDER_CONFIG: JSON.stringify(config) } : {}),
        }
        const { problem, providers } = readConfig(fuzzed)
        assert.ok(problem === undefined || problem.length > 0)
        for (const found of providers.values()) {
          assert.ok(/^https?:$/.test(new URL(found.baseUrl).protocol))
          assert.ok(!found.baseUrl.endsWith('/'))
        }
        assert.ok(!said(readConfig(fuzzed)).includes(secret))
      },
    ),
    { numRuns: 400 },
  )
})

test('every variable of the contract is in the tables that the README shows', () => {
  const listed = [
    ...variables.map(({ name }) => name),
    ...providerVariables.flatMap(({ key, url }) => [key, url]),
  ].join(' ')
  for (const name of 'GATEWAY_URL GATEWAY_API_KEY PROVIDER_TYPE DEFAULT_MODEL TIMEOUT MAX_RETRIES PROVIDER_CONFIG LOG_LEVEL OPENAI_API_KEY OPENAI_BASE_URL ANTHROPIC_API_KEY AZURE_OPENAI_API_KEY AZURE_OPENAI_ENDPOINT OLLAMA_HOST LMSTUDIO_HOST HTTPS_PROXY NO_PROXY NODE_EXTRA_CA_CERTS'.split(
    ' ',
  )) {
    assert.ok(listed.includes(name), name)
  }
  for (const { meaning, default: value } of variables) assert.ok(meaning.length > 0 && value.length > 0)
})
