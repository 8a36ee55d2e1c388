import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'

/**
 * A free port below those that the system hands out to outgoing connections (32768 and up on Linux, 49152 elsewhere):
 * a server that restarts wants the same one back, and a client that tries to reconnect meanwhile must not be given it
 * as its own, or it talks to itself.
 */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 50; attempt++) {
    const port = randomInt(20_000, 32_000)
    if (await isFree(port)) return port
  }
  throw new Error('no free port between 20000 and 32000 on 127.0.0.1')
}

export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)))
  })
}
