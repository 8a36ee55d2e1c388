export interface Loop {
  /** The first time is over. */
  readonly first: Promise<void>
  /** No further time; resolves when the one under way is over. */
  stop(): Promise<void>
}

/**
 * Does something now and then at each interval, once at a time: what falls due while it is still at it is left out, so that
 * a slow database is asked less and never more. `work` must not throw.
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
