import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** Who Postgres runs as when we are root, as which it refuses to run. */
export type Account = { name: string; uid: number; gid: number }

/** Null for an ordinary user: Postgres then runs as ourselves. */
export function unprivilegedAccount(passwdFile = '/etc/passwd'): Account | null {
  if (process.getuid?.() !== 0) return null
  const accounts = readAccounts(passwdFile)
  const account = accounts.find((a) => a.name === 'postgres') ?? accounts.find((a) => a.name === 'nobody')
  if (account !== undefined) return account
  throw new Error(
    `Postgres refuses to run as root, and ${passwdFile} has neither "postgres" nor "nobody" to run it as. ` +
      'Start this as an ordinary user, or set DATABASE_URL to a Postgres of yours.',
  )
}

/** The owner of files that are there already: Postgres opens only a data directory that belongs to its own account. */
export function accountOf(owner: { uid: number; gid: number }): Account {
  return { name: `uid ${owner.uid}`, uid: owner.uid, gid: owner.gid }
}

function readAccounts(passwdFile: string): Account[] {
  let text = ''
  try {
    text = readFileSync(passwdFile, 'utf8')
  } catch {
    // as good as empty: the caller's error says what to do
  }
  return text.split('\n').flatMap((line) => {
    const [name = '', , uid = '', gid = ''] = line.split(':')
    return /^\d+$/.test(uid) && /^\d+$/.test(gid) && Number(uid) !== 0
      ? [{ name, uid: Number(uid), gid: Number(gid) }]
      : []
  })
}

/**
 * For spawn(). With a uid Node drops the supplementary groups too. The environment is bare: PGDATA, PGPORT or a locale
 * of somebody's shell would change what a cluster is. The folder is `/`: initdb fails in one its account cannot enter.
 */
export function runAs(account: Account | null) {
  const env = { PATH: process.env.PATH ?? '/usr/bin:/bin', HOME: '/', LC_ALL: 'C', TZ: 'UTC' }
  return account === null ? { env, cwd: '/' } : { env, cwd: '/', uid: account.uid, gid: account.gid }
}

/** Whether the account gets into a folder, asked of the system: modes, ACLs and mounts all have their say. */
export function canEnter(folder: string, account: Account | null): boolean {
  const result = spawnSync('/bin/sh', ['-c', 'cd -- "$1"', 'sh', folder], { ...runAs(account), stdio: 'ignore' })
  if (result.error !== undefined && account !== null) {
    throw new Error(
      `Postgres refuses to run as root, and this process may not become "${account.name}" (${result.error.message}). ` +
        'Start this as an ordinary user, or set DATABASE_URL to a Postgres of yours.',
    )
  }
  return result.status === 0
}
