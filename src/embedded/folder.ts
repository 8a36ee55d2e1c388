import { createHash, randomBytes } from 'node:crypto'
import { lstat, mkdir, readdir, readFile, readlink, realpath, rename, rmdir, stat, symlink } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { type Account, accountOf, canEnter, unprivilegedAccount } from './account.ts'
import type { ChildGuard } from './child-guard.ts'
import { initdb } from './initdb.ts'
import type { Native } from './native.ts'
import { alive, commandLine } from './os-process.mjs'
import { readSecret } from './secret.ts'

const clusters = '/var/lib/evenkeel'

/** Real location of a persistent cluster, and the account that runs it. */
export async function placeFolder(asked: string): Promise<{ dataDir: string; account: Account | null }> {
  const path = resolve(asked)
  await mkdir(dirname(path), { recursive: true })
  const account = unprivilegedAccount()
  const link = await readlink(path).catch(() => null)
  if (link !== null) await mkdir(resolve(dirname(path), link), { recursive: true })
  if (link === null && !canEnter(dirname(path), account)) {
    await rmdir(path).catch(refuseUnlessAbsent(path))
    await symlink(await newClusterFolder(path), path)
  }
  const dataDir = await realpath(path).catch(() => path)
  if (account === null) return { dataDir, account }
  // The account that made the cluster keeps it: an ordinary user before root, or "nobody" before "postgres" existed.
  const owner = await stat(dataDir).catch(() => null)
  return { dataDir, account: owner === null || owner.uid === 0 ? account : accountOf(owner) }
}

/**
 * For a project that the account cannot enter (a clone under /root). Named by a hash of the path. Never a folder with
 * contents: the link to it may have moved with its project.
 */
async function newClusterFolder(path: string): Promise<string> {
  await mkdir(clusters, { recursive: true, mode: 0o755 })
  const hash = createHash('sha256').update(path).digest('hex').slice(0, 16)
  for (let n = 1; ; n++) {
    const folder = join(clusters, n === 1 ? hash : `${hash}-${n}`)
    if ((await entries(folder)).length > 0) continue
    await mkdir(folder, { recursive: true })
    return folder
  }
}

function refuseUnlessAbsent(path: string) {
  return (error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') {
      throw new Error(
        `${path} cannot hold a Postgres: it is not empty, and the account that would run Postgres cannot enter it. Name another folder.`,
      )
    }
  }
}

/** Creates the cluster unless it exists. Throws if the folder holds something that is not ours to start. */
export async function openCluster(
  native: Native,
  dataDir: string,
  account: Account | null,
  guard: ChildGuard,
  port: number,
) {
  if ((await entries(dataDir)).length === 0) {
    // Made elsewhere and moved in one step, so that an interrupted initdb never looks like a cluster.
    const aside = join(dirname(dataDir), `.${basename(dataDir)}-${randomBytes(4).toString('hex')}`)
    guard.addFolder(aside)
    await mkdir(aside, { mode: account === null ? 0o700 : 0o711 })
    const made = await initdb(native, aside, account, guard, { port, durable: true })
    await rename(made, dataDir).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'EBUSY' || error.code === 'EXDEV') {
        throw new Error(`${dataDir} is a mount point: name a folder inside it for the Postgres`)
      }
      // Another process was faster. Its cluster will do.
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
    })
    await guard.removeFolder(aside)
  }
  const version = await readFile(join(dataDir, 'PG_VERSION'), 'utf8').catch(() => null)
  if (version === null)
    throw new Error(
      `${dataDir} is neither empty nor a Postgres data directory (no PG_VERSION). It was left as it is: name another folder.`,
    )
  if (version.trim() !== native.major) {
    throw new Error(
      `${dataDir} was made by Postgres ${version.trim()}, and this is Postgres ${native.major}. It was left as it is. ` +
        'Dump it with the old version, or name another folder.',
    )
  }
  const uid = process.getuid?.()
  const owner = (await lstat(dataDir)).uid
  if (uid !== 0 && owner !== uid)
    throw new Error(
      `${dataDir} belongs to uid ${owner}, and this process has uid ${uid}. It was left as it is: name another folder.`,
    )
  const secret = await readSecret(dataDir)
  if (secret === null) {
    throw new Error(`${dataDir} is a Postgres that something else made, so its password is unknown: set DATABASE_URL`)
  }
  await refuseIfRunning(dataDir)
  return secret
}

/** Waits for a postmaster that is ending because its owner was killed a moment ago. */
async function refuseIfRunning(dataDir: string): Promise<void> {
  const pidFile = join(dataDir, 'postmaster.pid')
  const started = Date.now()
  for (;;) {
    const lines = (await readFile(pidFile, 'utf8').catch(() => '')).split('\n')
    const pid = Number(lines[0])
    if (!(pid > 1) || !alive(pid) || !/postgres/.test(commandLine(pid))) return
    const patience = lines[7]?.trim() === 'stopping' ? 30_000 : 1_000
    if (Date.now() - started > patience) {
      throw new Error(
        `a Postgres runs on ${dataDir} already (process ${pid}, port ${lines[3]}): stop it first, or connect to it by its URL`,
      )
    }
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

function entries(folder: string): Promise<string[]> {
  return readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw error
  })
}
