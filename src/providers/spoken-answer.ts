import type { Event } from '../gateway.ts'
import { isObject } from './json.ts'

/** Gathers the sound of an answer, whose pieces are base64 each by itself (OpenAPI document 2.3.0, audio of a message). */
export type Sound = { add(audio: unknown): string; events(): Event[] }

const mimeTypes: Readonly<Record<string, string>> = { mp3: 'audio/mpeg', opus: 'audio/ogg', pcm16: 'audio/pcm' }

/** `options` are the request's, which say in what format the sound was asked for. */
export function createSound(options: Readonly<Record<string, unknown>> = {}): Sound {
  const pieces: Buffer[] = []
  const { audio: asked } = options
  const format = isObject(asked) && typeof asked['format'] === 'string' ? asked['format'] : 'wav'
  const mimeType = mimeTypes[format] ?? `audio/${format}`
  return {
    /** Returns what is said in it. */
    add(audio) {
      if (!isObject(audio)) return ''
      if (typeof audio['data'] === 'string') pieces.push(Buffer.from(audio['data'], 'base64'))
      return typeof audio['transcript'] === 'string' ? audio['transcript'] : ''
    },
    events() {
      const data = Buffer.concat(pieces).toString('base64')
      return data === '' ? [] : [{ type: 'content', part: { type: 'audio', data, mimeType } }]
    },
  }
}
