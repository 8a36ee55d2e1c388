import { setTimeout as sleep } from 'node:timers/promises'
import type { Calibration } from './recording.ts'
import type { Replay } from './replay.ts'
import { Service } from './service.ts'
import type { Setup } from './setup.ts'

/** Of what a run writes when nothing holds it back, the part that the standby shall be able to replay. */
const slowedPart = 1 / 3
/** For the pace to have found its speed. */
const warmUpSeconds = 20
const measureSeconds = 10
/** So that there is always something to replay while that is measured. */
const backlogSeconds = 5

/**
 * Finds out what a run writes, slows the standby down to a part of that, and measures what it then really replays. By a run
 * on another table that no replica holds back, so that WAL of the same kind is always there to be replayed.
 */
export async function calibrate(setup: Setup, replay: Replay): Promise<Calibration> {
  const service = await Service.start(setup.url, 'rehearsal')
  try {
    await service.run('rehearsal', { signals: { 'replica-lag': false, 'replica-bytes': false } })
    await sleep(warmUpSeconds * 1000)
    const written = await rate(() => setup.position())
    const slowedTo = Math.round(written * slowedPart)
    replay.slowTo(slowedTo)
    await sleep(backlogSeconds * 1000)
    return { written, slowedTo, capacity: await rate(() => replay.position()) }
  } finally {
    await service.kill()
    replay.slowTo(null)
    await caughtUp(setup, replay)
  }
}

async function rate(position: () => Promise<number>): Promise<number> {
  const began = performance.now()
  const from = await position()
  await sleep(measureSeconds * 1000)
  return ((await position()) - from) / ((performance.now() - began) / 1000)
}

async function caughtUp(setup: Setup, replay: Replay): Promise<void> {
  const position = await setup.position()
  while ((await replay.position()) < position) await sleep(100)
}
