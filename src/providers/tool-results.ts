import type { ChatMessage } from '../gateway.ts'

/**
 * Messages with results of tools that follow each other, as one. Servers want the results of one turn together: what a
 * dialect can only say behind a result has to stand behind the last of them.
 */
export function joinResults(messages: readonly ChatMessage[]): ChatMessage[] {
  const joined: ChatMessage[] = []
  for (const message of messages) {
    const last = joined.at(-1)
    if (last && holdsResult(last) && holdsResult(message)) {
      joined[joined.length - 1] = { role: last.role, content: [...last.content, ...message.content] }
    } else joined.push(message)
  }
  return joined
}

function holdsResult({ role, content }: ChatMessage): boolean {
  return (role === 'tool' || role === 'user') && content.some(({ type }) => type === 'tool-result')
}
