import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'

/**
 * Finds a free port below those for outgoing connections (32768 and up on Linux, 49152 elsewhere). A server that
 * restarts wants its port back. If a client that reconnects got that port as its own, it would talk to itself.
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
