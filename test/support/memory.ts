import { existsSync, readFileSync, statfsSync } from 'node:fs'
import { freemem } from 'node:os'

const folder = '/dev/shm'
const minFreeGb = 6

/**
 * Has temporary files lie in memory where there is plenty of it: hundreds of databases of some hundred files each are made and
 * dropped, and most of their cost is a disk's file system. TMPDIR has the last word.
 */
export function useMemory(): void {
  if (!process.env.TMPDIR && isRoomy()) process.env.TMPDIR = folder
}

function isRoomy(): boolean {
  if (!existsSync(folder)) return false
  const { bavail, bsize } = statfsSync(folder)
  const mount = readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .find((line) => line.split(' ')[1] === folder)
  // Programs are run from there as well.
  return mount !== undefined && !/\bnoexec\b/.test(mount) && Math.min(bavail * bsize, freemem()) > minFreeGb * 1024 ** 3
}
