// Runs beside the process that started a Postgres or a Redis, in a session of its own, and does nothing but read a pipe
// from it. When the pipe ends and an entry was not released, that process is gone, however it went (SIGKILL too): end
// what it left running, remove its temporary folders, and leave.
//
// One JSON a line: { id, pid?, pidFile?, steps?, dataDir?, remove? } sets an entry, { id, released: true } drops it.
import { readFileSync, rmSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { birth, end, freeSharedMemory } from './os-process.mjs'

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT']) process.on(signal, () => {})

const watched = new Map()
for await (const line of createInterface({ input: process.stdin })) {
  const entry = JSON.parse(line)
  if (entry.released) watched.delete(entry.id)
  // the birth is taken here and now, while its owner still watches it: later the number may be someone else's
  else watched.set(entry.id, { ...entry, born: entry.pid ? birth(entry.pid) : null })
}
await Promise.all([...watched.values()].map(cleanUp))

async function cleanUp(entry) {
  const [pid, born] = entry.pid ? [entry.pid, entry.born] : startedUnseen(entry.pidFile)
  if (pid && born) await end(pid, born, entry.steps ?? [])
  if (entry.dataDir) freeSharedMemory(entry.dataDir)
  for (const path of entry.remove ?? []) {
    try {
      rmSync(path, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 })
    } catch {
      // one folder that cannot be removed must not keep the others
    }
  }
}

/** Our owner may have died between the start of a server and telling us its number. */
function startedUnseen(pidFile) {
  if (!pidFile) return [0, null]
  try {
    const pid = Number.parseInt(readFileSync(pidFile, 'utf8'), 10)
    return pid > 1 ? [pid, birth(pid)] : [0, null]
  } catch {
    return [0, null]
  }
}
