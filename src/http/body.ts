import { Fault } from '../errors.ts'
import type { HttpResponse } from './message.ts'

/** The largest JSON answer that is read, in bytes. */
export const maxJsonBytes = 64 * 1024 * 1024
/** How much of an error's body is looked at, in bytes. */
export const maxErrorBytes = 64 * 1024

/** Bytes to text, across chunk boundaries; throws on bytes that are no UTF-8 rather than to replace them in silence. */
export function createTextDecoder(): (chunk?: Uint8Array) => string {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  return (chunk) => {
    try {
      return chunk ? decoder.decode(chunk, { stream: true }) : decoder.decode()
    } catch {
      throw new Fault('invalid_response', 'the answer holds bytes that are not UTF-8', { cause: 'bad_encoding' })
    }
  }
}

/** The whole body as a JSON value. */
export async function readJson(response: HttpResponse): Promise<unknown> {
  const decode = createTextDecoder()
  const texts: string[] = []
  let bytes = 0
  for await (const chunk of response.body) {
    bytes += chunk.length
    if (bytes > maxJsonBytes) {
      throw new Fault('too_large', `the answer is larger than ${maxJsonBytes} bytes`, { cause: 'json_body' })
    }
    texts.push(decode(chunk))
  }
  texts.push(decode())
  const text = texts.join('')
  if (text.trim() === '')
    throw new Fault('invalid_response', 'the answer is empty', { cause: 'empty', retryable: true })
  try {
    return JSON.parse(text)
  } catch {
    const html = /^\s*</.test(text)
    throw new Fault(
      'invalid_response',
      html ? 'the answer is a web page, not JSON: check the base URL and any proxy' : 'the answer is not valid JSON',
      { cause: html ? 'bad_content_type' : 'bad_json' },
    )
  }
}

/** The beginning of an error's body as text, whatever its bytes are. */
export async function readErrorText(response: HttpResponse): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  try {
    for await (const chunk of response.body) {
      chunks.push(chunk)
      bytes += chunk.length
      if (bytes >= maxErrorBytes) break
    }
  } catch {
    // The status has said enough; what came of the body is used.
  }
  return Buffer.concat(chunks).toString('utf8', 0, maxErrorBytes)
}
