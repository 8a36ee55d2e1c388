// Plain JavaScript, because the supervisor runs it without a loader.
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'

/**
 * Start time of a process, as the system writes it; null if it is gone. Numbers are reused, so a signal goes only to a
 * process with the expected start time. A zombie counts as gone: in a container whose first process does not reap it,
 * it stays for ever. It must have no other thread left: a killed Redis listens until its helper threads have died.
 */
export function birth(pid) {
  try {
    if (process.platform === 'linux') {
      const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      const dead = fields[0] === 'X' || (fields[0] === 'Z' && Number(fields[17]) <= 1)
      return dead ? null : fields[19]
    }
    const line = ps('-o', 'state=,lstart=', '-p', String(pid)).trim()
    return line === '' || line.startsWith('Z') ? null : line.slice(line.indexOf(' ')).trim()
  } catch {
    return null
  }
}

/** Whether this is the same process as before; without `born`, whether any process has the number. */
export function alive(pid, born) {
  const now = birth(pid)
  return now !== null && (born === undefined || born === null || born === now)
}

/** The command line, which distinguishes a Postgres from another process that got its number after a reboot. */
export function commandLine(pid) {
  try {
    if (process.platform === 'linux') return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
    return ps('-o', 'command=', '-p', String(pid))
  } catch {
    return ''
  }
}

/** Waits until the process is gone. False if it still exists after `ms`. */
export async function gone(pid, born, ms) {
  const deadline = Date.now() + ms
  while (alive(pid, born)) {
    if (Date.now() > deadline) return false
    await new Promise((resolve) => setTimeout(resolve, 15))
  }
  return true
}

/** Tries each [signal, milliseconds to wait] in turn, and crashes the process if none ended it. */
export async function end(pid, born, steps) {
  for (const [signal, ms] of steps) {
    if (!alive(pid, born)) return
    send(pid, signal)
    if (await gone(pid, born, ms)) return
  }
  if (alive(pid, born)) await crash(pid)
}

/**
 * Kills a process and its children, and waits until all are gone. Backends outlive their postmaster for a moment, can
 * still commit in it, and a new postmaster refuses to start next to them.
 */
export async function crash(pid) {
  const all = [pid, ...children(pid)].map((each) => [each, birth(each)])
  for (const [each] of all) send(each, 'SIGKILL')
  for (const [each, born] of all) if (born !== null) await gone(each, born, 5000)
}

/**
 * Frees the shared memory and the pid file that a killed postmaster leaves behind. If the folder is thrown away,
 * nothing else would ever free that memory.
 */
export function freeSharedMemory(dataDir) {
  try {
    const id = readFileSync(`${dataDir}/postmaster.pid`, 'utf8').split('\n')[6]?.trim().split(/\s+/)[1]
    if (id !== undefined) execFileSync('ipcrm', ['-m', id], { stdio: 'ignore' })
  } catch {
    // Without a pid file nothing is left. Without ipcrm 56 bytes stay until the next boot.
  }
}

function send(pid, signal) {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if (error.code !== 'ESRCH') throw error
  }
}

function children(pid) {
  try {
    if (process.platform !== 'linux') {
      const table = ps('-A', '-o', 'pid=,ppid=').trim().split('\n')
      return table
        .map((line) => line.trim().split(/\s+/).map(Number))
        .flatMap(([p, parent]) => (parent === pid ? [p] : []))
    }
    return readdirSync('/proc').flatMap((name) => (/^\d+$/.test(name) && parentOf(name) === pid ? [Number(name)] : []))
  } catch {
    return []
  }
}

function parentOf(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
  } catch {
    return null
  }
}

function ps(...args) {
  return execFileSync('ps', args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { PATH: process.env.PATH, LC_ALL: 'C' },
  })
}
