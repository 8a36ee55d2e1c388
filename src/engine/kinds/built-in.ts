import type { JobKinds } from './kind.ts'
import { update } from './update/update.ts'

/** The kinds of job in this release. */
export const builtInKinds: JobKinds = new Map([update].map((kind) => [kind.name, kind]))
