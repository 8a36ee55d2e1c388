import { spawn } from 'node:child_process'
import { constants } from 'node:fs'
import { open, readFile, rename, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Account, runAs } from './account.ts'
import type { ChildGuard } from './child-guard.ts'
import type { Native } from './native.ts'
import { birth, crash, end, type Steps } from './os-process.mjs'

export type Place = { native: Native; dataDir: string; logFile: string; account: Account | null; temporary: boolean }

export class StartFailure extends Error {
  readonly portTaken: boolean
  constructor(reason: string, log: string) {
    super(`Postgres did not start: ${reason}\n${log.trim().split('\n').slice(-30).join('\n')}`)
    this.portTaken = /could not bind|Address already in use/.test(log)
  }
}

/** Fast shutdown, then immediate shutdown, then SIGKILL. */
const orderly: Steps = [
  ['SIGINT', 20_000],
  ['SIGQUIT', 5_000],
]
const atOnce: Steps = [['SIGQUIT', 5_000]]

/** One server process, from start to end. */
export class Postmaster {
  readonly pid: number
  readonly #born: string | null

  constructor(pid: number) {
    this.pid = pid
    this.#born = birth(pid)
  }

  stop(): Promise<void> {
    return end(this.pid, this.#born, orderly)
  }

  async kill(): Promise<void> {
    if (this.running) await crash(this.pid)
  }

  get running(): boolean {
    return this.#born !== null && birth(this.pid) === this.#born
  }
}

export async function startPostmaster(place: Place, guard: ChildGuard, timeoutMs: number): Promise<Postmaster> {
  const before = await rotate(place.logFile)
  // Never through a link: the account owns the folder with the log of a persistent cluster, and this process may be
  // root.
  const log = await open(
    place.logFile,
    constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW,
    0o600,
  )
  const pidFile = join(place.dataDir, 'postmaster.pid')
  const watched = { pidFile, dataDir: place.dataDir, steps: place.temporary ? atOnce : orderly }
  guard.watch(watched)
  // Detached: Ctrl-C in a terminal reaches the whole session, and the service still has to drain into this server.
  const child = spawn(join(place.native.bin, 'postgres'), ['-D', place.dataDir], {
    ...runAs(place.account),
    detached: true,
    stdio: ['ignore', log.fd, log.fd],
  })
  if (child.pid !== undefined) guard.watch({ ...watched, pid: child.pid })
  let failed = ''
  child.once('error', (error) => (failed = error.message))
  child.once('exit', (code, signal) => (failed = `it ended with ${signal ?? `code ${code}`}`))
  child.unref()
  await log.close()

  const deadline = Date.now() + timeoutMs
  const postmaster = child.pid === undefined ? null : new Postmaster(child.pid)
  while (failed === '' && Date.now() < deadline) {
    if (postmaster !== null && (await isReady(pidFile, postmaster.pid))) return postmaster
    await new Promise((resolve) => setTimeout(resolve, 15))
  }
  await postmaster?.kill()
  guard.watch({})
  throw new StartFailure(failed || `not ready within ${timeoutMs} ms`, await tail(place.logFile, before))
}

/** The eighth line is the postmaster's own status. pg_ctl waits for it, too. */
async function isReady(pidFile: string, pid: number): Promise<boolean> {
  const lines = (await readFile(pidFile, 'utf8').catch(() => '')).split('\n')
  return Number(lines[0]) === pid && ['ready', 'standby'].includes(lines[7]?.trim() ?? '')
}

/** Renames the log of a long-lived cluster before it fills the disk. Returns the size of the log in bytes. */
async function rotate(logFile: string): Promise<number> {
  const size = await stat(logFile).then(
    (s) => s.size,
    () => 0,
  )
  if (size < 16 * 1024 * 1024) return size
  await rename(logFile, `${logFile}.1`)
  return 0
}

export async function tail(logFile: string, from: number): Promise<string> {
  const content = await readFile(logFile).catch(() => Buffer.alloc(0))
  return content.subarray(from).toString('utf8')
}
