import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { appendFile, mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type Account, runAs } from './account.ts'
import type { ChildGuard } from './child-guard.ts'
import type { Native } from './native.ts'
import { giveTo, writeOwned, writeSecret } from './secret.ts'

export const superuser = 'postgres'
export const ownSettings = 'evenkeel.conf'

/** Creates a cluster in `<base>/data`. */
export async function initdb(
  native: Native,
  base: string,
  account: Account | null,
  guard: ChildGuard,
  options: { port: number; durable: boolean },
): Promise<string> {
  const dataDir = join(base, 'data')
  const passwordFile = join(base, 'password')
  const password = randomBytes(18).toString('base64url')
  await mkdir(dataDir, { mode: 0o700 })
  await giveTo(dataDir, account)
  await writeOwned(passwordFile, password, account)
  const child = spawn(
    join(native.bin, 'initdb'),
    [
      `--pgdata=${dataDir}`,
      `--username=${superuser}`,
      `--pwfile=${passwordFile}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      // Postgres' own provider: the same order on every machine, and no need for the system's locales, which a
      // container lacks. ICU collations also exist, by name. Before 17 there is only C, which knows no case but
      // ASCII's.
      '--locale=C',
      ...(Number(native.major) < 17 ? [] : ['--locale-provider=builtin', '--builtin-locale=C.UTF-8']),
      '--text-search-config=english',
      '--no-instructions',
      ...(options.durable ? [] : ['--no-sync']),
    ],
    { ...runAs(account), detached: true, stdio: ['ignore', 'pipe', 'pipe'] },
  )
  if (child.pid !== undefined) guard.watch({ pid: child.pid })
  const { code, output } = await finished(child)
  guard.watch({})
  if (code !== 0) throw new Error(`initdb failed:\n${output}`)
  await rm(passwordFile)
  await appendFile(join(dataDir, 'postgresql.conf'), `\ninclude_if_exists '${ownSettings}'\n`)
  await writeSecret(dataDir, { password, port: options.port }, account)
  return dataDir
}

function finished(child: ChildProcess): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve, reject) => {
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => (output += chunk))
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, output }))
  })
}
