import Anthropic from '@anthropic-ai/sdk'
import { Ollama } from 'ollama'
import OpenAI, { AzureOpenAI } from 'openai'
import {
  type Failure,
  floatsOf,
  type Models,
  type Outcome,
  type Reading,
  readChat,
  readCompletions,
  readLines,
  readMessage,
  readResponse,
  type Vectors,
} from './reading.ts'

/** The vendors' own SDKs, asked at a server on loopback, which decides what they are answered. */

/** `path` is that of the request which the gateway makes; by it, the SDK and its method are chosen. */
export type Asking = { origin: string; path: string; streamed: boolean }

const messages = [{ role: 'user' as const, content: 'Say hello' }]
const apiKey = 'not-a-real-key'
const model = 'tiny'

/** `base` is what the SDK takes as its base URL, or its host. */
type Based = Asking & { base: string }

/** The end of the paths that the SDK puts behind its base. */
type Sdk = {
  ending: RegExp
  ask(asking: Based): Promise<Outcome>
  /** It parses the arguments of calls by itself, into numbers that round big integers. */
  rounds?: true
}

const sdks: readonly Sdk[] = [
  {
    ending: /\/openai\/deployments\/[^/]+\/chat\/completions(?:\?.*)?$/,
    ask: (asking) => askChat(azure(asking), asking),
  },
  {
    ending: /\/openai\/deployments\/[^/]+\/completions(?:\?.*)?$/,
    ask: (asking) => askCompletion(azure(asking), asking),
  },
  { ending: /\/openai\/deployments\/[^/]+\/embeddings(?:\?.*)?$/, ask: (asking) => askEmbeddings(azure(asking)) },
  { ending: /\/chat\/completions(?:\?.*)?$/, ask: (asking) => askChat(openai(asking), asking) },
  { ending: /\/completions(?:\?.*)?$/, ask: (asking) => askCompletion(openai(asking), asking) },
  { ending: /\/responses$/, ask: (asking) => askResponse(openai(asking), asking) },
  { ending: /\/embeddings(?:\?.*)?$/, ask: (asking) => askEmbeddings(openai(asking)) },
  { ending: /\/v1\/messages$/, ask: askMessage, rounds: true },
  { ending: /\/v1\/models\?.*/, ask: askAnthropicModels },
  { ending: /\/models$/, ask: (asking) => askModels(openai(asking)) },
  { ending: /\/api\/(?:chat|generate)$/, ask: askOllama, rounds: true },
  { ending: /\/api\/embed$/, ask: askOllamaEmbed },
  { ending: /\/api\/tags$/, ask: askOllamaTags },
]

/** Whether one of the SDKs makes requests to such a path. */
export function isKnown(path: string): boolean {
  return find(path) !== undefined
}

/** Whether the SDK hands on the arguments of calls with all the digits of their integers. */
export function keepsDigits(path: string): boolean {
  return find(path)?.rounds !== true
}

/** What the SDK makes of the answer; a failure where it throws. */
export async function askSdk(asking: Asking): Promise<Outcome> {
  const sdk = find(asking.path)
  if (!sdk) throw new Error(`no SDK asks at ${asking.path}`)
  const plain = asking.path.replace(sdk.ending, '')
  try {
    return await sdk.ask({ ...asking, base: `${asking.origin}${plain}` })
  } catch (error) {
    return failureOf(error)
  }
}

function find(path: string): Sdk | undefined {
  return sdks.find(({ ending }) => ending.test(path))
}

function failureOf(error: unknown): Failure {
  const { status, status_code } = error as { status?: unknown; status_code?: unknown }
  const told = status ?? status_code
  return { failed: true, ...(typeof told === 'number' ? { status: told } : {}) }
}

function openai({ base }: Based): OpenAI {
  return new OpenAI({ baseURL: base, apiKey, maxRetries: 0, logLevel: 'off' })
}

function azure({ origin }: Based): AzureOpenAI {
  return new AzureOpenAI({ endpoint: origin, apiKey, apiVersion: '2024-10-21', maxRetries: 0, logLevel: 'off' })
}

async function askChat(client: OpenAI, { streamed }: Based): Promise<Reading> {
  const completions = client.chat.completions
  return readChat(
    streamed
      ? await completions.stream({ model, messages }).finalChatCompletion()
      : await completions.create({ model, messages }),
  )
}

async function askCompletion(client: OpenAI, { streamed }: Based): Promise<Reading> {
  const body = { model, prompt: 'Say hello' }
  if (!streamed) return readCompletions([await client.completions.create(body)])
  return readCompletions(await gathered(await client.completions.create({ ...body, stream: true })))
}

async function askResponse(client: OpenAI, { streamed }: Based): Promise<Reading> {
  const body = { model, input: 'Say hello' }
  return readResponse(
    streamed ? await client.responses.stream(body).finalResponse() : await client.responses.create(body),
  )
}

async function askEmbeddings(client: OpenAI): Promise<Vectors> {
  const { data, usage } = await client.embeddings.create({ model, input: ['a'], encoding_format: 'float' })
  const sorted = data.toSorted((left, right) => left.index - right.index)
  return { embeddings: sorted.map(({ embedding }) => floatsOf(embedding)), promptTokens: usage.prompt_tokens }
}

async function askModels(client: OpenAI): Promise<Models> {
  const list = await gathered(client.models.list())
  return { models: list.map(({ id }) => id) }
}

function anthropic({ base }: Based): Anthropic {
  return new Anthropic({ baseURL: base, apiKey, maxRetries: 0, logLevel: 'off' })
}

async function askMessage(asking: Based): Promise<Reading> {
  const body = { model, messages, max_tokens: 64 }
  const client = anthropic(asking).messages
  return readMessage(asking.streamed ? await client.stream(body).finalMessage() : await client.create(body))
}

async function askAnthropicModels(asking: Based): Promise<Models> {
  const list = await gathered(anthropic(asking).models.list())
  return { models: list.map(({ id }) => id) }
}

async function askOllama({ base, path, streamed }: Based): Promise<Reading> {
  const client = new Ollama({ host: base })
  if (path.endsWith('/generate')) {
    if (!streamed) return readLines([await client.generate({ model, prompt: 'Say hello' })])
    return readLines(await gathered(await client.generate({ model, prompt: 'Say hello', stream: true })))
  }
  if (!streamed) return readLines([await client.chat({ model, messages })])
  return readLines(await gathered(await client.chat({ model, messages, stream: true })))
}

async function askOllamaEmbed({ base }: Based): Promise<Vectors> {
  const { embeddings, prompt_eval_count } = await new Ollama({ host: base }).embed({ model, input: ['a'] })
  return { embeddings: embeddings.map(floatsOf), promptTokens: prompt_eval_count }
}

async function askOllamaTags({ base }: Based): Promise<Models> {
  const { models } = await new Ollama({ host: base }).list()
  return { models: models.map(({ name }) => name) }
}

async function gathered<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const one of stream) all.push(one)
  return all
}
