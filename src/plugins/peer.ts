import { Fault, type FaultCode, type FaultDetail, faultCodes } from '../errors.ts'

/** Both ends of a thread speak alike: each asks for methods of the other and answers for its own. */
export type Peer = {
  /** Resolves with the other end's answer; rejects with the Fault that it met there. */
  ask(method: string, ...parameters: unknown[]): Promise<unknown>
  /** Answers all that is still asked: the other end is gone. */
  close(fault: Fault): void
}

/** A Worker, seen from outside or from within. */
export type Port = {
  postMessage(message: unknown): void
  on(event: 'message', listener: (message: unknown) => void): unknown
}

export type Methods = Readonly<Record<string, (...parameters: never[]) => unknown>>

/** Of a method asked for, or with the answer: a value or a fault. */
type Message = { id: number; method?: string; parameters: never[]; value?: unknown; fault?: ToldFault }

/** An error cannot cross between threads with its class. */
type ToldFault = { code: string; message: string; detail: FaultDetail }

export function createPeer(port: Port, methods: Methods): Peer {
  const waiting = new Map<number, { resolve(value: unknown): void; reject(fault: Fault): void }>()
  let lastId = 0
  let closedBy: Fault | undefined

  const answer = async (id: number, work: () => unknown) => {
    try {
      port.postMessage({ id, value: await work() })
    } catch (error) {
      port.postMessage({ id, fault: tell(error) })
    }
  }
  port.on('message', (message) => {
    // The port is within a plugin's reach as well: what else comes through it is nobody's.
    if (!isMessage(message)) return
    const { id, method, parameters } = message
    if (method !== undefined) {
      void answer(id, () => {
        const known = Object.hasOwn(methods, method) ? methods[method] : undefined
        if (!known) throw new Fault('internal', `there is no ${method}`)
        return known(...parameters)
      })
      return
    }
    const asked = waiting.get(id)
    waiting.delete(id)
    if (message.fault) asked?.reject(faultFrom(message.fault))
    else asked?.resolve(message.value)
  })

  return {
    ask(method, ...parameters) {
      return new Promise((resolve, reject) => {
        if (closedBy) return reject(closedBy)
        const id = ++lastId
        port.postMessage({ id, method, parameters })
        waiting.set(id, { resolve, reject })
      })
    },
    close(fault) {
      closedBy = fault
      for (const { reject } of waiting.values()) reject(fault)
      waiting.clear()
    },
  }
}

function isMessage(value: unknown): value is Message {
  return typeof value === 'object' && value !== null && 'id' in value
}

/** A fault as its parts. A plugin's own copy of the class, or an object like it, is as good as ours. */
function tell(error: unknown): ToldFault {
  const { code, detail, message } = (error ?? {}) as Partial<Fault>
  if (isFaultCode(code) && typeof detail === 'object') return { code, message: String(message), detail: { ...detail } }
  return {
    code: 'provider_error',
    message: `its plugin failed: ${error instanceof Error ? error.message : String(error)}`,
    detail: { cause: 'plugin' },
  }
}

function faultFrom({ code, message, detail }: ToldFault): Fault {
  return new Fault(isFaultCode(code) ? code : 'provider_error', message, detail)
}

function isFaultCode(code: unknown): code is FaultCode {
  return faultCodes.some((known) => known === code)
}
