import type { JobKinds } from './kind.ts'
import { update } from './update/update.ts'

/** The kinds of job that this release has. */
export const builtInKinds: JobKinds = new Map([update].map((kind) => [kind.name, kind]))
