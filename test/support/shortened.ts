import { readConfig } from '../../src/config.ts'
import { runProcess } from '../../src/service/process.ts'
import { timings } from './timings.ts'

// The process of a test: evenkeel as people start it, with the timings of the tests.
runProcess(() => ({ ...readConfig(process.env), timings }))
