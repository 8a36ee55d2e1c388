import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect, inject, onTestFinished } from 'vitest'
import { Client } from './service.ts'
import { until } from './until.ts'

/** A process of evenkeel as people start it, and what it says. */
export function run(env: Readonly<Record<string, string>>) {
  const child = spawn(process.execPath, [inject('programs').service], {
    env: { PATH: process.env.PATH ?? '', PORT: '0', REPLICAS: 'none', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk))
  const ended = once(child, 'exit')
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await ended
  })
  return {
    process: child,
    /** All of it until now. */
    get output() {
      return output
    },
    /** The client of a service that has come up. */
    async client(): Promise<Client> {
      const url = await until(
        'the service to listen',
        () => {
          if (child.exitCode !== null) throw new Error(output)
          return /"url":"(http[^"]+)"/.exec(output)?.[1]
        },
        Boolean,
        60,
      )
      return new Client(url as string)
    },
    /** What one that does not come up has said. */
    async refusal(): Promise<string> {
      const [code] = await ended
      expect(code, output).toBe(1)
      return output
    },
  }
}
