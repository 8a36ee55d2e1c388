import type { Phase, Recording, Sample } from './recording.ts'

export interface Verdict {
  readonly what: string
  readonly is: string
  /** What was hoped for, and whether it came so; null where there is nothing to come up to. */
  readonly goal: string | null
  readonly met: boolean | null
}

/** What the recording says about the promises of the pace. */
export function verdictsOf({ calibration, limits, phases, samples }: Recording): Verdict[] {
  const [free, slow, paused, again, freed] = phases as [Phase, Phase, Phase, Phase, Phase]
  const approach = approachOf(within(samples, slow), limits.soft)
  const settled = samples.filter(({ at }) => at >= approach.endsAt && at < slow.to)
  const worst = maxOf(settled, ({ lag }) => lag)
  const first = settled[0] as Sample
  const last = settled.at(-1) as Sample
  const used = (last.replayed - first.replayed) / (last.at - first.at) / calibration.capacity

  const stopped = within(samples, { ...paused, to: again.to })
  const over = stopped.find(({ lag }) => lag >= limits.hard)
  const held = stopped.filter(({ hold }) => hold !== null)
  const heldFrom = held[0]
  const released = heldFrom && stopped.find(({ at, hold }) => at > heldFrom.at && hold === null)
  const heldTo = released && held.filter(({ at }) => at < released.at).at(-1)
  const whileHeld = heldFrom && heldTo ? heldTo.rows - heldFrom.rows : Number.NaN
  const before = heldFrom ? within(samples, { from: heldFrom.at - 5, to: heldFrom.at }) : []
  const batch = maxOf(batchSizes(before), (size) => size)
  const workers = maxOf(before, (sample) => sample.workers)
  const goingOn = heldTo && stopped.find(({ at, rows }) => at >= again.from && rows > heldTo.rows)

  const usual = speedOf(within(samples, { ...free, from: free.to - 10 }))
  const fastAgain = samples.find(({ at }, index) => {
    const late = samples.slice(index - 8, index + 1)
    return at - 2 >= freed.from && speedOf(late) >= 0.8 * usual
  })
  const holds = samples.filter(({ hold }, index) => hold !== null && (samples[index - 1]?.hold ?? null) === null).length

  return [
    plain('a run writes, free', `${mib(calibration.written)} MiB/s`),
    plain('the standby can replay, slowed', `${mib(calibration.capacity)} MiB/s`),
    plain('rows/s, free', Math.round(usual).toString()),
    plain('approach: how long', `${(approach.endsAt - slow.from).toFixed(1)} s`),
    plain('approach: highest lag', `${approach.worst.toFixed(1)} s`),
    goal('then: highest lag', `${worst.toFixed(1)} s`, `< ${limits.hard} s`, worst < limits.hard),
    goal('then: replay capacity used', `${Math.round(used * 100)} %`, '>= 80 %', used >= 0.8),
    timeGoal('limit reached to held', over && heldFrom && heldFrom.at - over.at, 2),
    goal('rows done while held', `${whileHeld}`, `<= ${workers} x ${batch}`, whileHeld <= workers * batch),
    plain('replay resumed to going on', seconds(goingOn && goingOn.at - again.from)),
    plain('slow again: highest lag once it went on', `${worstAfter(samples, goingOn, again).toFixed(1)} s`),
    plain('free again to 80 % of the speed', seconds(fastAgain && fastAgain.at - freed.from)),
    goal('holds in all', `${holds}`, '1', holds === 1),
    plain('others took of the machine, at most', `${Math.round(maxOf(phases, ({ cpuOthers }) => cpuOthers) * 100)} %`),
  ]
}

export function tableOf(verdicts: readonly Verdict[]): string {
  const width = Math.max(...verdicts.map(({ what }) => what.length))
  return verdicts
    .map(({ what, is, goal, met }) => {
      const end = goal === null ? '' : `${met ? 'yes' : ' NO'}   (${goal})`
      return `${what.padEnd(width)}   ${is.padStart(10)}   ${end}`.trimEnd()
    })
    .join('\n')
}

/** Until the lag, having passed its soft limit, is for the first time under it again. */
function approachOf(samples: readonly Sample[], soft: number): { endsAt: number; worst: number } {
  const passed = samples.findIndex(({ lag }) => lag > soft)
  const back = samples.findIndex(({ lag }, index) => index > passed && lag < soft)
  const end = passed < 0 ? 0 : back < 0 ? samples.length - 1 : back
  return { endsAt: samples[end]?.at ?? 0, worst: maxOf(samples.slice(0, end + 1), ({ lag }) => lag) }
}

function worstAfter(samples: readonly Sample[], from: Sample | undefined, { to }: Phase): number {
  // What it shows as it goes on is what it had to catch up with.
  return from ? maxOf(within(samples, { from: from.at + 2, to }), ({ lag }) => lag) : Number.NaN
}

function batchSizes(samples: readonly Sample[]): number[] {
  return samples
    .flatMap(({ batches, batchedRows }, index) => {
      const before = samples[index - 1]
      return before && batches > before.batches ? (batchedRows - before.batchedRows) / (batches - before.batches) : []
    })
    .map(Math.ceil)
}

function speedOf(samples: readonly Sample[]): number {
  const [first, last] = [samples[0], samples.at(-1)]
  return first && last ? (last.rows - first.rows) / (last.at - first.at) : Number.NaN
}

function within(samples: readonly Sample[], { from, to }: Pick<Phase, 'from' | 'to'>): Sample[] {
  return samples.filter(({ at }) => at >= from && at < to)
}

function maxOf<T>(values: readonly T[], of: (value: T) => number): number {
  return values.reduce((most, value) => Math.max(most, of(value)), 0)
}

function plain(what: string, is: string): Verdict {
  return { what, is, goal: null, met: null }
}

function goal(what: string, is: string, goal: string, met: boolean): Verdict {
  return { what, is, goal, met }
}

function timeGoal(what: string, is: number | undefined, most: number): Verdict {
  return goal(what, seconds(is), `< ${most} s`, is !== undefined && is < most)
}

function seconds(value: number | undefined): string {
  return value === undefined ? 'never' : `${value.toFixed(1)} s`
}

function mib(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(1)
}
