// What of others is in the bundles, and under which licences: read from what esbuild says that it has put there.
import { readdirSync, readFileSync } from 'node:fs'

/** The text of THIRD-PARTY-LICENSES. Throws if a package comes without a licence. */
export function licencesOf(metafiles) {
  const inputs = metafiles.flatMap(({ outputs }) =>
    Object.values(outputs).flatMap(({ inputs }) => Object.entries(inputs)),
  )
  const used = inputs.filter(([, { bytesInOutput }]) => bytesInOutput > 0).map(([path]) => folderOf(path))
  const folders = [...new Set(used.filter((folder) => folder !== undefined))].sort()
  return ['Of others, dist/ holds what follows, each under its own licence.\n', ...folders.map(noticeOf)].join('\n')
}

/** The folder of the package that a file belongs to, if it is not ours. */
function folderOf(path) {
  return /^.*\bnode_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0]
}

function noticeOf(folder) {
  const { name, version, license } = JSON.parse(readFileSync(`${folder}/package.json`, 'utf8'))
  const file = readdirSync(folder).find((entry) => /^(?:licen[cs]e|copying)(?:\.(?:md|txt))?$/i.test(entry))
  if (file === undefined || license === undefined) throw new Error(`${name} comes without a licence`)
  const text = readFileSync(`${folder}/${file}`, 'utf8').replaceAll('\r\n', '\n').trim()
  return `== ${name} ${version} (${license})\n\n${text}\n`
}
