/**
 * The same values, and a word when it is over: by the last of them, by an error, or because nobody wants the rest. As a
 * plain iterator it costs a step of a stream less than half of what an async generator does.
 */
export function ending<T>(values: AsyncIterator<T>, onEnd: () => void): AsyncIterableIterator<T> {
  const told = (next: IteratorResult<T>) => {
    if (next.done) onEnd()
    return next
  }
  const failed = (error: unknown) => {
    onEnd()
    throw error
  }
  const iterator: AsyncIterableIterator<T> = {
    next: () => values.next().then(told, failed),
    async return() {
      onEnd()
      await values.return?.()
      return { done: true, value: undefined }
    },
    [Symbol.asyncIterator]: () => iterator,
  }
  return iterator
}
