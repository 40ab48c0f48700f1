import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { beginStream, streamEnd } from '../harness/chat-script.ts'
import { onTerminal, run, startCommand } from '../harness/command-line.ts'
import { at, gate, pointedAt, until, upstreamFor } from '../harness/scope.ts'
import { chatChunk, chatStream, sendJson, sendStream } from '../harness/upstream.ts'

const hello = '{"prompt":"hi"}'
const colour = '\u001b['

describe('call', () => {
  test('prints the text of the answer and nothing else into a pipe', async (t) => {
    const upstream = await upstreamFor(t, (_, response) => sendStream(response, chatStream(['Hel', 'lo ', 'wörld'])))
    const ended = await run(t, ['call', 'createCompletion', hello], { env: pointedAt(upstream) })
    assert.deepEqual(ended, { code: 0, signal: null, stdout: 'Hello wörld\n', stderr: '' })
  })

  test('prints each piece when it comes', async (t) => {
    const { opened, open } = gate()
    const upstream = await upstreamFor(t, async (_, response) => {
      beginStream(response, 'first')
      await opened
      response.end(chatChunk({ content: ' second' }) + streamEnd)
    })
    const running = startCommand(t, ['call', 'createCompletion', hello], { env: pointedAt(upstream) })
    await until(() => running.stdout() === 'first')
    open()
    assert.equal((await running.ended).stdout, 'first second\n')
  })

  test('Ctrl-C closes the connection to the provider', async (t) => {
    const upstream = await upstreamFor(t, (_, response) => beginStream(response, 'first'))
    const running = startCommand(t, ['call', 'createCompletion', hello], { env: pointedAt(upstream) })
    await until(() => running.stdout() === 'first')
    running.child.kill('SIGINT')
    const [ended] = await Promise.all([running.ended, upstream.closed(0)])
    assert.deepEqual(ended, { code: 130, signal: null, stdout: 'first', stderr: '' })
  })

  test('a reader that goes away ends the call and the connection', async (t) => {
    const upstream = await upstreamFor(t, async (_, response) => {
      beginStream(response, 'first')
      const timer = setInterval(() => response.write(chatChunk({ content: 'more ' })), 5)
      response.on('close', () => clearInterval(timer))
    })
    const running = startCommand(t, ['call', 'createCompletion', hello], { env: pointedAt(upstream) })
    await until(() => running.stdout().startsWith('first'))
    running.child.stdout?.destroy()
    const [ended] = await Promise.all([running.ended, upstream.closed(0)])
    assert.equal(ended.code, 141)
    assert.equal(ended.stderr, '')
  })

  test('a reader that is slow gets everything, and slows the provider', async (t) => {
    const piece = 'x'.repeat(64 * 1024)
    const upstream = await upstreamFor(t, (_, response) => sendStream(response, chatStream(Array(100).fill(piece))))
    const running = startCommand(t, ['call', 'createCompletion', hello], { env: pointedAt(upstream) })
    running.child.stdout?.pause()
    await new Promise((resolve) => setTimeout(resolve, 500))
    running.child.stdout?.resume()
    const { code, stdout, stderr } = await running.ended
    assert.deepEqual([code, stderr, stdout.length], [0, '', 100 * piece.length + 1])
  })

  test('a failed call is one sentence on stderr, behind the text that had come', async (t) => {
    const upstream = await upstreamFor(t, async (_, response) => {
      beginStream(response, 'half an ans')
      setTimeout(() => response.destroy(), 20)
    })
    const ended = await run(t, ['call', 'createCompletion', hello], { env: pointedAt(upstream) })
    assert.equal(ended.code, 1)
    assert.equal(ended.stdout, 'half an ans\n')
    assert.match(ended.stderr, /^The call to openai \(tiny\) failed: .*\n$/)
  })

  test('--json prints the result of the tool, of a success and of a failure', async (t) => {
    const upstream = await upstreamFor(t, (_, response, number) => {
      if (number === 0) sendStream(response, chatStream(['hello']))
      else sendJson(response, 401, { error: { message: 'no' } })
    })
    const env = pointedAt(upstream, { OPENAI_API_KEY: 'sk-not-a-real-key' })
    const well = await run(t, ['call', 'createCompletion', hello, '--json'], { env })
    assert.equal(well.code, 0)
    assert.equal(at(JSON.parse(well.stdout), 'structuredContent', 'text'), 'hello')
    const wrong = await run(t, ['call', 'createCompletion', hello, '--json'], { env })
    assert.equal(wrong.code, 1)
    assert.equal(at(JSON.parse(wrong.stdout), '_meta', 'genai-gateway/error', 'code'), 'authentication')
    assert.ok(!`${wrong.stdout}${wrong.stderr}`.includes('sk-not-a-real-key'))
  })

  test('reads its arguments from stdin', async (t) => {
    const upstream = await upstreamFor(t, (_, response) => sendStream(response, chatStream(['hello'])))
    const { code } = await run(t, ['call', 'createCompletion', '-'], { env: pointedAt(upstream), input: hello })
    assert.equal(code, 0)
    assert.equal(at(upstream.requests[0]?.json, 'messages', 0, 'content'), 'hi')
  })

  test('runs every tool, those without a stream of text among them', async (t) => {
    const upstream = await upstreamFor(t, (_, response) =>
      sendJson(response, 200, {
        object: 'list',
        data: [{ object: 'embedding', index: 0, embedding: [1, 2] }],
        model: 'e',
      }),
    )
    const env = pointedAt(upstream)
    const embedding = await run(t, ['call', 'createEmbedding', '{"model":"e","input":["a"]}'], { env })
    assert.equal(embedding.stdout, '1 embedding of 2 dimensions by e\n')
    const offers = await run(t, ['call', 'callTool'], { env })
    assert.match(offers.stdout, /^openai: moderate: /)
  })

  test('a closed stdout is no fault of the program', async (t) => {
    for (const args of [['--help'], ['--version'], ['call', 'callTool', '--json']]) {
      const running = startCommand(t, args)
      running.child.stdout?.destroy()
      const { code, stderr } = await running.ended
      assert.equal(stderr, '')
      assert.ok(code === 0 || code === 1 || code === 141, `${code}`)
    }
  })

  const misuses: [string[], RegExp][] = [
    [[], /which tool\? There are listModels, createCompletion/],
    [['createComplet'], /no tool "createComplet"; the nearest is createCompletion/],
    [['createCompletion', '{"prompt": hi}'], /not valid JSON \(line 1, column 12: .*give an object, such as/],
    [['createCompletion', '{"prompt":\n "hi",\n}'], /not valid JSON \(line 3, column 1: /],
    [['createCompletion', '"hi"'], /something else than an object; give an object/],
    [['createCompletion', '{}', '{}'], /one JSON text/],
    [['createCompletion', `{"options":${'['.repeat(100)}${']'.repeat(100)}}`], /deeper than 64 levels/],
    [['createCompletion', `${'['.repeat(50_000)}`], /nests too deep/],
    [['createCompletion', '{}', '--jso'], /unknown option '--jso'/],
  ]
  for (const [args, says] of misuses) {
    test(`is refused: ${JSON.stringify(args)}`, async (t) => {
      const { code, stdout, stderr } = await run(t, ['call', ...args])
      assert.equal(code, 2)
      assert.equal(stdout, '')
      assert.match(stderr, says)
      assert.match(stderr, /^genai-gateway-mcp call: [^\n]*--help\n$/)
    })
  }

  test('without a key it says in one sentence what to set, and names a placeholder', async (t) => {
    const none = await run(t, ['call', 'createCompletion', hello])
    assert.equal(none.code, 1)
    assert.match(none.stderr, /^The call failed: no provider is configured: set OPENAI_API_KEY[^\n]*\n$/)
    const forgotten = await run(t, ['call', 'createCompletion', hello], { env: { OPENAI_API_KEY: 'sk-...' } })
    assert.equal(forgotten.code, 1)
    assert.match(forgotten.stderr, /OPENAI_API_KEY still holds a placeholder/)
  })
})

describe('call on a terminal', () => {
  const args = ['call', 'createCompletion', hello]
  const { command, missing } = onTerminal(args)
  const skip = missing ? 'there is no script(1) that could give it one' : false

  test('shows a bar while it waits, the text, and who answered; the text cannot take hold of the terminal', {
    skip,
  }, async (t) => {
    const upstream = await upstreamFor(t, async (_, response) => {
      await new Promise((resolve) => setTimeout(resolve, 400))
      sendStream(response, chatStream(['plain ', '\u001b[31mred\u0007']))
    })
    const { stdout } = await run(t, [], { command, env: pointedAt(upstream, { TERM: 'xterm' }) })
    assert.match(stdout, /#\.+ 0 s/)
    assert.ok(stdout.includes('plain [31mred\r\n'), stdout)
    assert.match(stdout, /openai\/tiny, stop, 5 tokens, \d+\.\d s/)
    assert.ok(stdout.includes(`${colour}2m`), 'colour')
  })

  test('NO_COLOR is honoured', { skip }, async (t) => {
    const upstream = await upstreamFor(t, (_, response) => sendStream(response, chatStream(['plain'])))
    const { stdout } = await run(t, [], { command, env: pointedAt(upstream, { TERM: 'xterm', NO_COLOR: '1' }) })
    assert.ok(stdout.includes('plain\r\n'))
    assert.ok(!stdout.includes(colour), JSON.stringify(stdout))
  })
})
