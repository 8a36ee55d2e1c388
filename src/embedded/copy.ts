import { constants } from 'node:fs'
import { type FileHandle, mkdir, open, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Account } from './account.ts'
import { ownSettings } from './initdb.ts'
import { giveTo, secretFile, writeOwned } from './secret.ts'

/**
 * Folders that a copy has empty: what lies in them is of use to the running server only. Of pg_wal too, since a segment
 * may be recycled while it is read: the copy gets its WAL by streaming.
 */
const emptied = new Set([
  'pg_dynshmem',
  'pg_notify',
  'pg_replslot',
  'pg_serial',
  'pg_snapshots',
  'pg_stat_tmp',
  'pg_subtrans',
  'pg_wal',
])

/** What belongs to the one server and not to its data. ALTER SYSTEM's file too: a copy has the settings it is given. */
const leftOut = new Set([
  'postmaster.pid',
  'postmaster.opts',
  'postgresql.auto.conf',
  'standby.signal',
  'backup_label.old',
  'log',
  'current_logfiles',
  'evenkeel.log',
  'evenkeel.log.1',
  ownSettings,
  secretFile,
])

const controlFile = join('global', 'pg_control')

/**
 * Copies the data directory of a server that runs and writes, to be called between pg_backup_start and pg_backup_stop.
 * Any file may vanish, grow or change meanwhile: replay makes up for that. The copy becomes the account's when it is
 * complete, and until then nobody but us gets in.
 */
export async function copyDataDir(from: string, to: string, account: Account | null): Promise<void> {
  const buffer = Buffer.allocUnsafe(1024 * 1024)
  const copyFolder = async (folder: string) => {
    for (const entry of (await unlessGone(readdir(join(from, folder), { withFileTypes: true }))) ?? []) {
      const path = join(folder, entry.name)
      if (leftOut.has(path) || entry.name.startsWith('pgsql_tmp') || entry.name.startsWith('pg_internal.init')) continue
      if (entry.isDirectory()) {
        await mkdir(join(to, path), { mode: 0o700 })
        await giveTo(join(to, path), account)
        if (!emptied.has(path)) await copyFolder(path)
      } else if (entry.isFile()) {
        await copyFile(join(from, path), join(to, path), buffer, account)
      }
    }
  }
  await mkdir(to, { mode: 0o700 })
  await copyFolder('')
  // again, and last: in a copy of a standby it is what says how far replay must come before the files fit together
  await writeOwned(join(to, controlFile), await readSettled(join(from, controlFile)), account)
  await giveTo(to, account)
}

/** By hand: fs.copyFile goes by the size at the start, and never ends when the file has been truncated since. */
async function copyFile(from: string, to: string, buffer: Buffer, account: Account | null): Promise<void> {
  const source = await unlessGone(open(from, constants.O_RDONLY | constants.O_NOFOLLOW))
  if (source === null) return
  let target: FileHandle | undefined
  try {
    target = await open(to, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600)
    if (account !== null) await target.chown(account.uid, account.gid)
    for (;;) {
      const { bytesRead } = await source.read(buffer, 0, buffer.length)
      if (bytesRead === 0) return
      await target.writeFile(buffer.subarray(0, bytesRead))
    }
  } finally {
    await source.close()
    await target?.close()
  }
}

/** The server writes it in place, so one read may get half of the old and half of the new. */
async function readSettled(path: string): Promise<Buffer> {
  for (let last = await readFile(path); ; ) {
    const again = await readFile(path)
    if (again.equals(last)) return again
    last = again
  }
}

function unlessGone<T>(asked: Promise<T>): Promise<T | null> {
  return asked.catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null
    throw error
  })
}
