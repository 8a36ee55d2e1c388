const againAfterMs = 60_000
const maxRemembered = 100

/** Reports the same message once a minute at most: a failing queue repeats it on every attempt. */
export function limitReports(report: (error: Error) => void): (error: Error) => void {
  const said = new Map<string, number>()
  return (error) => {
    const now = performance.now()
    const last = said.get(error.message)
    if (last !== undefined && now - last < againAfterMs) return
    if (said.size >= maxRemembered) said.clear()
    said.set(error.message, now)
    report(error)
  }
}
