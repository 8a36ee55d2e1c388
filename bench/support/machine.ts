import { cpus, platform, release, totalmem } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'

const quietShare = 0.15
const patienceSeconds = 60

export function describeMachine() {
  const all = cpus()
  return {
    platform: `${platform()} ${release()}`,
    cpu: all[0]?.model ?? 'unknown',
    cores: all.length,
    memoryGb: Math.round(totalmem() / 2 ** 30),
  }
}

/** What share of all cores was busy since the call that returned the function. Everybody's work counts, not only ours. */
export function watchCpu(): () => number {
  const before = times()
  return () => {
    const after = times()
    return 1 - (after.idle - before.idle) / (after.all - before.all)
  }
}

/** Waits for a second in which next to nobody works; on a machine that never comes to rest, a minute. */
export async function untilQuiet(): Promise<void> {
  for (let second = 0; second < patienceSeconds; second++) {
    const busy = watchCpu()
    await sleep(1000)
    if (busy() < quietShare) return
  }
}

function times(): { idle: number; all: number } {
  const each = cpus().map((core) => core.times)
  return {
    idle: each.reduce((sum, { idle }) => sum + idle, 0),
    all: each.reduce((sum, { user, nice, sys, irq, idle }) => sum + user + nice + sys + irq + idle, 0),
  }
}
