// The provider of the benchmark: chat streams of OpenAI, Anthropic and Ollama on loopback, in a process of its own. The
// model's name says what the answer is: `reply` (a short stream at once), `tokens-COUNT` (an event a token, with a gap
// between), `endless-NAME` (a token now and then, until the socket closes) or `large-BYTES`. Its arguments are the
// milliseconds before every answer and those between tokens. The parent hears the port, connections and closings.
import { createServer } from 'node:http'
import { setTimeout as rest } from 'node:timers/promises'
import { dialects } from './dialects.mjs'

const [delayMs = 0, tokenGapMs = 1] = process.argv.slice(2).map(Number)
const pieceBytes = 4096
const endlessGapMs = 20

const wholeStream = ({ opening, piece, ending }, texts) =>
  Buffer.from(opening + texts.map(piece).join('') + ending(texts.length))

const paragraph = 'He said: “a long answer”, and went on — line after line, with \\ and "quotes".\n'
const block = paragraph.repeat(Math.ceil(pieceBytes / Buffer.byteLength(paragraph)))
/** The last that was asked for: to build one takes longer than to send it. */
let large = { bytes: 0, shape: undefined, stream: Buffer.alloc(0) }
const largeStream = (shape, bytes) => {
  if (large.bytes === bytes && large.shape === shape) return large.stream
  const whole = Math.floor(bytes / Buffer.byteLength(block))
  const remainder = paragraph.repeat(
    Math.ceil((bytes - whole * Buffer.byteLength(block)) / Buffer.byteLength(paragraph)),
  )
  large = { bytes, shape, stream: wholeStream(shape, [...Array(whole).fill(block), remainder]) }
  return large.stream
}
let connections = 0

/**
 * The first token is the time of its sending, on the clock that all processes of a machine share. Its last character is in
 * no key: a digit could be the beginning of one, and would wait for the next token.
 */
const begin = (response, { opening, piece }) => response.write(opening + piece(`${process.hrtime.bigint()}\n`))

const writeTokens = (response, shape, count) => {
  begin(response, shape)
  let written = 1
  const timer = setInterval(() => {
    if (response.destroyed) return clearInterval(timer)
    if (written++ < count) return response.write(shape.token)
    clearInterval(timer)
    response.end(shape.ending(count))
  }, tokenGapMs)
}

const writeEndlessly = (response, shape, name) => {
  begin(response, shape)
  const timer = setInterval(() => response.write(shape.token), endlessGapMs)
  response.on('close', () => {
    const closedAt = `${process.hrtime.bigint()}`
    clearInterval(timer)
    process.send({ closed: name, closedAt })
  })
}

/** By the path at which each is asked. */
const shapes = new Map(
  Object.values(dialects).map((dialect) => [
    `${dialect.base}${dialect.path}`,
    {
      ...dialect,
      token: Buffer.from(dialect.piece(' token')),
      reply: wholeStream(dialect, ['The ', 'answer ', 'is ', '42.']),
    },
  ]),
)

const answer = async (response, shape, head) => {
  const [, kind, detail] = /"model":"([a-z]+)-?([^"]*)"/.exec(head) ?? []
  if (delayMs > 0) await rest(delayMs)
  response.writeHead(200, { 'content-type': shape.type, 'x-request-id': 'bench' })
  if (kind === 'tokens') writeTokens(response, shape, Number(detail))
  else if (kind === 'endless') writeEndlessly(response, shape, detail)
  else response.end(kind === 'large' ? largeStream(shape, Number(detail)) : shape.reply)
}

const server = createServer((request, response) => {
  const shape = shapes.get(request.url)
  if (!shape) return response.writeHead(404).end()
  let head
  request.on('data', (chunk) => {
    // The model stands at the beginning of every body; the rest need not be parsed, or even kept.
    head ??= chunk.toString('latin1', 0, 256)
  })
  request.on('end', () => void answer(response, shape, head ?? ''))
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
