// Plain JavaScript, since the supervisor runs it without a loader.
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'

/**
 * When a process started, as the system tells it; null when it is gone. Numbers are reused: a signal goes only to a
 * process that was born when we think it was. A zombie counts as gone, since in a container whose first process reaps
 * nobody it stays for ever, and waiting for it would be waiting for ever. But only with its last thread: a Redis that
 * was killed listens on for as long as its helpers take to die.
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

/** Whether this is the same process as before; without `born`, whether there is one at all. */
export function alive(pid, born) {
  const now = birth(pid)
  return now !== null && (born === undefined || born === null || born === now)
}

/** The command line, to tell a Postgres from whatever got its number after a reboot. */
export function commandLine(pid) {
  try {
    if (process.platform === 'linux') return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
    return ps('-o', 'command=', '-p', String(pid))
  } catch {
    return ''
  }
}

/** Waits until the process is gone; false when it still is there after `ms`. */
export async function gone(pid, born, ms) {
  const deadline = Date.now() + ms
  while (alive(pid, born)) {
    if (Date.now() > deadline) return false
    await new Promise((resolve) => setTimeout(resolve, 15))
  }
  return true
}

/** Tries each [signal, milliseconds to wait] in turn, and crashes the process when none of them ended it. */
export async function end(pid, born, steps) {
  for (const [signal, ms] of steps) {
    if (!alive(pid, born)) return
    send(pid, signal)
    if (await gone(pid, born, ms)) return
  }
  if (alive(pid, born)) await crash(pid)
}

/**
 * SIGKILL for a process and its children, and waits until all are gone. Backends outlive their postmaster for a
 * moment, can even commit in it, and a new postmaster refuses to start beside them.
 */
export async function crash(pid) {
  const all = [pid, ...children(pid)].map((each) => [each, birth(each)])
  for (const [each] of all) send(each, 'SIGKILL')
  for (const [each, born] of all) if (born !== null) await gone(each, born, 5000)
}

/**
 * A postmaster that ended by itself removes its shared memory and its pid file; after a SIGKILL both stay. Nobody else
 * ever frees that memory when the folder is thrown away.
 */
export function freeSharedMemory(dataDir) {
  try {
    const id = readFileSync(`${dataDir}/postmaster.pid`, 'utf8').split('\n')[6]?.trim().split(/\s+/)[1]
    if (id !== undefined) execFileSync('ipcrm', ['-m', id], { stdio: 'ignore' })
  } catch {
    // no pid file: nothing to free; no ipcrm: 56 bytes until the next boot
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
