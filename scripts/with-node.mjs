// Runs a command on the Node that the project needs: this one if it is new enough, else the one that npm installed.
// Written for Node 16 and up, because it runs on whatever Node the machine has.
import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const { engines } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const [, wantedMajor, wantedMinor] = /(\d+)\.(\d+)/.exec(engines.node)
const [major, minor] = process.versions.node.split('.')
const newEnough = +major > +wantedMajor || (+major === +wantedMajor && +minor >= +wantedMinor)

const { optionalDependencies } = JSON.parse(readFileSync(join(root, 'scripts/node-runtime/package.json'), 'utf8'))
const folders = Object.keys(optionalDependencies).flatMap((name) =>
  ['bin', '.'].flatMap((folder) => [
    join(root, 'node_modules', name, folder),
    join(root, 'node_modules/node-runtime/node_modules', name, folder),
  ]),
)
const installed = folders.find((folder) => existsSync(join(folder, 'node')) || existsSync(join(folder, 'node.exe')))

if (!newEnough && !installed) {
  console.error(`This needs Node ${engines.node}, this is ${process.versions.node}, and no newer one was installed.`)
  console.error('Run "npm ci" without --omit=optional and --omit=dev, or install Node from nodejs.org.')
  process.exit(1)
}

const path = [newEnough ? dirname(process.execPath) : installed, join(root, 'node_modules/.bin'), process.env.PATH]
const [command, ...args] = process.argv.slice(2)
const child = spawn(command, args, {
  stdio: 'inherit',
  env: { ...process.env, PATH: path.join(delimiter) },
  shell: process.platform === 'win32',
})
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
child.on('error', (error) => {
  console.error(error.message)
  process.exit(127)
})
child.on('exit', (code, signal) => (signal ? process.kill(process.pid, signal) : process.exit(code ?? 1)))
