import { execFile } from 'node:child_process'
import { chmod, cp, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Account, runAs } from './account.ts'
import { hydrate, nativeFolder } from './binaries.ts'
import type { ChildGuard } from './child-guard.ts'
import { temporaryFolder } from './temporary.ts'

/** Binaries that the account can run on this machine. `wrapper` is the npm package that brought them. */
export type Native = { bin: string; major: string; wrapper: string }

/**
 * Uses the binaries in place if they run there, else in a private copy. A clone under /root is closed to the account
 * that Postgres runs as, and a read-only node_modules may lack the links to libraries. Tested by running them.
 */
export async function prepareNative(wrapper: string, account: Account | null, guard: ChildGuard): Promise<Native> {
  const installed = nativeFolder(wrapper)
  try {
    await hydrate(installed)
    return await tryOut(installed, wrapper, account)
  } catch {
    const folder = await temporaryFolder('evenkeel-bin', account, guard)
    const copy = join(folder, 'native')
    await cp(installed, copy, { recursive: true, verbatimSymlinks: true })
    await hydrate(copy)
    await openUp(copy)
    try {
      return await tryOut(copy, wrapper, account)
    } catch (error) {
      throw new Error(
        `the Postgres from npm does not run on this machine (it is built for glibc, so not for Alpine): ` +
          `set DATABASE_URL to your own Postgres.\n${(error as Error).message}`,
      )
    }
  }
}

async function tryOut(native: string, wrapper: string, account: Account | null): Promise<Native> {
  const bin = join(native, 'bin')
  const { stdout } = await promisify(execFile)(join(bin, 'postgres'), ['--version'], runAs(account))
  const major = /\) (\d+)/.exec(stdout)?.[1]
  if (major === undefined) throw new Error(`postgres --version said: ${stdout}`)
  return { bin, major, wrapper }
}

/** The original may have been unpacked with a umask that excludes other accounts. */
async function openUp(folder: string): Promise<void> {
  await chmod(folder, 0o755)
  for (const entry of await readdir(folder, { withFileTypes: true, recursive: true })) {
    const path = join(entry.parentPath, entry.name)
    if (entry.isDirectory()) await chmod(path, 0o755)
    else if (entry.isFile()) await chmod(path, path.startsWith(join(folder, 'bin')) ? 0o755 : 0o644)
  }
}
