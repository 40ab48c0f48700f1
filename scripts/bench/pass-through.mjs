// What a gateway costs at the least: JSON-RPC lines in, one undici request each, the text of the stream out as the result
// and, for a caller with a progress token, every piece of it as progress. No checks, no errors, no cancellation.
import { Agent } from 'undici'
import { dialects } from './dialects.mjs'

const { path, headers, body: bodyOf, separator, textOf } = dialects[process.env.PROVIDER_TYPE]
const { origin, pathname } = new URL(`${process.env.GATEWAY_URL}${path}`)
const target = { origin, path: pathname, method: 'POST', headers: headers(process.env.GATEWAY_API_KEY) }
const agent = new Agent()
const tool = { name: 'createCompletion', inputSchema: { type: 'object' } }

const send = (message) => process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`)

const complete = async ({ arguments: { model, prompt }, _meta }, id) => {
  const { body } = await agent.request({ ...target, body: JSON.stringify(bodyOf(model, prompt)) })
  const progressToken = _meta?.progressToken
  const texts = []
  const decoder = new TextDecoder()
  let partial = ''
  let progress = 0
  for await (const chunk of body) {
    const events = (partial + decoder.decode(chunk, { stream: true })).split(separator)
    partial = events.pop()
    for (const event of events) {
      const start = event.indexOf('{')
      if (start === -1) continue
      const message = textOf(JSON.parse(event.slice(start)))
      if (!message) continue
      texts.push(message)
      if (progressToken === undefined) continue
      progress += 1
      send({ method: 'notifications/progress', params: { progressToken, progress, message } })
    }
  }
  const text = texts.join('')
  send({ id, result: { content: [{ type: 'text', text }], structuredContent: { model, text } } })
}

const serve = ({ id, method, params }) => {
  if (method === 'initialize') {
    const { protocolVersion } = params
    send({ id, result: { protocolVersion, capabilities: { tools: {} }, serverInfo: { name: 'bare', version: '1' } } })
  } else if (method === 'tools/list') send({ id, result: { tools: [tool] } })
  else if (method === 'tools/call') void complete(params, id)
}

let held = []
process.stdin.on('data', (chunk) => {
  let start = 0
  for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, start)) {
    held.push(chunk.subarray(start, end))
    serve(JSON.parse(Buffer.concat(held).toString()))
    held = []
    start = end + 1
  }
  if (start < chunk.length) held.push(chunk.subarray(start))
})
