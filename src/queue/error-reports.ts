const againAfterMs = 60_000
const maxRemembered = 100

/** Passes on the same words once a minute: a queue that is in trouble says them at each turn. */
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
