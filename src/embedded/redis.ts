import { spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { ChildGuard } from './child-guard.ts'
import { findProgram } from './find.ts'
import { birth, crash, end, type Steps } from './os-process.mjs'
import { freePort } from './port.ts'
import { temporaryFolder } from './temporary.ts'

export type EmbeddedRedis = {
  readonly url: string
  readonly port: number
  stop(): Promise<void>
  /** SIGKILL. Nothing is saved: it is empty after restart(). */
  kill(): Promise<void>
  restart(): Promise<void>
  /** Deletes every key. */
  flush(): Promise<void>
}

const steps: Steps = [['SIGTERM', 3000]]

/** A redis-server or valkey-server on PATH, or the one that scripts/redis.mjs fetched; null if there is none. */
export function findRedis(): Promise<string | null> {
  return findProgram(['redis-server', 'valkey-server'], 'redis')
}

export async function startRedis(
  options: { port?: number; settings?: Readonly<Record<string, string>> } = {},
): Promise<EmbeddedRedis> {
  const binary = await findRedis()
  if (binary === null) throw new Error('redis-server is not installed: run `node scripts/redis.mjs`, or set REDIS_URL')
  const guard = new ChildGuard()
  try {
    const folder = await temporaryFolder('evenkeel-redis', null, guard)
    for (let attempt = 1; ; attempt++) {
      const port = options.port ?? (await freePort())
      try {
        const pid = await launch(binary, folder, port, guard, options.settings)
        return running(binary, folder, port, guard, pid, options.settings)
      } catch (error) {
        if (options.port !== undefined || attempt >= 5) throw error
      }
    }
  } catch (error) {
    await guard.release()
    throw error
  }
}

async function launch(
  binary: string,
  folder: string,
  port: number,
  guard: ChildGuard,
  more: Readonly<Record<string, string>> = {},
): Promise<number> {
  const settings = {
    port,
    bind: '127.0.0.1',
    dir: folder,
    logfile: join(folder, 'redis.log'),
    save: '',
    appendonly: 'no',
    ...more,
  }
  const args = Object.entries({ ...settings, 'maxmemory-policy': 'noeviction', daemonize: 'no' })
  const child = spawn(
    binary,
    args.flatMap(([name, value]) => [`--${name}`, String(value)]),
    { detached: true, stdio: 'ignore' },
  )
  if (child.pid !== undefined) guard.watch({ pid: child.pid, steps })
  let failed = ''
  child.once('error', (error) => (failed = error.message))
  child.once('exit', (code, signal) => (failed = `it ended with ${signal ?? `code ${code}`}`))
  child.unref()
  const deadline = Date.now() + 15_000
  while (failed === '' && Date.now() < deadline && child.pid !== undefined) {
    // Compares the pid: on a taken port another Redis would answer, too.
    const info = await ask(port, 'INFO server').catch(() => '')
    if (info.includes(`process_id:${child.pid}\r`)) return child.pid
    await new Promise((resolve) => setTimeout(resolve, 15))
  }
  if (child.pid !== undefined && birth(child.pid) !== null) await crash(child.pid)
  guard.watch({})
  const log = await readFile(join(folder, 'redis.log'), 'utf8').catch(() => '')
  throw new Error(
    `Redis did not start: ${failed || 'not ready within 15 s'}\n${log.trim().split('\n').slice(-15).join('\n')}`,
  )
}

function running(
  binary: string,
  folder: string,
  port: number,
  guard: ChildGuard,
  first: number,
  settings: Readonly<Record<string, string>> | undefined,
): EmbeddedRedis {
  let server: { pid: number; born: string | null } | null = { pid: first, born: birth(first) }
  const down = async (how: Steps) => {
    if (server !== null) await end(server.pid, server.born, how)
    server = null
    guard.watch({})
  }
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    stop: async () => {
      await down(steps)
      await guard.release()
    },
    kill: () => down([]),
    restart: async () => {
      await down(steps)
      const pid = await launch(binary, folder, port, guard, settings)
      server = { pid, born: birth(pid) }
    },
    flush: async () => {
      await ask(port, 'FLUSHALL')
    },
  }
}

/** Sends one inline command, and reads the answer until the server closes the connection. */
function ask(port: number, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    let answer = ''
    socket.setTimeout(2000, () => socket.destroy(new Error('no answer')))
    socket.on('data', (chunk) => (answer += chunk))
    socket.on('error', reject)
    socket.on('close', () => (answer.startsWith('-') ? reject(new Error(answer.trim())) : resolve(answer)))
    socket.write(`${command}\r\nQUIT\r\n`)
  })
}
