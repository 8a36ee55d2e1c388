import { setTimeout as sleep } from 'node:timers/promises'
import { calibrate } from './episode/calibrate.ts'
import { Recorder } from './episode/recorder.ts'
import type { Calibration, Phase, Recording } from './episode/recording.ts'
import { Replay } from './episode/replay.ts'
import { writeRecording } from './episode/results.ts'
import { Service } from './episode/service.ts'
import { Setup } from './episode/setup.ts'
import { tableOf, verdictsOf } from './episode/verdict.ts'
import { untilQuiet, watchCpu } from './support/cpu.ts'

/** Enough for all of it. */
const rows = { readings: 16_000_000, rehearsal: 8_000_000 }

interface PlannedPhase extends Pick<Phase, 'name' | 'slowed'> {
  readonly seconds: number
  readonly begin: (replay: Replay, calibration: Calibration) => Promise<void> | void
}

const plan: readonly PlannedPhase[] = [
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
    const setup = await Setup.create(rows)
    undo.push(() => setup.stop())
    const replay = await Replay.open(setup.standbyUrl)
    undo.push(() => replay.close())
    await untilQuiet()
    console.log('Calibration: what a run writes, and what the standby can replay …')
    const calibration = await calibrate(setup, replay)
    console.log(calibration)
    await setup.onPrimary((client) => client.query('CHECKPOINT'))
    await untilQuiet()

    const service = await Service.start(setup.url, 'evenkeel')
    undo.push(() => service.kill())
    const recorder = await Recorder.open(setup.url, setup.standbyUrl, service)
    undo.push(() => recorder.stop())
    const id = await service.run('readings')
    await recorder.follow(id)
    const phases: Phase[] = []
    for (const phase of plan) {
      console.log(`${phase.name}, ${phase.seconds} s …`)
      const shares = watchCpu()
      const from = recorder.now
      await phase.begin(replay, calibration)
      await Promise.race([sleep(phase.seconds * 1000), service.failure, recorder.failure, replay.failure])
      phases.push({ name: phase.name, slowed: phase.slowed, from, to: recorder.now, cpuOthers: shares().others })
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

// The embedded servers have a supervisor each, and the processes exit with us: Ctrl-C leaves nothing behind.
await main()
