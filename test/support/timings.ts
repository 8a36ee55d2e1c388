import { timings as product, type Timings } from '../../src/core/timings.ts'

/** Of a few lease beats still, so that a machine that has other things to do loses no lease. */
const short: Timings = Object.freeze({
  leaseSeconds: 2,
  maxQuietSeconds: 2 / 3,
  sliceSeconds: 1.5,
  retryBackoff: Object.freeze({ first: 0.1, most: 2 }),
  rescueEverySeconds: 0.5,
  ticketGraceSeconds: 0.75,
  holdStaleSeconds: 1,
  stalledAfterSeconds: 10,
  statementSeconds: product.statementSeconds,
  stopSeconds: 5,
  retentionEverySeconds: product.retentionEverySeconds,
})

/** By what services of a tier notice each other's failures: short per commit, those of the product at night. */
export function timingsOf(tier: string | undefined): Timings {
  return tier === 'nightly' ? product : short
}

export const timings = timingsOf(process.env.TEST_TIER)
