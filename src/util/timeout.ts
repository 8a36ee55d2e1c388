/**
 * Resolves as `promise` does, or rejects after `ms`: `no answer within 3 s`. A later answer is dropped. `complaint`
 * replaces the first words of the error.
 */
export async function withTimeout<T>(promise: Promise<T>, ms: number, complaint = 'no answer'): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${complaint} within ${Math.round(ms / 100) / 10} s`)), ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
