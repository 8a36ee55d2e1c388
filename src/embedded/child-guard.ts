import { type ChildProcess, spawn } from 'node:child_process'
import { rm } from 'node:fs/promises'
import type { Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { gone, type Steps } from './os-process.mjs'

/** What the supervisor has to end and remove after this process. */
type Watched = { pid?: number; pidFile?: string; dataDir?: string; steps?: Steps }

const guards = new Map<number, ChildGuard>()
let nextId = 1
let supervisor: ChildProcess | null = null
let startsLeft = 20

/**
 * A resource that must not outlive this process: a server, its temporary folders. The supervisor learns of every change
 * before it matters, so a SIGKILL at any moment leaves nothing behind.
 */
export class ChildGuard {
  readonly #id = nextId++
  readonly #folders = new Set<string>()
  #watched: Watched = {}

  /** Call before creating the folder. */
  addFolder(path: string): void {
    this.#folders.add(path)
    this.#tell()
  }

  watch(watched: Watched): void {
    this.#watched = watched
    this.#tell()
  }

  async removeFolder(path: string): Promise<void> {
    await rm(path, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 })
    this.#folders.delete(path)
    this.#tell()
  }

  /** Removes the folders, and lets the supervisor end with the last guard. The watched process must have ended. */
  async release(): Promise<void> {
    if (!guards.has(this.#id)) return
    this.#watched = {}
    for (const path of [...this.#folders]) await this.removeFolder(path)
    guards.delete(this.#id)
    send({ id: this.#id, released: true })
    if (guards.size === 0) await stopSupervisor()
  }

  #tell(): void {
    const known = guards.has(this.#id)
    guards.set(this.#id, this)
    if (supervisor === null) startSupervisor()
    else send(this.message)
    if (!known && supervisor?.pid === undefined) throw new Error('cannot start the process that cleans up after us')
  }

  get message(): object {
    return { id: this.#id, ...this.#watched, remove: [...this.#folders] }
  }
}

function startSupervisor(): void {
  if (startsLeft-- <= 0) return
  // Detached, with a session of its own. Otherwise Ctrl-C in the terminal would end it together with this process,
  // before the clean-up. The environment is bare: NODE_OPTIONS of this process (a loader, an inspector) would apply to
  // it, too.
  const child = spawn(process.execPath, [fileURLToPath(new URL('./supervisor.mjs', import.meta.url))], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
    cwd: '/',
    env: { PATH: process.env.PATH ?? '/usr/bin:/bin' },
  })
  supervisor = child
  child.on('error', () => {})
  child.stdin.on('error', () => {})
  child.on('exit', () => {
    if (supervisor !== child) return
    supervisor = null
    if (guards.size > 0) startSupervisor()
  })
  // Neither may keep an otherwise idle process alive.
  child.unref()
  ;(child.stdin as Socket).unref()
  for (const guard of guards.values()) send(guard.message)
}

function send(message: object): void {
  supervisor?.stdin?.write(`${JSON.stringify(message)}\n`)
}

async function stopSupervisor(): Promise<void> {
  const child = supervisor
  supervisor = null
  startsLeft = 20
  child?.stdin?.end()
  if (child?.pid !== undefined) await gone(child.pid, null, 5000)
}
