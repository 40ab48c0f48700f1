// The provider of the benchmark: OpenAI's chat stream on loopback, in a process of its own. The model's name says what
// the answer is: `reply` (a short stream at once), `tokens-COUNT` (an event a token, one a millisecond), `endless-NAME`
// (a token now and then, until the socket closes) or `large-BYTES`. The parent hears the port, connections and closings.
import { createServer } from 'node:http'

const pieceBytes = 4096
const tokenGapMs = 1
const endlessGapMs = 20

const event = (delta, finish = null, more = {}) => {
  const choices = [{ index: 0, delta, logprobs: null, finish_reason: finish }]
  const chunk = { id: 'chatcmpl-bench', object: 'chat.completion.chunk', created: 1, model: 'bench', choices, ...more }
  return `data: ${JSON.stringify(chunk)}\n\n`
}
const ending = (tokens) => {
  const usage = { prompt_tokens: 9, completion_tokens: tokens, total_tokens: 9 + tokens }
  return `${event({}, 'stop')}${event({}, null, { choices: [], usage })}data: [DONE]\n\n`
}
const wholeStream = (pieces) =>
  Buffer.from(pieces.map((content) => event({ content })).join('') + ending(pieces.length))

const reply = wholeStream(['The ', 'answer ', 'is ', '42.'])
const token = Buffer.from(event({ content: ' token' }))
const paragraph = 'He said: “a long answer”, and went on — line after line, with \\ and "quotes".\n'
const piece = paragraph.repeat(Math.ceil(pieceBytes / Buffer.byteLength(paragraph)))
/** The last that was asked for: to build one takes longer than to send it. */
let large = { bytes: 0, stream: Buffer.alloc(0) }
const largeStream = (bytes) => {
  if (large.bytes === bytes) return large.stream
  const whole = Math.floor(bytes / Buffer.byteLength(piece))
  const rest = paragraph.repeat(Math.ceil((bytes - whole * Buffer.byteLength(piece)) / Buffer.byteLength(paragraph)))
  large = { bytes, stream: wholeStream([...Array(whole).fill(piece), rest]) }
  return large.stream
}
let connections = 0

/**
 * The first token is the time of its sending, on the clock that all processes of a machine share. Its last character is in
 * no key: a digit could be the beginning of one, and would wait for the next token.
 */
const stamp = () => event({ role: 'assistant', content: `${process.hrtime.bigint()}\n` })

const writeTokens = (response, count) => {
  response.write(stamp())
  let written = 1
  const timer = setInterval(() => {
    if (response.destroyed) return clearInterval(timer)
    if (written++ < count) return response.write(token)
    clearInterval(timer)
    response.end(ending(count))
  }, tokenGapMs)
}

const writeEndlessly = (response, name) => {
  response.write(stamp())
  const timer = setInterval(() => response.write(token), endlessGapMs)
  response.on('close', () => {
    const closedAt = `${process.hrtime.bigint()}`
    clearInterval(timer)
    process.send({ closed: name, closedAt })
  })
}

const server = createServer((request, response) => {
  let head
  request.on('data', (chunk) => {
    // The model stands at the beginning of every body; the rest need not be parsed, or even kept.
    head ??= chunk.toString('latin1', 0, 256)
  })
  request.on('end', () => {
    const [, kind, detail] = /"model":"([a-z]+)-?([^"]*)"/.exec(head ?? '') ?? []
    response.writeHead(200, { 'content-type': 'text/event-stream', 'x-request-id': 'bench' })
    if (kind === 'tokens') writeTokens(response, Number(detail))
    else if (kind === 'endless') writeEndlessly(response, detail)
    else response.end(kind === 'large' ? largeStream(Number(detail)) : reply)
  })
})
server.on('connection', (socket) => {
  connections += 1
  socket.setNoDelay(true)
  socket.on('error', () => {})
})
server.keepAliveTimeout = 120_000
server.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }))
process.on('message', () => process.send({ connections }))
process.on('disconnect', () => process.exit(0))
