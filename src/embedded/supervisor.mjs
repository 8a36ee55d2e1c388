// Runs next to a process that started a Postgres or a Redis, in a session of its own, and reads a pipe from it. When
// the pipe ends, that process is gone, even after a SIGKILL. The supervisor then ends what every entry that was not
// released left running, removes its temporary folders, and exits.
// One JSON a line: { id, pid?, pidFile?, steps?, dataDir?, remove? } sets an entry, { id, released: true } drops it.
import { readFileSync, rmSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { birth, end, freeSharedMemory } from './os-process.mjs'

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT']) process.on(signal, () => {})

const watched = new Map()
for await (const line of createInterface({ input: process.stdin })) {
  const entry = JSON.parse(line)
  if (entry.released) watched.delete(entry.id)
  // Read the start time now, while the owner still watches the process. Later the number may belong to another one.
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
      // A folder that cannot be removed must not keep the others.
    }
  }
}

/** The owner may have died after it started a server and before it told us the pid. */
function startedUnseen(pidFile) {
  if (!pidFile) return [0, null]
  try {
    const pid = Number.parseInt(readFileSync(pidFile, 'utf8'), 10)
    return pid > 1 ? [pid, birth(pid)] : [0, null]
  } catch {
    return [0, null]
  }
}
