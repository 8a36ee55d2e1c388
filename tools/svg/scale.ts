/** Maps values to places in a picture. */
export interface Scale {
  readonly at: (value: number) => number
  readonly ticks: readonly number[]
}

export type Range = readonly [low: number, high: number]

/** From zero to exactly the most. */
export function linear(most: number, [low, high]: Range, wanted: number): Scale {
  const step = roundStep(most / wanted)
  const ticks = Array.from({ length: Math.floor(most / step) + 1 }, (_, index) => index * step)
  return { at: (value) => low + (value / most) * (high - low), ticks }
}

/** From zero to a round number at or above the most. */
export function roomy(most: number, range: Range, wanted: number): Scale {
  const step = roundStep((most || 1) / wanted)
  return linear(Math.ceil((most || 1) / step) * step, range, wanted)
}

/** By powers of ten around the values. */
export function logarithmic(least: number, most: number, [low, high]: Range): Scale {
  const first = Math.floor(Math.log10(least))
  const last = Math.max(first + 1, Math.ceil(Math.log10(most)))
  const ticks = Array.from({ length: last - first + 1 }, (_, index) => 10 ** (first + index))
  return { at: (value) => low + ((Math.log10(value) - first) / (last - first)) * (high - low), ticks }
}

/** 1, 2 or 5 times a power of ten. */
function roundStep(step: number): number {
  const power = 10 ** Math.floor(Math.log10(step))
  return power * ([1, 2, 5].find((each) => each * power >= step) ?? 10)
}
