import { constants } from 'node:fs'
import { type FileHandle, mkdir, open, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Account } from './account.ts'
import { ownSettings } from './initdb.ts'
import { giveTo, secretFile, writeOwned } from './secret.ts'

/**
 * Folders that are empty in a copy, because their contents serve the running server only. pg_wal is one: a segment may
 * be recycled while it is read, so the copy gets its WAL by streaming.
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

/** Files that belong to the server and not to its data. ALTER SYSTEM's file is one: a copy gets its own settings. */
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
 * Copies the data directory of a running server. Call between pg_backup_start and pg_backup_stop. Files may vanish,
 * grow or change meanwhile, and replay repairs that. The account owns the copy when it is complete. Until then only
 * this process can enter it.
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
  // Copied again, last: in a copy of a standby this file says how far replay must come before the files are consistent.
  await writeOwned(join(to, controlFile), await readSettled(join(from, controlFile)), account)
  await giveTo(to, account)
}

/** Not fs.copyFile: it relies on the size at the start, and never ends if the file was truncated since. */
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

/** The server writes the file in place, so one read may get half of the old and half of the new. */
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
