import { spawn } from 'node:child_process'
import { connect, type Socket } from 'node:net'

/** An address that swallows connections: its server accepts nothing and its queue is full. Needs no privilege. */

const program = `
const server = require('node:net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
  require('node:fs').writeSync(1, server.address().port + '\\n')
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
})`
const fillers = 8
const settleMs = 300

export type BlackHole = { origin: string; close(): void }

export async function openBlackHole(): Promise<BlackHole> {
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] })
  const port = await new Promise<number>((resolve) =>
    child.stdout.once('data', (text: Buffer) => resolve(Number(text.toString()))),
  )
  const sockets: Socket[] = []
  for (let at = 0; at < fillers; at++) {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => {})
    sockets.push(socket)
  }
  await new Promise((resolve) => setTimeout(resolve, settleMs))
  return {
    origin: `http://127.0.0.1:${port}`,
    close() {
      for (const socket of sockets) socket.destroy()
      child.kill('SIGKILL')
    },
  }
}
