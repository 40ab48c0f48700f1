import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { isObject, type Json, nestsDeeperThan } from '../json.ts'
import { faultIn } from '../json-text.ts'
import { nearest } from '../nearest.ts'
import { declarations } from '../tools/declarations.ts'
import { createPrinter } from './answer.ts'
import { type Command, misuse, wellDone, wentWrong } from './context.ts'
import { write } from './terminal.ts'
import { openTools } from './tools.ts'

const wanted = 'give an object, such as {"prompt": "Say hello"}'
/** As for MCP clients. */
const maxDepth = 64
const names = declarations.map(({ name }) => name)

export const call: Command = {
  usage: 'TOOL [JSON] [--json]',
  summary: 'Runs a tool as an MCP client would, and streams its text.',
  help: `  TOOL     ${names.join(', ')}
  JSON     its arguments, an object; - reads them from stdin
  --json   the whole result as JSON, when it is there

  genai-gateway-mcp call createCompletion '{"prompt": "Say hello"}'

Ctrl-C closes the connection to the provider. Ends with 1 when the call failed; what went wrong is on stderr.
`,
  async run(args, { version, signal }) {
    const { positionals, values } = parseArgs({
      args: [...args],
      options: { json: { type: 'boolean', default: false } },
      allowPositionals: true,
    })
    const { tool, given } = readCall(positionals)
    const { runTool } = await openTools(version)
    const printer = createPrinter(!values.json)
    const result = await runTool(tool, given, { signal, streaming: true }, printer.step).finally(printer.end)
    if (signal.aborted) return wentWrong
    if (values.json) await write(`${JSON.stringify(result, undefined, 2)}\n`)
    else await printer.finish(result)
    return result.isError ? wentWrong : wellDone
  },
}

/** The tool and its arguments as a command line has them; throws a Fault that says what is wrong with them. */
export function readCall([tool, text = '{}', ...more]: readonly string[]): { tool: string; given: Json } {
  if (tool === undefined) throw misuse(`which tool? There are ${names.join(', ')}`)
  if (!names.includes(tool))
    throw misuse(`there is no tool ${JSON.stringify(tool)}; the nearest is ${nearest(tool, names, 1)}`)
  if (more.length > 0) throw misuse('the arguments are one JSON text: put it in quotes')
  const json = text === '-' ? readFileSync(0, 'utf8') : text
  const fault = faultIn(json)
  if (fault) throw misuse(`the arguments are not valid JSON (${fault}); ${wanted}`)
  const given: unknown = JSON.parse(json)
  if (!isObject(given)) throw misuse(`the arguments are something else than an object; ${wanted}`)
  if (nestsDeeperThan(given, maxDepth)) throw misuse(`the arguments must not nest deeper than ${maxDepth} levels`)
  return { tool, given }
}
