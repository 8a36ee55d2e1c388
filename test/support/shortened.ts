import { readConfig } from '../../src/config.ts'
import { runProcess } from '../../src/service/process.ts'
import { testKinds } from './kinds/kinds.ts'
import { timings } from './timings.ts'

// The process of a test: evenkeel as people start it, with the timings and the kinds of job of the tests.
runProcess(() => ({ ...readConfig(process.env), timings, kinds: testKinds }))
