import { cpus, platform, release, totalmem } from 'node:os'

export function describeMachine() {
  const all = cpus()
  return {
    platform: `${platform()} ${release()}`,
    cpu: all[0]?.model ?? 'unknown',
    cores: all.length,
    memoryGb: Math.round(totalmem() / 2 ** 30),
  }
}
