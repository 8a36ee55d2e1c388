import { builtInKinds } from '../../../src/engine/kinds/built-in.ts'
import type { JobKinds } from '../../../src/engine/kinds/kind.ts'
import { deletion } from './delete/delete.ts'

/** The kinds that services of tests have: those of evenkeel, and one that it does not know. */
export const testKinds: JobKinds = new Map([...builtInKinds, [deletion.name, deletion]])
