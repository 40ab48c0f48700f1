import { Fault } from '../errors.ts'
import type { ToolSpec } from '../gateway.ts'

/** Refuses names that the vendor would refuse: letters, digits, `_` and `-` alone, and not too many. */
export function assertToolNames(tools: readonly ToolSpec[], maxChars: number): void {
  const bad = tools.find(({ name }) => !/^[A-Za-z0-9_-]+$/.test(name) || name.length > maxChars)
  if (!bad) return
  throw new Fault(
    'invalid_request',
    `the tool name ${JSON.stringify(bad.name).slice(0, 100)} is not of 1 to ${maxChars} letters, digits, _ and -`,
  )
}
