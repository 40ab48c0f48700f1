import type { IncomingMessage } from 'node:http'
import { type Refused, tooLarge } from './http-checks.ts'

/** A body that has come whole. It counts among those that are held until it is released. */
export type Body = { bytes: Buffer; release(): void }

export type BodyLimits = {
  maxBodyBytes: number
  /** Of all bodies together, of which a part is there or that are being worked on. */
  maxHeldBytes: number
}

/** Reads bodies: each to its end, as long as it and all of them together stay within their limits. */
export function createBodyReader({ maxBodyBytes, maxHeldBytes }: BodyLimits, full: Refused) {
  let heldBytes = 0

  /** Resolves to nothing where the body breaks off. */
  return (request: IncomingMessage): Promise<Body | { refused: Refused } | undefined> =>
    new Promise((resolve) => {
      const chunks: Buffer[] = []
      let bytes = 0
      const release = () => {
        heldBytes -= bytes
        bytes = 0
      }
      const leave = () => request.off('data', take).off('end', finish).off('close', giveUp)
      const refuse = (refused: Refused) => {
        leave()
        release()
        resolve({ refused })
      }
      const take = (chunk: Buffer) => {
        chunks.push(chunk)
        bytes += chunk.length
        heldBytes += chunk.length
        if (bytes > maxBodyBytes) refuse(tooLarge(maxBodyBytes))
        else if (heldBytes > maxHeldBytes) refuse(full)
      }
      const finish = () => {
        leave()
        resolve({ bytes: Buffer.concat(chunks), release })
      }
      const giveUp = () => {
        leave()
        release()
        resolve(undefined)
      }
      request.on('data', take).on('end', finish).on('close', giveUp)
    })
}
