import { Ajv2020 } from 'ajv/dist/2020.js'
import { settled } from '../../src/cli/cases.ts'
import { differences } from '../../src/cli/differences.ts'
import type { Json } from './cases.ts'
import type { Answer, ToolDeclaration } from './session.ts'

/** What must be true of an answer, whatever the case; each returns the lines that say what is not. */

const serverInfoKey = 'io.modelcontextprotocol/serverInfo'
const errorKey = 'genai-gateway/error'

/** The result without what differs from run to run (times, the port) and from era to era. result.json holds it in this form. */
export function comparable({ result }: Answer, port: number): Json {
  const { resultType: _, _meta, ...rest } = result
  const { [serverInfoKey]: __, ...meta } = asJson(_meta)
  return settled({ ...rest, _meta: meta }, port)
}

/** The marks that one era puts on every result and the other does not know. */
export function eraFaults({ era, result }: Answer): string[] {
  const marks = { resultType: result['resultType'], serverInfo: serverInfoKey in asJson(result['_meta']) }
  const expected =
    era === '2026-07-28' ? { resultType: 'complete', serverInfo: true } : { resultType: undefined, serverInfo: false }
  return differences(expected, marks, 'result')
}

const ajv = new Ajv2020({ strict: false })
const validators = new Map<string, ReturnType<typeof ajv.compile>>()

/** A result fits the outputSchema that the tool declares; an error has none, and says how long it took. */
export function schemaFaults({ result }: Answer, tool: ToolDeclaration | undefined): string[] {
  if (!tool) return ['the gateway does not list the tool']
  if (result['isError'] === true) {
    const facts = asJson(asJson(result['_meta'])[errorKey])
    return [
      ...('structuredContent' in result ? ['an error has structuredContent'] : []),
      ...(typeof facts['elapsedMs'] === 'number' ? [] : ['an error does not say elapsedMs']),
    ]
  }
  const text = JSON.stringify(tool.outputSchema)
  const validate = validators.get(text) ?? ajv.compile(tool.outputSchema)
  validators.set(text, validate)
  if (validate(result['structuredContent'])) return []
  return [`outputSchema: ${ajv.errorsText(validate.errors, { dataVar: 'structuredContent' })}`]
}

/**
 * Joined, the messages are the text of the result, or what had come of it before an error; the numbers only rise. A
 * provider's own tool may tell nothing meanwhile.
 */
export function progressFaults({ result, progress }: Answer, tool: string, withProgress: boolean): string[] {
  const [first, second] = result['content'] as { text?: string }[]
  const joined = progress.map(({ message = '' }) => message).join('')
  const telling = tool === 'createCompletion' || (tool === 'callTool' && joined !== '')
  const text = telling ? ((result['isError'] === true ? second?.text : first?.text) ?? '') : ''
  const numbers = progress.map((params) => Number(params['progress']))
  const rising = numbers.every((number, at) => at === 0 || number > Number(numbers[at - 1]))
  return [
    ...differences(withProgress ? text : '', joined, 'the messages of progress, joined'),
    ...(rising ? [] : [`progress does not rise: ${numbers.join(', ')}`]),
    ...(withProgress || progress.length === 0 ? [] : ['progress came though nobody had asked for it']),
  ]
}

function asJson(value: unknown): Json {
  return typeof value === 'object' && value !== null ? { ...value } : {}
}
