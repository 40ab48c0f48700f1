import type { Random } from './random.ts'
import { chatOf } from './source.ts'
import { openaiEvent } from './wire.ts'

/** Streams that say the same in every framing that the standard of server-sent events allows, and ways to cut them. */

export type Framed = { bytes: Buffer; text: string }

export type Framings = {
  streams: readonly Framed[]
  cut(bytes: Buffer, random: Random): Buffer[]
  /** Decodes so many cuttings in this process; what differed. */
  decodeMany(random: Random, count: number): Promise<string[]>
}

const texts = ['Grüße, ', '世界', ' 👩‍👩‍👧 ', 'a\nb\r\nc', 'é'.repeat(40), '\u2028 end']

const dressings: Readonly<Record<string, (event: string, at: number) => string>> = {
  plain: (event) => event,
  comments: (event, at) => (at % 2 ? `: ping\n\n${event}` : `:\n${event}`),
  'unknown fields': (event) => `id: 7\nretry: 10\nflavour: sweet\n${event}`,
  'unknown events': (event, at) => (at === 1 ? `event: weather\ndata: {"sunny":true}\n\n${event}` : event),
  'several data lines': (event) => event.replace('data: {', 'data: {\ndata: '),
  'no space': (event) => event.replace('data: ', 'data:'),
}
const ends = ['\n', '\r\n', '\r'] as const

export function createFramings(): Framings {
  const events = [...texts.map((content) => openaiEvent({ content })), openaiEvent({}, 'stop'), 'data: [DONE]\n\n']
  const streams = Object.values(dressings).flatMap((dress) =>
    ends.flatMap((end) =>
      ['', '\ufeff'].map((mark) => ({
        bytes: Buffer.from(mark + events.map(dress).join('').replaceAll('\n', end)),
        text: texts.join(''),
      })),
    ),
  )
  return {
    streams,
    cut,
    async decodeMany(random, count) {
      const faults = new Set<string>()
      for (let at = 0; at < count; at++) {
        // The other checks beside this one have timers to keep.
        if (at % 20 === 0) await new Promise((resolve) => setImmediate(resolve))
        const { bytes, text } = streams[at % streams.length] as Framed
        const seen = await decode(cut(bytes, random)).catch((error: unknown) => String(error))
        if (seen !== text)
          faults.add(`stream ${at % streams.length} cut for the ${at}th time: ${JSON.stringify(seen).slice(0, 80)}`)
      }
      return [...faults]
    },
  }
}

/** Few long parts, or many short ones, some of them empty of sense: within characters and between CR and LF. */
function cut(bytes: Buffer, random: Random): Buffer[] {
  const most = random.pick([1, 2, 7, 40, 400, bytes.length])
  const parts: Buffer[] = []
  for (let at = 0; at < bytes.length; ) {
    const length = 1 + random.below(most)
    parts.push(bytes.subarray(at, at + length))
    at += length
  }
  return parts
}

async function decode(parts: readonly Buffer[]): Promise<string> {
  const said: string[] = []
  for await (const event of chatOf('openai', parts)) if (event.type === 'text-delta') said.push(event.text)
  return said.join('')
}
