const help = `genai-gateway-mcp: an MCP server (stdio) that puts language models behind tools.

Usage: genai-gateway-mcp [--help | --version]

Without an option it serves MCP on stdin and stdout; an MCP client starts it so. Everything is configured
by environment variables, and nothing needs to be set for it to start:

  OPENAI_API_KEY     turns OpenAI on; ANTHROPIC_API_KEY, OLLAMA_HOST and others do the same for theirs
  GATEWAY_URL        base URL of a server: one that speaks OpenAI's dialect (with its /v1), or see PROVIDER_TYPE
  GATEWAY_API_KEY    its key, if it wants one
  DEFAULT_MODEL      the model when a call names none

The README has the whole table and a block to paste for each client.
`

/** Runs a command line; returns the exit code: 0, or 2 for one that is not understood. */
export function runCommand(args: readonly string[], version: string): number {
  const [first] = args
  if (first === '--version' || first === '-v') process.stdout.write(`${version}\n`)
  else if (first === '--help' || first === '-h') process.stdout.write(help)
  else {
    process.stderr.write(`genai-gateway-mcp: unknown argument ${JSON.stringify(first)}; see --help\n`)
    return 2
  }
  return 0
}
