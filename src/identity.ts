/** Who the gateway is, as MCP's Implementation has it. */
export function identityOf(version: string): { name: string; title: string; version: string } {
  return { name: 'genai-gateway', title: 'GenAI Gateway', version }
}

/** What a client tells its model about all tools together. */
export const instructions = [
  'Language models of OpenAI, Azure, Anthropic, Ollama, LM Studio and servers like them, behind one set of tools.',
  'createCompletion asks a model (prompt, or messages for a conversation); give a model as provider/model, an alias, or leave it out for the default.',
  'listModels says which models there are. createEmbedding turns texts into vectors. callTool lists and runs the providers’ own tools.',
  'Send a progressToken to receive the answer while it is written. A failed call says what to change and whether trying again helps.',
].join('\n')
