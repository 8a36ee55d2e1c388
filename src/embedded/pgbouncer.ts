import { spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { unprivilegedAccount } from './account.ts'
import { ChildGuard } from './child-guard.ts'
import { findProgram } from './find.ts'
import { birth, crash, end, type Steps } from './os-process.mjs'
import { freePort } from './port.ts'
import { writeOwned } from './secret.ts'
import { temporaryFolder } from './temporary.ts'

export type EmbeddedPgBouncer = {
  /** URL of the Postgres behind it, with the pooler's port. */
  readonly url: string
  stop(): Promise<void>
}

/** Names and values as in the section [pgbouncer] of pgbouncer.ini. */
export type PgBouncerSettings = Record<string, string | number>

const steps: Steps = [['SIGTERM', 3000]]

/** A pgbouncer on PATH, or the one that scripts/pgbouncer.mjs fetched; null if there is none. */
export function findPgBouncer(): Promise<string | null> {
  return findProgram(['pgbouncer'], 'pgbouncer')
}

/** Starts a pooler for all databases of a Postgres and the user of its URL. */
export async function startPgBouncer(postgresUrl: string, settings: PgBouncerSettings): Promise<EmbeddedPgBouncer> {
  const binary = await findPgBouncer()
  if (binary === null) throw new Error('pgbouncer is not installed: run `node scripts/pgbouncer.mjs`')
  const guard = new ChildGuard()
  try {
    for (let attempt = 1; ; attempt++) {
      const url = new URL(postgresUrl)
      url.port = String(await freePort())
      try {
        const pid = await launch(binary, new URL(postgresUrl), url.port, settings, guard)
        const born = birth(pid)
        return {
          url: url.href,
          async stop() {
            await end(pid, born, steps)
            await guard.release()
          },
        }
      } catch (error) {
        if (attempt >= 5) throw error
      }
    }
  } catch (error) {
    await guard.release()
    throw error
  }
}

async function launch(
  binary: string,
  postgres: URL,
  port: string,
  settings: PgBouncerSettings,
  guard: ChildGuard,
): Promise<number> {
  const account = unprivilegedAccount()
  const folder = await temporaryFolder('evenkeel-pgbouncer', account, guard)
  const [users, log, configuration] = ['users.txt', 'pgbouncer.log', 'pgbouncer.ini'].map((name) => join(folder, name))
  const own = {
    listen_addr: '127.0.0.1',
    listen_port: port,
    unix_socket_dir: '',
    auth_type: 'trust',
    auth_file: users,
    logfile: log,
    ...settings,
  }
  const lines = Object.entries(own).map(([name, value]) => `${name} = ${value}`)
  const databases = `* = host=${postgres.hostname} port=${postgres.port}`
  const quoted = [postgres.username, postgres.password].map((word) => `"${decodeURIComponent(word)}"`)
  await writeOwned(users as string, `${quoted.join(' ')}\n`, account)
  await writeOwned(log as string, '', account)
  const text = `[databases]\n${databases}\n[pgbouncer]\n${lines.join('\n')}\n`
  await writeOwned(configuration as string, text, account)
  // PgBouncer refuses to run as root and changes to the account by itself. The account may not be able to reach the
  // program's file.
  const child = spawn(binary, ['-q', ...(account === null ? [] : ['-u', account.name]), configuration as string], {
    detached: true,
    stdio: 'ignore',
  })
  if (child.pid !== undefined) guard.watch({ pid: child.pid, steps })
  let failed = ''
  child.once('error', (error) => (failed = error.message))
  child.once('exit', (code, signal) => (failed = `it ended with ${signal ?? `code ${code}`}`))
  child.unref()
  const said = () => readFile(log as string, 'utf8').catch(() => '')
  const deadline = Date.now() + 15_000
  while (failed === '' && Date.now() < deadline && child.pid !== undefined) {
    if (/process up/.test(await said())) return child.pid
    await new Promise((resolve) => setTimeout(resolve, 15))
  }
  if (child.pid !== undefined && birth(child.pid) !== null) await crash(child.pid)
  guard.watch({})
  throw new Error(`PgBouncer did not start: ${failed || 'not ready within 15 s'}\n${(await said()).trim()}`)
}
