/** Callers that ask while an answer is on its way share that answer: slow answers do not pile up. */
export function singleFlight<T>(ask: () => Promise<T>): () => Promise<T> {
  let asked: Promise<T> | null = null
  return () => {
    asked ??= ask().finally(() => {
      asked = null
    })
    return asked
  }
}
