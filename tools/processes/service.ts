import { setTimeout as sleep } from 'node:timers/promises'
import { Child } from './child.ts'

const main = new URL('../../src/main.ts', import.meta.url)
const startWithinSeconds = 60

/** evenkeel as `npm start` starts it. It listens some time after that. */
export function startService(environment: Readonly<Record<string, string>>): Child {
  return new Child(main, [], environment)
}

/** Waits for the line in which the service says where it listens. */
export async function listens(service: Child): Promise<string> {
  const deadline = performance.now() + startWithinSeconds * 1000
  for (;;) {
    const url = /"url":"(http[^"]+)"/.exec(service.output)?.[1]
    if (url !== undefined) return url
    if (performance.now() > deadline) throw new Error(`evenkeel did not listen within ${startWithinSeconds} s`)
    await Promise.race([sleep(30), service.failure])
  }
}
