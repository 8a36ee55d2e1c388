import { readConfig } from './config.ts'
import { runProcess } from './service/process.ts'

runProcess(() => readConfig(process.env))
