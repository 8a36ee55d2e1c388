import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** Account that Postgres runs as if this process is root. Postgres refuses to run as root. */
export type Account = { name: string; uid: number; gid: number }

/** Null for an ordinary user: Postgres runs as the same user. */
export function unprivilegedAccount(passwdFile = '/etc/passwd'): Account | null {
  if (process.getuid?.() !== 0) return null
  const accounts = readAccounts(passwdFile)
  const account = accounts.find((a) => a.name === 'postgres') ?? accounts.find((a) => a.name === 'nobody')
  if (account !== undefined) return account
  throw new Error(
    `Postgres refuses to run as root, and ${passwdFile} has neither "postgres" nor "nobody" to run it as. ` +
      'Start this as an ordinary user, or set DATABASE_URL to your own Postgres.',
  )
}

/** Owner of existing files. Postgres opens only a data directory that belongs to its own account. */
export function accountOf(owner: { uid: number; gid: number }): Account {
  return { name: `uid ${owner.uid}`, uid: owner.uid, gid: owner.gid }
}

function readAccounts(passwdFile: string): Account[] {
  let text = ''
  try {
    text = readFileSync(passwdFile, 'utf8')
  } catch {
    // Same as an empty file: the caller's error says what to do.
  }
  return text.split('\n').flatMap((line) => {
    const [name = '', , uid = '', gid = ''] = line.split(':')
    return /^\d+$/.test(uid) && /^\d+$/.test(gid) && Number(uid) !== 0
      ? [{ name, uid: Number(uid), gid: Number(gid) }]
      : []
  })
}

/**
 * Options for spawn(). With a uid Node drops the supplementary groups, too. The environment is bare, because PGDATA,
 * PGPORT or a locale from a shell would change the cluster. The folder is `/`: initdb fails in a folder that its
 * account cannot enter.
 */
export function runAs(account: Account | null) {
  const env = { PATH: process.env.PATH ?? '/usr/bin:/bin', HOME: '/', LC_ALL: 'C', TZ: 'UTC' }
  return account === null ? { env, cwd: '/' } : { env, cwd: '/', uid: account.uid, gid: account.gid }
}

/** Whether the account can enter a folder. Asks the system, because modes, ACLs and mounts all matter. */
export function canEnter(folder: string, account: Account | null): boolean {
  const result = spawnSync('/bin/sh', ['-c', 'cd -- "$1"', 'sh', folder], { ...runAs(account), stdio: 'ignore' })
  if (result.error !== undefined && account !== null) {
    throw new Error(
      `Postgres refuses to run as root, and this process may not switch to "${account.name}" (${result.error.message}). ` +
        'Start this as an ordinary user, or set DATABASE_URL to your own Postgres.',
    )
  }
  return result.status === 0
}
