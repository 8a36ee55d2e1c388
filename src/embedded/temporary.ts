import { randomBytes } from 'node:crypto'
import { chmod, mkdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Account, canEnter } from './account.ts'
import type { ChildGuard } from './child-guard.ts'

/**
 * Creates a folder that we own and that the account can pass through but not list. TMPDIR may be open to us only
 * (root's own), so the usual places are tried next.
 */
export async function temporaryFolder(prefix: string, account: Account | null, guard: ChildGuard): Promise<string> {
  for (const base of new Set([tmpdir(), '/tmp', '/var/tmp'])) {
    const folder = join(base, `${prefix}-${randomBytes(6).toString('hex')}`)
    guard.addFolder(folder)
    try {
      await mkdir(folder, { mode: 0o700 })
    } catch (error) {
      await guard.removeFolder(folder)
      if (base === '/var/tmp') throw error
      continue
    }
    await chmod(folder, account === null ? 0o700 : 0o711)
    if (account === null || canEnter(folder, account)) return folder
    await guard.removeFolder(folder)
  }
  throw new Error(`"${account?.name}" can enter no temporary folder: set TMPDIR to one that it can enter`)
}
