import { product, settings } from './product.ts'

/** The MCP Registry's description: where each form of the product is to be had. Schema of 2025-12-11. */

/** @param bundleSha256 of the bundle for desktop clients, in hexadecimal; without it, the bundle is not told of. */
export function serverJson(bundleSha256?: string): string {
  const transport = { type: 'stdio' }
  const environmentVariables = settings.map(({ name, description, secret, example }) => ({
    name,
    description,
    isRequired: false,
    isSecret: secret,
    placeholder: example,
  }))
  const bundle = `${product.repository}/releases/download/v${product.version}/${product.name}-${product.version}.mcpb`
  const document = {
    $schema: 'https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json',
    name: product.mcpName,
    title: product.title,
    description: product.summary,
    version: product.version,
    websiteUrl: product.homepage,
    repository: { url: product.repository, source: 'github' },
    packages: [
      {
        registryType: 'npm',
        identifier: product.name,
        version: product.version,
        runtimeHint: 'npx',
        transport,
        environmentVariables,
      },
      { registryType: 'oci', identifier: product.image, transport, environmentVariables },
      ...(bundleSha256 === undefined
        ? []
        : [{ registryType: 'mcpb', identifier: bundle, fileSha256: bundleSha256, transport }]),
    ],
  }
  return `${JSON.stringify(document, undefined, 2)}\n`
}
