import { timings as product, type Timings } from '../../src/core/timings.ts'
import { isNightly } from './tier.ts'

/** Of a few lease beats still, so that a machine that has other things to do loses no lease. */
const short: Timings = Object.freeze({
  leaseSeconds: 2,
  maxQuietSeconds: 2 / 3,
  sliceSeconds: 1.5,
  retryBackoff: Object.freeze({ first: 0.1, most: 2 }),
  rescueEverySeconds: 0.25,
  ticketGraceSeconds: 0.75,
  holdStaleSeconds: 1,
  stalledAfterSeconds: 10,
  statementSeconds: product.statementSeconds,
  stopSeconds: 5,
  retentionEverySeconds: product.retentionEverySeconds,
})

/** What services of the tests notice each other's failures by: short per commit, those of the product at night. */
export const timings: Timings = isNightly ? product : short
