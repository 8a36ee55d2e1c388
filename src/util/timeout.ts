/**
 * A promise's answer, or an error where it does not come in time: `no answer within 3 s`. An answer that comes later is dropped.
 * `complaint` replaces the first words of that error.
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
