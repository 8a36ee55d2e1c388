/** Whether everything is tested, at full strength and with the timings of the product: `npm run test:nightly`. */
export const isNightly = process.env.TEST_TIER === 'nightly'

/** What is done less often per commit than at night. */
export function perCommit<T>(few: T, { nightly }: { readonly nightly: T }): T {
  return isNightly ? nightly : few
}
