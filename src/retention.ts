import type { Site } from './api/deps.ts'
import { deleteExpiredRun, dropEvents, type ExpiredRun, listCrowdedRuns, listExpiredRuns } from './store/retention.ts'
import { findRun } from './store/runs.ts'
import type { Logger } from './telemetry/logger.ts'
import { waitSeconds } from './worker/wait.ts'

const everySeconds = 3600

/**
 * Keeps the control schemas small, at once and then every hour, until the signal says stop. Any number of processes may do
 * it: whatever one has deleted is not there for the next.
 */
export async function keepRetention(
  sites: readonly Site[],
  days: number,
  actor: string,
  stop: AbortSignal,
): Promise<void> {
  while (!stop.aborted) {
    const expired = await listExpired(sites, days)
    for (const site of sites) {
      await attempt(site.log, () => deleteRuns(site, expired, days, stop))
      await attempt(site.log, () => thinEvents(site, actor, stop))
    }
    await waitSeconds(everySeconds, stop)
  }
}

type ExpiredBySite = ReadonlyMap<Site, readonly ExpiredRun[]>

/** Of the databases that can be read. */
async function listExpired(sites: readonly Site[], days: number): Promise<ExpiredBySite> {
  const lists = new Map<Site, readonly ExpiredRun[]>()
  await Promise.all(
    sites.map((site) =>
      attempt(site.log, async () => {
        lists.set(site, await listExpiredRuns(site.control, days))
      }),
    ),
  )
  return lists
}

async function deleteRuns(site: Site, expired: ExpiredBySite, days: number, stop: AbortSignal): Promise<void> {
  let deleted = 0
  for (const run of expired.get(site) ?? []) {
    if (stop.aborted) break
    if ((await mayGo(site, run, expired)) && (await deleteExpiredRun(site.control, run.id, days))) deleted += 1
  }
  if (deleted > 0) site.log.info({ runs: deleted, days }, 'runs deleted: they ended longer ago than RETENTION_DAYS')
}

/**
 * Whether nobody misses this part of a run. One of several databases' parts alone would look like a run that was never
 * written whole: they go together, by a process that sees all of them.
 */
async function mayGo(site: Site, { id, databases }: ExpiredRun, expired: ExpiredBySite): Promise<boolean> {
  const others = (databases ?? []).filter((name) => name !== site.name)
  if (databases === null || databases.length === 1) return true
  for (const name of others) {
    const [other, runs] = [...expired].find(([{ name: known }]) => known === name) ?? []
    if (!other || !runs) return false
    const same = (run: { databases: readonly string[] | null }) => String(run.databases) === String(databases)
    if (runs.some((run) => run.id === id && same(run))) continue
    // Gone already: a process before this one did not come to its end. Another run of the same id is none of its parts.
    const part = await findRun(other.control, id)
    if (part && same(part)) return false
  }
  return true
}

async function thinEvents(site: Site, actor: string, stop: AbortSignal): Promise<void> {
  for (const run of await listCrowdedRuns(site.control)) {
    if (stop.aborted) break
    const dropped = await dropEvents(site.control, run, actor)
    if (dropped > 0) site.log.info({ run, dropped }, 'events dropped: the run has more than are kept of one')
  }
}

async function attempt(log: Logger, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    log.warn({ err: error }, 'what is old could not be deleted; it is tried again in an hour')
  }
}
