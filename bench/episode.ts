import { setTimeout as sleep } from 'node:timers/promises'
import { calibrate } from './episode/calibrate.ts'
import { Recorder } from './episode/recorder.ts'
import type { Calibration, Phase, Recording } from './episode/recording.ts'
import { Replay } from './episode/replay.ts'
import { writeRecording } from './episode/results.ts'
import { Scene } from './episode/scene.ts'
import { Service } from './episode/service.ts'
import { tableOf, verdictsOf } from './episode/verdict.ts'
import { untilQuiet, watchCpu } from './support/cpu.ts'

/** Enough for all of it. */
const rows = { readings: 16_000_000, rehearsal: 8_000_000 }

interface Act extends Pick<Phase, 'name' | 'slowed'> {
  readonly seconds: number
  readonly begin: (replay: Replay, calibration: Calibration) => Promise<void> | void
}

const acts: readonly Act[] = [
  { name: 'free', slowed: false, seconds: 30, begin: () => {} },
  {
    name: 'replay slowed to a third',
    slowed: true,
    seconds: 90,
    begin: (replay, { slowedTo }) => replay.slowTo(slowedTo),
  },
  { name: 'paused', slowed: false, seconds: 20, begin: (replay) => replay.pause() },
  { name: 'slow still', slowed: true, seconds: 40, begin: (replay) => replay.resume() },
  { name: 'free again', slowed: false, seconds: 40, begin: (replay) => replay.slowTo(null) },
]

/** A run beside a standby that becomes slow, stands still and recovers: what evenkeel does, and what the standby feels. */
async function main(): Promise<void> {
  const undo: (() => Promise<unknown>)[] = []
  try {
    console.log('A primary with its tables, and a standby …')
    const scene = await Scene.set(rows)
    undo.push(() => scene.strike())
    const replay = await Replay.open(scene.standbyUrl)
    undo.push(() => replay.close())
    await untilQuiet()
    console.log('Calibration: what a run writes, and what the standby can replay …')
    const calibration = await calibrate(scene, replay)
    console.log(calibration)
    await scene.onPrimary((client) => client.query('CHECKPOINT'))
    await untilQuiet()

    const service = await Service.start(scene.url, 'evenkeel')
    undo.push(() => service.kill())
    const recorder = await Recorder.open(scene.url, scene.standbyUrl, service)
    undo.push(() => recorder.stop())
    const id = await service.run('readings')
    await recorder.follow(id)
    const phases: Phase[] = []
    for (const act of acts) {
      console.log(`${act.name}, ${act.seconds} s …`)
      const shares = watchCpu()
      const from = recorder.now
      await act.begin(replay, calibration)
      await Promise.race([sleep(act.seconds * 1000), service.failure, recorder.failure, replay.failure])
      phases.push({ name: act.name, slowed: act.slowed, from, to: recorder.now, cpuOthers: shares().others })
    }
    const { status, reason } = await service.find(id)
    if (status !== 'running') throw new Error(`the run should be under way still and is ${status}: ${reason}`)
    const recording: Recording = {
      calibration,
      limits: await recorder.limits(),
      phases,
      samples: recorder.samples,
    }
    const file = await writeRecording(recording)
    console.log(`\n${tableOf(verdictsOf(recording))}\n\nThe recording is in ${file}`)
  } finally {
    for (const step of undo.reverse()) await step().catch(() => {})
  }
}

// The embedded servers have a warden each and the processes are on a leash: Ctrl-C leaves nothing behind.
await main()
