import { constants } from 'node:fs'
import { chown, open, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import type { Account } from './account.ts'

/** Everything that keeps the URL the same after the next start. */
export type Secret = { password: string; port: number }

/**
 * Lies inside the data directory, which only the account enters, so that one rename creates it together with the
 * cluster. Outside, two first starts at once could combine the password of one with the cluster of the other.
 */
export const secretFile = 'evenkeel.secret.json'
const file = (dataDir: string) => join(dataDir, secretFile)

export async function readSecret(dataDir: string): Promise<Secret | null> {
  try {
    return JSON.parse(await readFile(file(dataDir), 'utf8'))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

export async function writeSecret(dataDir: string, secret: Secret, account: Account | null): Promise<void> {
  await writeOwned(file(dataDir), `${JSON.stringify(secret)}\n`, account)
}

/**
 * Writes a file of mode 0600 for the account. It holds the old text or the new, never a part. O_EXCL: it never follows
 * a link.
 */
export async function writeOwned(path: string, content: string | Buffer, account: Account | null): Promise<void> {
  const aside = `${path}.${process.pid}.${Date.now()}`
  const handle = await open(aside, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600)
  try {
    await handle.writeFile(content)
    if (account !== null) await handle.chown(account.uid, account.gid)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(aside, path)
}

export async function giveTo(path: string, account: Account | null): Promise<void> {
  if (account !== null) await chown(path, account.uid, account.gid)
}
