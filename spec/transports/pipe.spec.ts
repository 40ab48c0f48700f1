import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { type Message, program } from '../harness/gateway.ts'
import { gatewayFor } from '../harness/scope.ts'

const ping = (id: number) => `${JSON.stringify({ jsonrpc: '2.0', id, method: 'ping' })}\n`
const list = (id: number) => `${JSON.stringify({ jsonrpc: '2.0', id, method: 'tools/list' })}\n`
const call = (id: number) =>
  `${JSON.stringify({ jsonrpc: '2.0', id, method: 'tools/call', params: { name: 'listModels' } })}\n`
const initialize = `${JSON.stringify({
  jsonrpc: '2.0',
  id: 0,
  method: 'initialize',
  params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'spec', version: '1' } },
})}\n`

/** The ids of the answers of a shell's pipeline around the gateway, in order, and how it ended. */
async function inShell(t: TestContext, script: string): Promise<{ ids: unknown[]; code: number | null }> {
  const child = spawn('/bin/sh', ['-c', script, 'sh', process.execPath, program], {
    env: { PATH: process.env['PATH'] ?? '' },
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  t.after(() => child.kill('SIGKILL'))
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (piece: string) => (text += piece))
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  const ids = text
    .trim()
    .split('\n')
    .filter(Boolean)
    .map((line) => (JSON.parse(line) as Message).id)
  return { ids, code }
}

describe('whatever stdin is', () => {
  const asked = initialize + list(1) + call(2) + ping(3)
  const fileOf = (t: TestContext, text: string) => {
    const directory = mkdtempSync(join(tmpdir(), 'pipe-'))
    t.after(() => rmSync(directory, { recursive: true }))
    const path = join(directory, 'asked')
    writeFileSync(path, text)
    return path
  }

  test('a pipe', async (t) => {
    const path = fileOf(t, asked)
    const { ids, code } = await inShell(t, `cat '${path}' | "$1" "$2"`)
    assert.deepEqual({ ids: ids.toSorted(), code }, { ids: [0, 1, 2, 3], code: 0 })
  })

  test('a file', async (t) => {
    const path = fileOf(t, asked)
    const { ids, code } = await inShell(t, `"$1" "$2" < '${path}'`)
    assert.deepEqual({ ids: ids.toSorted(), code }, { ids: [0, 1, 2, 3], code: 0 })
  })

  test('nothing', async (t) => {
    assert.deepEqual(await inShell(t, '"$1" "$2" < /dev/null'), { ids: [], code: 0 })
    assert.deepEqual(await inShell(t, '"$1" "$2" <&-'), { ids: [], code: 0 })
  })

  test('a pipe that another process has told not to wait', async (t) => {
    const path = fileOf(t, asked)
    // A Node that takes the same pipe for its stdin leaves it so.
    const quiet = `"$1" -e 'process.stdin.on("readable", () => process.exit())'`
    const { ids, code } = await inShell(t, `(echo; sleep 0.3; cat '${path}') | (${quiet}; "$1" "$2")`)
    assert.deepEqual({ ids: ids.toSorted(), code }, { ids: [0, 1, 2, 3], code: 0 })
  })

  test('a pipe to a file', async (t) => {
    const path = fileOf(t, '')
    const child = spawn(process.execPath, [program], { stdio: ['pipe', openSync(path, 'w'), 'ignore'] })
    t.after(() => child.kill('SIGKILL'))
    child.stdin?.end(asked)
    assert.equal(await new Promise((resolve) => child.once('exit', resolve)), 0)
    const { ids } = await inShell(t, `cat '${path}'`)
    assert.deepEqual(ids.toSorted(), [0, 1, 2, 3])
  })
})

describe('before the first call', () => {
  test('a signal before anything is said ends it as any other', async (t) => {
    for (const [signal, code] of Object.entries({ SIGTERM: 143, SIGINT: 130, SIGHUP: 129 })) {
      // By then the program listens for signals.
      const begun = `setTimeout(() => process.stderr.write('begun'), 100)`
      const gateway = gatewayFor(t, {}, ['--import', `data:text/javascript,${encodeURIComponent(begun)}`, program])
      await new Promise((resolve) => gateway.child.stderr.once('data', resolve))
      gateway.child.kill(signal as NodeJS.Signals)
      assert.deepEqual(await gateway.exited, { code, signal: null })
    }
  })

  test('a signal runs nothing anew that NODE_OPTIONS names', async (t) => {
    const NODE_OPTIONS = '--import=data:text/javascript,process.stderr.write(String(12345))'
    const gateway = gatewayFor(t, { NODE_OPTIONS, LOG_LEVEL: 'silent' })
    await gateway.request('ping')
    const closed = once(gateway.child, 'close')
    gateway.child.kill('SIGTERM')
    assert.deepEqual(await closed, [143, null])
    assert.equal(gateway.stderr(), '12345')
  })

  test('a signal ends it where there is no shell, as in the image', async (t) => {
    const noShell = `
      const fs = process.getBuiltinModule('node:fs')
      const { accessSync } = fs
      fs.accessSync = (path, mode) => {
        process.stderr.write(path + ' ')
        if (path === '/bin/sh') throw new Error('there is none')
        accessSync(path, mode)
      }`
    const preloaded = ['--import', `data:text/javascript,${encodeURIComponent(noShell)}`, program]
    const gateway = gatewayFor(t, { LOG_LEVEL: 'silent' }, preloaded)
    await gateway.request('ping')
    const closed = once(gateway.child, 'close')
    gateway.child.kill('SIGTERM')
    assert.deepEqual(await closed, [143, null])
    assert.equal(gateway.stderr(), `/bin/sh ${process.execPath} `)
  })

  test('a line comes in pieces, and several lines in one', async (t) => {
    const gateway = gatewayFor(t)
    for (const byte of ping(1)) {
      gateway.send(byte)
      await new Promise((resolve) => setImmediate(resolve))
    }
    gateway.send(initialize + list(2) + ping(3))
    for (const id of [1, 0, 2, 3]) await gateway.find((message) => message.id === id)
    assert.deepEqual(
      gateway.messages.map((message) => (message as Message).id),
      [1, 0, 2, 3],
    )
    assert.deepEqual(await gateway.end(), { code: 0, signal: null })
  })

  test('a line in a thousand pieces takes no more memory than the line', async (t) => {
    const told = `process.on('exit', () => process.stderr.write(String(process.memoryUsage().arrayBuffers)))`
    const gateway = gatewayFor(t, {}, ['--import', `data:text/javascript,${encodeURIComponent(told)}`, program])
    await gateway.request('ping')
    for (let piece = 0; piece < 1_000; piece++) {
      gateway.send('x'.repeat(100))
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
    gateway.child.stdin.end()
    await once(gateway.child, 'close')
    const [bytes] = /\d+$/.exec(gateway.stderr()) ?? []
    assert.ok(Number(bytes) < 8_000_000, `${bytes} bytes`)
  })

  test('more than a pipe holds waits for a reader, in order, and holds up nothing else', async (t) => {
    const gateway = gatewayFor(t)
    gateway.child.stdout.pause()
    const ids = Array.from({ length: 200 }, (_, id) => id)
    for (const id of ids) gateway.send(list(id))
    await new Promise((resolve) => setTimeout(resolve, 300))
    gateway.child.kill('SIGTERM')
    await new Promise((resolve) => setTimeout(resolve, 100))
    gateway.child.stdout.resume()
    assert.deepEqual(await gateway.exited, { code: 143, signal: null })
    const answered = gateway.messages.map((message) => (message as Message).id)
    assert.deepEqual(answered, ids.slice(0, answered.length))
    assert.ok(answered.length > 10, `${answered.length} answers`)
  })

  test('a reader that is gone ends it quietly', async (t) => {
    const gateway = gatewayFor(t)
    await gateway.request('ping')
    gateway.child.stdout.destroy()
    gateway.send(ping(2))
    assert.deepEqual(await gateway.exited, { code: 0, signal: null })
    assert.equal(gateway.stderr(), '')
  })

  test('what is written to stdout besides goes to stderr', async (t) => {
    const stray = `setTimeout(() => { console.log('stray'); process.stdout.write('more\\n') }, 100)`
    const gateway = gatewayFor(t, {}, ['--import', `data:text/javascript,${encodeURIComponent(stray)}`, program])
    await new Promise((resolve) => gateway.child.stderr.once('data', resolve))
    await gateway.request('ping')
    await gateway.end()
    assert.equal(gateway.stderr(), 'stray\nmore\n')
    assert.deepEqual(gateway.garbage, [])
  })
})
