import { setTimeout as sleep } from 'node:timers/promises'

/** Waits at most `seconds`. Returns early, without an error, when the signal is aborted. */
export async function waitSeconds(seconds: number, signal: AbortSignal): Promise<void> {
  if (seconds <= 0 || signal.aborted) return
  await sleep(seconds * 1000, undefined, { signal }).catch((error: unknown) => {
    if (!signal.aborted) throw error
  })
}
