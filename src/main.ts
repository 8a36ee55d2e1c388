import { readConfig } from './config.ts'
import { runProcess } from './process.ts'

runProcess(() => readConfig(process.env))
