import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { program } from './gateway.ts'

/** The built program as a person runs it. */

export type Ended = { code: number | null; signal: NodeJS.Signals | null; stdout: string; stderr: string }

export type Running = {
  child: ChildProcess
  stdout(): string
  stderr(): string
  ended: Promise<Ended>
}

export type Surroundings = { env?: Record<string, string>; input?: string; cwd?: string; command?: readonly string[] }

/** Starts a command with nothing in its environment but PATH and what is given. */
export function startCommand(
  t: TestContext,
  args: readonly string[],
  { env = {}, input = '', cwd, command = [process.execPath, program] }: Surroundings = {},
): Running {
  const [file = '', ...before] = command
  const child = spawn(file, [...before, ...args], {
    env: { PATH: process.env['PATH'] ?? '', ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
    ...(cwd === undefined ? {} : { cwd }),
  })
  t.after(() => child.kill('SIGKILL'))
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }))
  })
  return { child, stdout: () => stdout, stderr: () => stderr, ended }
}

/** Runs a command to its end. */
export function run(t: TestContext, args: readonly string[], surroundings: Surroundings = {}): Promise<Ended> {
  return startCommand(t, args, surroundings).ended
}

/** The command that gives a program a terminal, where this machine has one; its arguments go through a shell. */
export function onTerminal(args: readonly string[]): { command: readonly string[]; missing: boolean } {
  const quoted = [process.execPath, program, ...args].map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ')
  const missing = process.platform !== 'linux' || spawnSync('script', ['--version']).status !== 0
  return { command: ['script', '-qec', quoted, '/dev/null'], missing }
}

export function folderFor(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'gateway-spec-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}
