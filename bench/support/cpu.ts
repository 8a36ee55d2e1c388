import { readdirSync, readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'

/** Others that take more than this of the machine are seen in the latencies. */
const quietShare = 0.1
const patienceSeconds = 15
const tickMs = 10

/** Shares of all cores. */
export interface CpuShares {
  /** We, Postgres, the load and the service. */
  readonly ours: number
  /** Whatever else runs on this machine. */
  readonly others: number
}

/** Shares since the call that returned the function; NaN where there is no /proc. */
export function watchCpu(): () => CpuShares {
  const before = { ...machineTimes(), ours: treeTime(process.pid) }
  return () => {
    const after = { ...machineTimes(), ours: treeTime(process.pid) }
    const all = after.all - before.all
    const ours = (after.ours - before.ours) / all
    return { ours, others: Math.max(0, (after.busy - before.busy) / all - ours) }
  }
}

/** Where it cannot be known, it is taken for quiet. */
export function isQuiet(cpuOthers: number): boolean {
  return !(cpuOthers > quietShare)
}

/** Waits for a second in which others leave the machine to us; where they never do, goes on after some seconds. */
export async function untilQuiet(): Promise<void> {
  for (let second = 0; second < patienceSeconds; second++) {
    const shares = watchCpu()
    await sleep(1000)
    if (isQuiet(shares().others)) return
  }
}

/** What a process of ours and all that descends from it have used so far; NaN where there is no /proc. */
export function cpuSecondsOf(pid: number): number {
  return treeTime(pid) / 1000
}

function machineTimes(): { all: number; busy: number } {
  let all = 0
  let idle = 0
  for (const { times } of cpus()) {
    idle += times.idle
    all += times.user + times.nice + times.sys + times.irq + times.idle
  }
  return { all, busy: all - idle }
}

/** What a process and all that descends from it have used, in milliseconds; those that have ended count with their parents. */
function treeTime(root: number): number {
  const children = new Map<number, number[]>()
  const used = new Map<number, number>()
  for (const { pid, parent, ms } of processes()) {
    children.set(parent, [...(children.get(parent) ?? []), pid])
    used.set(pid, ms)
  }
  const sum = (pid: number): number =>
    (children.get(pid) ?? []).reduce((total, child) => total + sum(child), used.get(pid) ?? Number.NaN)
  return sum(root)
}

function processes(): { pid: number; parent: number; ms: number }[] {
  try {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .flatMap((name) => processOf(Number(name)))
  } catch {
    return []
  }
}

function processOf(pid: number): { pid: number; parent: number; ms: number }[] {
  try {
    // Its name, in brackets, may hold spaces. After it: state, parent, …; from the twelfth on user and system time, its
    // own and its children's.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? []
    const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0)
    return [{ pid, parent: Number(fields[1]), ms: ticks * tickMs }]
  } catch {
    // It has ended since the folder was read.
    return []
  }
}
