// Writes what is made from the code: the tools' declarations, the schema of PROVIDER_CONFIG and the tables of the documents.
import { writeFileSync } from 'node:fs'
import { generated } from './generated.ts'

for (const { path, text } of generated()) writeFileSync(path, text)
