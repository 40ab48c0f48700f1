export type DialectName = 'openai' | 'anthropic' | 'ollama'

export type Dialect = {
  /** What stands behind the origin in the base URL that the gateway is given. */
  base: string
  /** Of a chat, behind the base URL. */
  path: string
  /** As the gateway sends them. */
  headers(key: string): Record<string, string>
  /** What the gateway sends for these arguments, byte for byte once it is JSON. */
  body(model: string, prompt: string): object
  /** Content type of a stream. */
  type: string
  /** What stands in a stream before its text, a piece of its text, and what stands behind it. */
  opening: string
  piece(text: string): string
  ending(tokens: number): string
  /** Between the events of a stream. */
  separator: string
  /** The text of an event that was parsed. */
  textOf(event: object): string | undefined
}

export const dialects: Readonly<Record<DialectName, Dialect>>
