/** The bill of materials: what `npm sbom` knows of the packages that are in the bundles, and nothing of the tools beside them. */

type Component = { name: string; version: string; 'bom-ref': string; [member: string]: unknown }

export type Sbom = {
  metadata: { component: Component; [member: string]: unknown }
  components: Component[]
  dependencies: { ref: string; dependsOn?: string[] }[]
  [member: string]: unknown
}

/**
 * @param whole what npm says, in CycloneDX.
 * @param notices the text of THIRD-PARTY-LICENSES.
 * @param date what stands in it as its time; the same input makes the same bytes.
 */
export function bundledSbom(whole: Sbom, name: string, notices: string, date: Date): string {
  const bundled = new Set([...notices.matchAll(/^== (\S+) (\S+) /gm)].map(([, used, version]) => `${used}@${version}`))
  const components = whole.components.filter((component) => bundled.has(`${component.name}@${component.version}`))
  if (components.length !== bundled.size) throw new Error('the lock file does not know all that is in the bundles')
  const { serialNumber: _, ...rest } = whole
  const own = whole.metadata.component['bom-ref']
  const document = {
    ...rest,
    metadata: {
      ...whole.metadata,
      timestamp: date.toISOString(),
      lifecycles: [{ phase: 'build' }],
      component: { ...whole.metadata.component, name },
    },
    // What npm calls optional, because nobody has to install it, is part of the program.
    components: components.map((component) => ({ ...component, scope: 'required', properties: [] })),
    dependencies: whole.dependencies
      .filter(({ ref }) => ref === own || bundled.has(ref))
      .map(({ ref, dependsOn = [] }) => ({ ref, dependsOn: dependsOn.filter((other) => bundled.has(other)) })),
  }
  return `${JSON.stringify(document, undefined, 2)}\n`
}
