import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { createDispatcher, type Exchange, type Handlers, type InFlight } from '../../src/rpc/dispatcher.ts'
import { RpcError } from '../../src/rpc/message.ts'

type Pending = { exchange: Exchange; resolve(result: object): void; reject(error: unknown): void }

/** A result that no JSON can hold. */
const endless: { within?: object } = {}
endless.within = endless

/** A dispatcher over an outlet that only writes down; requests for `wait` are answered by the test. */
function open(options: { batches?: boolean; inFlight?: InFlight } = {}) {
  const sent: unknown[] = []
  const pending: Pending[] = []
  const noticed: string[] = []
  const answers: Readonly<Record<string, Handlers['serve']>> = {
    echo: ({ params = {} }) => params,
    later: async ({ params = {} }) => params,
    wait: (_, exchange) => new Promise((resolve, reject) => pending.push({ exchange, resolve, reject })),
    refuse: () => {
      throw new RpcError(-32601, 'Method not found', { seen: true })
    },
    fault: () => {
      throw new Error('a secret')
    },
    rejects: async () => {
      throw new Error('a secret')
    },
    endless: () => endless,
    endlessLater: async () => endless,
  }
  const send = (message: unknown) => {
    // What cannot be written throws, as it does at every outlet.
    JSON.stringify(message)
    sent.push(message)
  }
  const dispatcher = createDispatcher(
    {
      serve: (request, exchange) => (answers[request.method] ?? (() => ({})))(request, exchange),
      notice(notification, cancel) {
        noticed.push(notification.method)
        if (notification.method === 'cancel') cancel(notification.params?.['id'])
      },
      acceptsBatches: () => options.batches ?? false,
    },
    { send, congested: () => false, drained: () => Promise.resolve() },
    options.inFlight,
  )
  return {
    dispatcher,
    sent,
    noticed,
    pendingAt: (index: number) => pending[index] ?? assert.fail(`request ${index} was not served`),
    receive: (value: unknown) => dispatcher.receive({ value }),
    request: (id: unknown, method: string, params?: object) =>
      dispatcher.receive({ value: { jsonrpc: '2.0', id, method, ...(params ? { params } : {}) } }),
    cancel: (id: unknown) => dispatcher.receive({ value: { jsonrpc: '2.0', method: 'cancel', params: { id } } }),
  }
}

const answer = (id: string | number, result: object) => ({ jsonrpc: '2.0', id, result })
const refusal = (id: string | number | undefined, code: number, message: string, data?: unknown) => ({
  jsonrpc: '2.0',
  ...(id === undefined ? {} : { id }),
  error: { code, message, ...(data === undefined ? {} : { data }) },
})
const inUse = (id: string | number) => refusal(id, -32600, 'Invalid request: this id is already in flight')

const byId = (left: unknown, right: unknown) => (left as { id: number }).id - (right as { id: number }).id

describe('every request gets one answer', () => {
  for (const id of [0, '', -1, 1, '1', 'a', 9007199254740991, 'x'.repeat(1024)]) {
    for (const method of ['echo', 'later']) {
      test(`id ${JSON.stringify(id).slice(0, 20)}, ${method}`, async () => {
        const { request, sent } = open()
        request(id, method, { a: 1 })
        await turn()
        assert.deepEqual(sent, [answer(id, { a: 1 })])
      })
    }
  }

  test('what can be answered at once does not wait for what came before', async () => {
    const { request, sent, pendingAt } = open()
    request(1, 'wait')
    request(2, 'echo')
    assert.deepEqual(sent, [answer(2, {})])
    pendingAt(0).resolve({ late: true })
    await turn()
    assert.deepEqual(sent, [answer(2, {}), answer(1, { late: true })])
  })

  test('ids of either type are different ids', async () => {
    const { request, sent, pendingAt } = open()
    request(1, 'wait')
    request('1', 'wait')
    pendingAt(1).resolve({ type: 'string' })
    pendingAt(0).resolve({ type: 'number' })
    await turn()
    assert.deepEqual(sent, [answer('1', { type: 'string' }), answer(1, { type: 'number' })])
  })

  test('a protocol fault keeps its code, message and data', () => {
    const { request, sent } = open()
    request(5, 'refuse')
    assert.deepEqual(sent, [refusal(5, -32601, 'Method not found', { seen: true })])
  })

  for (const method of ['fault', 'rejects']) {
    test(`any other fault says nothing of itself: ${method}`, async () => {
      const { request, sent } = open()
      request(5, method)
      await turn()
      assert.deepEqual(sent, [refusal(5, -32603, 'Internal error')])
    })
  }

  test('a frame that is no message is answered as the framer says', () => {
    const { dispatcher, sent } = open()
    dispatcher.receive({ error: new RpcError(-32700, 'Parse error') })
    dispatcher.receive({ error: new RpcError(-32600, 'too long'), id: 0 })
    assert.deepEqual(sent, [refusal(undefined, -32700, 'Parse error'), refusal(0, -32600, 'too long')])
  })
})

describe('what is no request', () => {
  const invalid: { name: string; value: unknown; id?: string | number }[] = [
    { name: 'null', value: null },
    { name: 'number', value: 42 },
    { name: 'string', value: 'x' },
    { name: 'empty object', value: {} },
    { name: 'id null', value: { jsonrpc: '2.0', id: null, method: 'echo' } },
    { name: 'id of a fraction', value: { jsonrpc: '2.0', id: 1.5, method: 'echo' } },
    { name: 'id true', value: { jsonrpc: '2.0', id: true, method: 'echo' } },
    { name: 'id an object', value: { jsonrpc: '2.0', id: {}, method: 'echo' } },
    { name: 'id infinite', value: { jsonrpc: '2.0', id: Number.POSITIVE_INFINITY, method: 'echo' } },
    { name: 'id beyond the safe integers', value: { jsonrpc: '2.0', id: 9007199254740992, method: 'echo' } },
    { name: 'id of 1025 characters', value: { jsonrpc: '2.0', id: 'x'.repeat(1025), method: 'echo' } },
    { name: 'no jsonrpc', value: { id: 1, method: 'echo' }, id: 1 },
    { name: 'jsonrpc 1.0', value: { jsonrpc: '1.0', id: 0, method: 'echo' }, id: 0 },
    { name: 'jsonrpc a number', value: { jsonrpc: 2, id: '', method: 'echo' }, id: '' },
    { name: 'no method', value: { jsonrpc: '2.0', id: 'a' }, id: 'a' },
    { name: 'method a number', value: { jsonrpc: '2.0', id: 2, method: 5 }, id: 2 },
    { name: 'params a string', value: { jsonrpc: '2.0', id: 3, method: 'echo', params: 'x' }, id: 3 },
    { name: 'params an array', value: { jsonrpc: '2.0', id: 3, method: 'echo', params: [] }, id: 3 },
    { name: 'params null', value: { jsonrpc: '2.0', id: 3, method: 'echo', params: null }, id: 3 },
    { name: 'names in another case', value: { jsonrpc: '2.0', id: 4, Method: 'echo' }, id: 4 },
  ]
  for (const { name, value, id } of invalid) {
    test(`-32600: ${name}`, () => {
      const { receive, sent } = open()
      receive(value)
      assert.equal(sent.length, 1)
      const [{ error, ...rest }] = sent as [{ error: { code: number } }]
      assert.equal(error.code, -32600)
      assert.deepEqual(rest, { jsonrpc: '2.0', ...(id === undefined ? {} : { id }) })
    })
  }

  const silent: { name: string; value: unknown }[] = [
    { name: 'unknown notification', value: { jsonrpc: '2.0', method: 'no/such' } },
    { name: 'notification with jsonrpc 1.0', value: { jsonrpc: '1.0', method: 'cancel', params: { id: 1 } } },
    { name: 'notification with params a string', value: { jsonrpc: '2.0', method: 'cancel', params: 'x' } },
    { name: 'notification with params an array', value: { jsonrpc: '2.0', method: 'cancel', params: [1] } },
    { name: 'a stray result', value: { jsonrpc: '2.0', id: 1, result: {} } },
    { name: 'a stray error', value: { jsonrpc: '2.0', id: 1, error: { code: 1, message: 'x' } } },
    { name: 'a stray error without id', value: { jsonrpc: '2.0', error: { code: 1, message: 'x' } } },
    { name: 'a stray error with id null', value: { jsonrpc: '2.0', id: null, error: { code: 1, message: 'x' } } },
    { name: 'cancel of an unknown id', value: { jsonrpc: '2.0', method: 'cancel', params: { id: 77 } } },
    { name: 'cancel without an id', value: { jsonrpc: '2.0', method: 'cancel' } },
    { name: 'cancel of an object', value: { jsonrpc: '2.0', method: 'cancel', params: { id: {} } } },
  ]
  for (const { name, value } of silent) {
    test(`no answer: ${name}`, async () => {
      const { request, receive, sent, pendingAt } = open()
      request(1, 'wait')
      receive(value)
      pendingAt(0).resolve({ whole: true })
      await turn()
      assert.deepEqual(sent, [answer(1, { whole: true })])
    })
  }

  test('an unknown member does no harm', () => {
    const { receive, sent } = open()
    receive({ jsonrpc: '2.0', id: 1, method: 'echo', params: { a: 1 }, extra: true, ID: 2, Method: 'refuse' })
    assert.deepEqual(sent, [answer(1, { a: 1 })])
  })
})

describe('ids', () => {
  for (const id of [7, 0, '', 'a']) {
    test(`one in flight is refused to a second request, and the first goes on: ${JSON.stringify(id)}`, async () => {
      const { request, sent, pendingAt } = open()
      request(id, 'wait')
      request(id, 'echo')
      assert.deepEqual(sent, [inUse(id)])
      assert.equal(pendingAt(0).exchange.signal.aborted, false)
      pendingAt(0).resolve({ first: true })
      await turn()
      assert.deepEqual(sent, [inUse(id), answer(id, { first: true })])
    })
  }

  test('one is free again when it has been answered', async () => {
    const { request, sent, pendingAt } = open()
    for (const round of [0, 1, 2]) {
      request('', 'wait')
      pendingAt(round).resolve({ round })
      await turn()
    }
    assert.deepEqual(sent, [answer('', { round: 0 }), answer('', { round: 1 }), answer('', { round: 2 })])
  })

  test('one is free again when its request has failed', async () => {
    const { request, sent, pendingAt } = open()
    request(1, 'wait')
    pendingAt(0).reject(new RpcError(-32602, 'no'))
    await turn()
    request(1, 'echo')
    assert.deepEqual(sent, [refusal(1, -32602, 'no'), answer(1, {})])
  })

  test('one is free at once when its request is cancelled, and the late result is not its new owner’s', async () => {
    const { request, cancel, sent, pendingAt } = open()
    request(1, 'wait')
    cancel(1)
    request(1, 'wait')
    pendingAt(0).resolve({ old: true })
    await turn()
    assert.deepEqual(sent, [])
    request(1, 'echo')
    assert.deepEqual(sent, [inUse(1)])
    pendingAt(1).resolve({ new: true })
    await turn()
    assert.deepEqual(sent, [inUse(1), answer(1, { new: true })])
  })
})

describe('cancellation', () => {
  test('before the handler has looked at its signal', async () => {
    const { request, cancel, sent, pendingAt } = open()
    request(1, 'wait')
    cancel(1)
    const { exchange, resolve } = pendingAt(0)
    assert.equal(exchange.signal.aborted, true)
    resolve({})
    await turn()
    assert.deepEqual(sent, [])
  })

  test('after the handler has begun to listen', async () => {
    const { request, cancel, sent, pendingAt } = open()
    request(0, 'wait')
    const { exchange, reject } = pendingAt(0)
    exchange.signal.addEventListener('abort', () => reject(new Error('interrupted')))
    assert.equal(exchange.signal.aborted, false)
    cancel(0)
    assert.equal(exchange.signal.aborted, true)
    await turn()
    assert.deepEqual(sent, [])
  })

  test('nothing is said for the request any more, not even progress', async () => {
    const { request, cancel, sent, pendingAt } = open()
    request(1, 'wait')
    const { exchange, resolve } = pendingAt(0)
    exchange.notify('progress', { progress: 1 })
    cancel(1)
    exchange.notify('progress', { progress: 2 })
    resolve({})
    await turn()
    exchange.notify('progress', { progress: 3 })
    assert.deepEqual(sent, [{ jsonrpc: '2.0', method: 'progress', params: { progress: 1 } }])
  })

  test('nothing is said behind an answer either', async () => {
    const { request, sent, pendingAt } = open()
    request(1, 'wait')
    const { exchange, resolve } = pendingAt(0)
    resolve({})
    await turn()
    exchange.notify('progress', { progress: 1 })
    assert.deepEqual(sent, [answer(1, {})])
  })

  for (const [name, id] of [
    ['the id in the other type', '1'],
    ['an unknown id', 2],
    ['null', null],
    ['nothing', undefined],
    ['an object', { id: 1 }],
  ] as const) {
    test(`${name} cancels nothing`, async () => {
      const { request, cancel, sent, pendingAt } = open()
      request(1, 'wait')
      cancel(id)
      assert.equal(pendingAt(0).exchange.signal.aborted, false)
      pendingAt(0).resolve({ whole: true })
      await turn()
      assert.deepEqual(sent, [answer(1, { whole: true })])
    })
  }

  test('the others go on', async () => {
    const { request, cancel, sent, pendingAt } = open()
    request(1, 'wait')
    request(2, 'wait')
    cancel(1)
    cancel(1)
    pendingAt(1).resolve({ second: true })
    await turn()
    assert.equal(pendingAt(1).exchange.signal.aborted, false)
    assert.deepEqual(sent, [answer(2, { second: true })])
  })

  test('too late', async () => {
    const { request, cancel, sent, pendingAt } = open()
    request(1, 'wait')
    pendingAt(0).resolve({ done: true })
    await turn()
    cancel(1)
    assert.deepEqual(sent, [answer(1, { done: true })])
  })
})

describe('batches', () => {
  const oneALine = refusal(undefined, -32600, 'Invalid request: one message a line')
  const badSize = refusal(undefined, -32600, 'Invalid request: a batch holds 1 to 128 messages')
  const message = (id: number, method: string) => ({ jsonrpc: '2.0', id, method })

  for (const [name, value] of [
    ['a batch', [message(1, 'echo')]],
    ['an empty batch', []],
  ] as const) {
    test(`where they do not exist: ${name}`, () => {
      const { receive, sent, noticed } = open()
      receive(value)
      assert.deepEqual(sent, [oneALine])
      assert.deepEqual(noticed, [])
    })
  }

  test('an empty one is an invalid request', () => {
    const { receive, sent } = open({ batches: true })
    receive([])
    assert.deepEqual(sent, [badSize])
  })

  test('one of more than 128 messages is refused whole', () => {
    const { receive, sent } = open({ batches: true })
    receive(Array.from({ length: 129 }, (_, id) => message(id, 'echo')))
    assert.deepEqual(sent, [badSize])
  })

  for (const method of ['endless', 'endlessLater']) {
    test(`a result that cannot be written costs its own request alone: ${method}`, async () => {
      const { receive, sent, request } = open({ batches: true })
      receive([message(1, method), message(2, 'echo')])
      request(3, method)
      await turn()
      const refused = [refusal(1, -32603, 'Internal error'), refusal(3, -32603, 'Internal error')]
      assert.deepEqual(sent.flat().sort(byId), [refused[0], answer(2, {}), refused[1]])
    })
  }

  test('one answer, with a response for each request and none for a notification', async () => {
    const { receive, sent, pendingAt } = open({ batches: true })
    receive([
      message(1, 'wait'),
      { jsonrpc: '2.0', method: 'note' },
      message(2, 'echo'),
      { jsonrpc: '2.0', id: 9, result: {} },
      message(3, 'refuse'),
    ])
    await turn()
    assert.deepEqual(sent, [])
    pendingAt(0).resolve({ last: true })
    await turn()
    assert.deepEqual(sent, [
      [answer(2, {}), refusal(3, -32601, 'Method not found', { seen: true }), answer(1, { last: true })],
    ])
    assert.equal(pendingAt(0).exchange.batched, true)
  })

  test('notifications and responses alone are not answered', async () => {
    const { receive, sent, noticed } = open({ batches: true })
    receive([
      { jsonrpc: '2.0', method: 'note' },
      { jsonrpc: '2.0', method: 'another' },
      { jsonrpc: '2.0', id: 9, result: {} },
    ])
    await turn()
    assert.deepEqual(sent, [])
    assert.deepEqual(noticed, ['note', 'another'])
  })

  test('what is no message is refused on its own', async () => {
    const { receive, sent } = open({ batches: true })
    receive([1, [], [message(8, 'echo')], { jsonrpc: '2.0', id: null, method: 'echo' }, message(1, 'echo')])
    await turn()
    const [responses] = sent as [{ id?: number; error?: { code: number } }[]]
    assert.deepEqual(
      responses.map(({ id, error }) => [id, error?.code]),
      [
        [undefined, -32600],
        [undefined, -32600],
        [undefined, -32600],
        [undefined, -32600],
        [1, undefined],
      ],
    )
    assert.equal(sent.length, 1)
  })

  test('an id may not stand in it twice', async () => {
    const { receive, sent, pendingAt } = open({ batches: true })
    receive([message(1, 'wait'), message(1, 'echo')])
    pendingAt(0).resolve({ first: true })
    await turn()
    assert.deepEqual(sent, [[inUse(1), answer(1, { first: true })]])
  })

  test('a cancelled request leaves the answer to the others', async () => {
    const { receive, cancel, sent, pendingAt } = open({ batches: true })
    receive([message(1, 'wait'), message(2, 'wait')])
    pendingAt(1).resolve({ second: true })
    await turn()
    cancel(1)
    await turn()
    assert.deepEqual(sent, [[answer(2, { second: true })]])
  })

  test('a batch of which all is cancelled is not answered', async () => {
    const { receive, cancel, sent } = open({ batches: true })
    receive([message(1, 'wait'), message(2, 'wait')])
    cancel(1)
    cancel(2)
    await turn()
    assert.deepEqual(sent, [])
  })
})

describe('the end', { timeout: 10_000 }, () => {
  test('an idle dispatcher is drained at once', async () => {
    await open().dispatcher.drain()
  })

  test('drain waits for what is in flight, and says so to it', async () => {
    const { dispatcher, request, sent, pendingAt } = open()
    request(1, 'wait')
    request(2, 'wait')
    assert.equal(pendingAt(0).exchange.draining.aborted, false)
    let drained = false
    const idle = dispatcher.drain().then(() => (drained = true))
    assert.equal(pendingAt(0).exchange.draining.aborted, true)
    assert.equal(pendingAt(0).exchange.signal.aborted, false)
    pendingAt(0).resolve({})
    await turn()
    assert.equal(drained, false)
    pendingAt(1).resolve({})
    await idle
    assert.deepEqual(sent, [answer(1, {}), answer(2, {})])
  })

  test('a cancelled request is not waited for', async () => {
    const { dispatcher, request, cancel, sent } = open()
    request(1, 'wait')
    const idle = dispatcher.drain()
    cancel(1)
    await idle
    assert.deepEqual(sent, [])
  })

  test('interrupt aborts what is in flight; what its handler makes of that is its answer', async () => {
    const { dispatcher, request, sent, pendingAt } = open()
    request(1, 'wait')
    request(2, 'wait')
    pendingAt(0).exchange.signal.addEventListener('abort', () => pendingAt(0).resolve({ isError: true }))
    const idle = dispatcher.drain()
    dispatcher.interrupt()
    // The second handler looks only now.
    assert.equal(pendingAt(1).exchange.signal.aborted, true)
    pendingAt(1).reject(new RpcError(-32603, 'interrupted'))
    await idle
    assert.deepEqual(sent, [answer(1, { isError: true }), refusal(2, -32603, 'interrupted')])
  })
})

describe('a peer that speaks over several outlets', () => {
  test('an id in flight over one is in use over the other, and is cancelled from there', async () => {
    const inFlight: InFlight = new Map()
    const [one, other] = [open({ inFlight }), open({ inFlight })]
    one.request(1, 'wait')
    other.request(1, 'wait')
    assert.deepEqual(other.sent, [inUse(1)])
    other.cancel(1)
    assert.equal(one.pendingAt(0).exchange.signal.aborted, true)
    other.request(1, 'echo')
    assert.deepEqual([one.sent, other.sent], [[], [inUse(1), answer(1, {})]])
  })

  test('each is idle, and is cancelled and interrupted, by itself', async () => {
    const inFlight: InFlight = new Map()
    const [one, other] = [open({ inFlight }), open({ inFlight })]
    assert.equal(one.dispatcher.idle(), undefined)
    one.request(1, 'wait')
    one.request(2, 'wait')
    other.request(3, 'wait')
    let isIdle = false
    const idle = one.dispatcher.idle()?.then(() => (isIdle = true))
    one.pendingAt(0).resolve({})
    await turn()
    assert.equal(isIdle, false)
    one.dispatcher.interrupt()
    one.dispatcher.cancel()
    await idle
    assert.deepEqual(one.sent, [answer(1, {})])
    assert.equal(one.dispatcher.idle(), undefined)
    assert.equal(other.pendingAt(0).exchange.signal.aborted, false)
    assert.deepEqual([...inFlight.keys()], [3])
  })
})
