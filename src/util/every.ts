export interface Loop {
  /** Resolves when the first call has ended. */
  readonly first: Promise<void>
  /** Stops further calls. Resolves when the current one has ended. */
  stop(): Promise<void>
}

/**
 * Calls `work` now and at each interval, one call at a time. Skips a call that falls due during another one, so a slow
 * database is asked less often. `work` must not throw.
 */
export function every(intervalMs: number, work: () => Promise<void>): Loop {
  let stopped = false
  let timer: NodeJS.Timeout | undefined
  const once = async () => {
    const began = performance.now()
    await work()
    if (stopped) return
    const passed = performance.now() - began
    timer = setTimeout(
      () => {
        current = once()
      },
      intervalMs - (passed % intervalMs),
    )
  }
  const first = once()
  let current = first
  return {
    first,
    async stop() {
      stopped = true
      clearTimeout(timer)
      await current
    },
  }
}
