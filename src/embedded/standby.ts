import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import type pg from 'pg'
import { type Account, unprivilegedAccount } from './account.ts'
import { ChildGuard } from './child-guard.ts'
import { copyDataDir } from './copy.ts'
import { ownSettings } from './initdb.ts'
import { prepareNative } from './native.ts'
import { freePort } from './port.ts'
import { type EmbeddedPostgres, onSomePort, running } from './postgres.ts'
import { type Place, startPostmaster, tail } from './postmaster.ts'
import { writeOwned } from './secret.ts'
import { configurationFile, type Settings, settingsFor } from './settings.ts'
import { temporaryFolder } from './temporary.ts'

export type StandbyOptions = {
  /** application_name in primary_conninfo: the primary's name for it in pg_stat_replication. */
  name: string
  /** Added to our settings, as in postgresql.conf. */
  settings?: Settings
  /** Default: any free port. */
  port?: number
  /** Time limit for a start, and again until it streams. Milliseconds. */
  startTimeoutMs?: number
}

/**
 * Starts a streaming standby of a running embedded Postgres, which may be a standby itself. Its folder is temporary and
 * removed on stop.
 *
 * This and restart() wait until it streams. With recovery_min_apply_delay, restart() may end earlier: Postgres asks for
 * more WAL only when it has replayed what it has.
 */
export async function startStandby(primary: EmbeddedPostgres, options: StandbyOptions): Promise<EmbeddedPostgres> {
  // Postgres would truncate or rewrite any other name, and we would look for one that no standby has.
  if (!/^[\x20-\x7e]{1,63}$/.test(options.name)) {
    throw new Error(`"${options.name}" cannot be an application_name: 1 to 63 ASCII characters`)
  }
  const timeoutMs = options.startTimeoutMs ?? 120_000
  const guard = new ChildGuard()
  let upstream: pg.Client | undefined
  try {
    const account = unprivilegedAccount()
    const native = await prepareNative(primary.wrapper, account, guard)
    const base = await temporaryFolder('evenkeel-standby', account, guard)
    const dataDir = join(base, 'data')
    const place: Place = { native, dataDir, logFile: join(base, 'postgres.log'), account, temporary: true }

    const { username: user, password } = new URL(primary.url)
    // The password has a file of its own: Postgres logs changed settings and shows them to every superuser.
    const passfile = join(base, 'pgpass')
    await writeOwned(passfile, `*:*:*:*:${password}\n`, account)
    const conninfo = { host: '127.0.0.1', port: primary.port, user, passfile, application_name: options.name }

    upstream = await connect(primary.url)
    const settings = {
      ...(await minSettings(upstream)),
      wal_retrieve_retry_interval: '200ms',
      ...options.settings,
      primary_conninfo: connectionString(conninfo),
    }
    await backUp(upstream, primary.dataDir, dataDir, account)
    const start = async (port: number) => {
      const file = configurationFile(settingsFor(true, port, settings))
      await writeOwned(join(dataDir, ownSettings), file, account)
      return startPostmaster(place, guard, timeoutMs)
    }
    const { postmaster, port } = await onSomePort(await freePort(), options.port, start)
    const streams = () => untilStreaming(standby, primary.url, options.name, timeoutMs)
    const standby = running({ place, secret: { password, port } }, postmaster, guard, () => start(port), streams)
    try {
      await streams()
    } catch (error) {
      await standby.stop()
      throw error
    }
    return standby
  } catch (error) {
    await guard.release()
    throw error
  } finally {
    await upstream?.end()
  }
}

/** Imported when needed: a process without a standby needs no driver here. */
async function connect(url: string): Promise<pg.Client> {
  const { default: driver } = await import('pg')
  const client = new driver.Client(url)
  // The current query, or the next one, reports the error, too.
  client.on('error', () => {})
  await client.connect()
  return client
}

/** Settings for which a standby needs at least the primary's values, or it does not start. */
async function minSettings(upstream: pg.Client): Promise<Settings> {
  const { rows } = await upstream.query<{ name: string; setting: string }>(`
    SELECT name, setting FROM pg_settings
    WHERE name IN ('max_connections', 'max_worker_processes', 'max_wal_senders', 'max_prepared_transactions',
      'max_locks_per_transaction')`)
  return Object.fromEntries(rows.map(({ name, setting }) => [name, setting]))
}

/** Keep the session open until the standby streams: its temporary slot keeps the WAL that the copy lacks. */
async function backUp(upstream: pg.Client, from: string, to: string, account: Account | null): Promise<void> {
  const slot = `evenkeel_${randomBytes(6).toString('hex')}`
  await upstream.query('SELECT pg_create_physical_replication_slot($1, true, true)', [slot])
  const { begin, end } = await backupStatements(upstream)
  await untilNoConflict(() => upstream.query(begin))
  await copyDataDir(from, to, account)
  const { rows } = await upstream.query<{ labelfile: string; spcmapfile: string }>(end)
  const [{ labelfile, spcmapfile }] = rows as [{ labelfile: string; spcmapfile: string }]
  if (spcmapfile.trim() !== '') {
    throw new Error(
      'the primary has tablespaces outside its folder, and a standby on the same machine would write into them, too',
    )
  }
  await writeOwned(join(to, 'backup_label'), labelfile, account)
  await writeOwned(join(to, 'standby.signal'), '', account)
}

const maxConflicts = 10

/**
 * Replay of a vacuum on a standby cancels sessions that still read the old rows, and the start of a backup is one. It
 * is tried once more.
 */
async function untilNoConflict(begin: () => Promise<unknown>): Promise<void> {
  for (let conflicts = 1; ; conflicts += 1) {
    try {
      await begin()
      return
    } catch (error) {
      // serialization_failure: conflict with recovery
      if ((error as { code?: string }).code !== '40001' || conflicts > maxConflicts) throw error
    }
  }
}

/** Before 15 the functions have other names and arguments. */
async function backupStatements(upstream: pg.Client): Promise<{ begin: string; end: string }> {
  const { rows } = await upstream.query<{ old: boolean }>(
    "SELECT current_setting('server_version_num')::int < 150000 AS old",
  )
  return rows[0]?.old
    ? {
        begin: "SELECT pg_start_backup('evenkeel', fast => true, exclusive => false)",
        end: 'SELECT labelfile, spcmapfile FROM pg_stop_backup(exclusive => false, wait_for_archive => false)',
      }
    : {
        begin: "SELECT pg_backup_start('evenkeel', fast => true)",
        end: 'SELECT labelfile, spcmapfile FROM pg_backup_stop(wait_for_archive => false)',
      }
}

function connectionString(parameters: Record<string, string | number>): string {
  return Object.entries(parameters)
    .map(([name, value]) => `${name}='${String(value).replace(/['\\]/g, '\\$&')}'`)
    .join(' ')
}

async function untilStreaming(
  standby: EmbeddedPostgres,
  upstreamUrl: string,
  name: string,
  timeoutMs: number,
): Promise<void> {
  const deadline = Date.now() + timeoutMs
  for (;;) {
    const running = standby.pid !== null
    const [streams, seen] = await isStreaming(standby.url, upstreamUrl, name).catch((e: Error) => [false, e.message])
    if (streams) return
    if (!running || Date.now() > deadline) {
      const log = (await tail(standby.logFile, 0)).trim().split('\n').slice(-15).join('\n')
      const what = running ? `does not stream within ${timeoutMs} ms: ${seen}` : 'has ended'
      throw new Error(`the standby ${name} ${what}\n${log}`)
    }
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

async function isStreaming(url: string, upstreamUrl: string, name: string): Promise<readonly [boolean, string]> {
  const [own] = await ask<{ since: string; primary: boolean; delayed: boolean }>(
    url,
    `SELECT pg_postmaster_start_time()::text AS since, NOT pg_is_in_recovery() AS primary,
      EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'RecoveryApplyDelay')
        AND NOT EXISTS (SELECT FROM pg_stat_wal_receiver) AS delayed`,
  )
  if (own?.primary) return [true, 'it was promoted']
  if (own?.delayed) return [true, 'it waits before it replays what it has']
  // Compares the start time: the standby that was killed a moment ago may still be listed.
  const [row] = await ask<{ state: string }>(
    upstreamUrl,
    'SELECT state FROM pg_stat_replication WHERE application_name = $1 AND backend_start > $2 ORDER BY backend_start DESC',
    [name, own?.since],
  )
  return [row?.state === 'streaming', `its state on the primary is ${row?.state ?? 'unknown'}`]
}

async function ask<Row extends pg.QueryResultRow>(url: string, text: string, values: unknown[] = []): Promise<Row[]> {
  const client = await connect(url)
  try {
    return (await client.query<Row>(text, values)).rows
  } finally {
    await client.end()
  }
}
