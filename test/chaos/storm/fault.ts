import type { Arbitrary } from 'fast-check'
import { waitSeconds } from '../../../src/util/sleep.ts'
import type { World } from './world.ts'

/** Something that goes wrong for a while, and is put right again. */
export interface Fault {
  /** How often it comes, against the others. */
  readonly weight: number
  /** What differs from one to the next. */
  readonly draws: Arbitrary<object>
  /** What it hits. While one fault lasts, a second on the same is left out: a stopped process cannot be told anything. */
  victim(drawn: object): string | null
  /** Does it, waits, and undoes it: at once when it is calm. Rejects where it could not be done. */
  inflict(world: World, drawn: object, calm: AbortSignal): Promise<void>
}

/** Ties what is drawn to who uses it. */
export function fault<T extends object>(
  weight: number,
  draws: Arbitrary<T>,
  victim: (drawn: T) => string | null,
  inflict: (world: World, drawn: T, calm: AbortSignal) => Promise<void>,
): Fault {
  return { weight, draws, victim, inflict } as Fault
}

/** Waits so many milliseconds, or until it is calm. */
export function last(milliseconds: number, calm: AbortSignal): Promise<void> {
  return waitSeconds(milliseconds / 1000, calm)
}
