import type { Driver } from './driver.ts'
import { type Message, messagesOf } from './history.ts'

/** What the gateway says to lines of any kind. */

/** Writes each input and a ping behind it; resolves with what was said to each before its ping was answered. */
export async function repliesTo(
  driver: Driver,
  inputs: readonly (string | Uint8Array)[],
  atOnce = 25,
): Promise<Message[][]> {
  const replies: Message[][] = []
  for (let from = 0; from < inputs.length; from += atOnce) {
    let heard = driver.history.lines.length
    const part = inputs.slice(from, from + atOnce)
    const pings: string[] = []
    const answered = part.map((input) => {
      const id = driver.nextId()
      pings.push(id)
      void driver.write(input)
      return driver.request('ping', {}, { id, patienceMs: 20_000 })
    })
    const answers = await Promise.all(answered)
    if (answers.some(({ message }) => message === undefined)) throw new Error('a ping behind a line was not answered')
    const said = driver.history.lines.slice(heard).flatMap(messagesOf)
    heard = 0
    for (const ping of pings) {
      const end = said.findIndex(({ id }) => id === ping)
      replies.push(said.slice(heard, end))
      heard = end + 1
    }
  }
  return replies
}

/** What a reply says, in short: `-32600`, `-32600 7` with an id, `ok 7` for a result. */
export function inShort(messages: readonly Message[]): string {
  return messages
    .map(({ id, error, result, method }) =>
      [error?.code ?? (result ? 'ok' : method), ...(id === undefined ? [] : [JSON.stringify(id)])].join(' '),
    )
    .join(', ')
}
