import type { Point } from '../../tools/svg/panel.ts'
import type { Sample } from '../episode/recording.ts'

/** A figure as it was at each look. */
export function course(samples: readonly Sample[], of: (sample: Sample) => number | null): Point[] {
  return samples.map((sample) => ({ x: sample.at, y: of(sample) }))
}

/** How much one figure grew for each that another one did, over some looks at a time. Null where the other one did not. */
export function growth(
  samples: readonly Sample[],
  looks: number,
  of: (sample: Sample) => number,
  by: (sample: Sample) => number,
): Point[] {
  return samples.map((sample, index) => {
    const before = samples[Math.max(0, index - looks)] as Sample
    const steps = by(sample) - by(before)
    return { x: sample.at, y: steps > 0 ? (of(sample) - of(before)) / steps : null }
  })
}

export function values(points: readonly Point[]): number[] {
  return points.flatMap(({ y }) => y ?? [])
}

/** Stretches of time in which something was so. */
export function stretches(samples: readonly Sample[], is: (sample: Sample) => boolean): { from: number; to: number }[] {
  const found: { from: number; to: number }[] = []
  for (const [index, sample] of samples.entries()) {
    const before = samples[index - 1]
    const last = found.at(-1)
    if (before && is(before) && last) last.to = sample.at
    if (is(sample) && !(before && is(before))) found.push({ from: sample.at, to: sample.at })
  }
  return found
}
