import { patience } from '../../tools/until.ts'
import { seed } from './seed.ts'

/** Whether everything is tested, at full strength and with the timings of the product: `npm run test:nightly`. */
export const isNightly = process.env.TEST_TIER === 'nightly'

/** What is done less often per commit than at night. */
export function perCommit<T>(few: T, { nightly }: { readonly nightly: T }): T {
  return isNightly ? nightly : few
}

/** Some of a list per commit, others each day; all of it at night. Cases of one kind, that all go through the same code. */
export function inTurn<T>(all: readonly T[], some: number): T[] {
  if (isNightly || some >= all.length) return [...all]
  return Array.from({ length: some }, (_, index) => all[(seed * some + index) % all.length] as T)
}

/** How long a test may take, and what `until` waits for in it: shorter, so that it fails with what it waited for. Seconds. */
export const limits = {
  test: patience * perCommit(60, { nightly: 300 }),
  wait: perCommit(50, { nightly: 200 }),
}
