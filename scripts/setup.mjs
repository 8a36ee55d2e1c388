// First step of npm start, demo, check and test: a fresh clone, or one whose package-lock.json moved, installs itself.
// Plain JavaScript without dependencies, since nothing else may be there yet.
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { appendFileSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
// a production install goes without the dev dependencies, and the service runs without them where it is given a database
const { npm_lifecycle_event: script, DATABASE_URL, DATABASES } = process.env
const withDev = script !== 'start' || !(DATABASE_URL || DATABASES)

requireNode(20, 19)
const missing = whatIsMissing()
if (missing !== null) await underLock(install)

function requireNode(major, minor) {
  const [haveMajor = 0, haveMinor = 0] = process.versions.node.split('.').map(Number)
  if (haveMajor > major || (haveMajor === major && haveMinor >= minor)) return
  fail(`evenkeel needs Node ${major}.${minor} or newer, and this is ${process.versions.node}: see https://nodejs.org`)
}

/**
 * Compares what npm says it installed with what the lock file asks for, entry by entry. Dates would not do: a checkout
 * touches files. npm writes its list last, so that an install that was cut short counts as none.
 */
function whatIsMissing() {
  const wanted = packagesOf('package-lock.json')
  if (wanted === null) fail(`no readable package-lock.json in ${root}`)
  const installed = packagesOf('node_modules/.package-lock.json')
  if (installed === null) return 'nothing is installed yet'
  for (const [path, entry] of Object.entries(wanted)) {
    // optional ones depend on the platform
    if (path === '' || entry.optional || entry.devOptional || (entry.dev && !withDev)) continue
    if (installed[path]?.version !== entry.version) return `${path} is not at ${entry.version}`
  }
  for (const [path, entry] of Object.entries(installed)) {
    if (wanted[path]?.version !== entry.version) return `${path} ${entry.version} is not in package-lock.json`
  }
  return null
}

function packagesOf(file) {
  try {
    return JSON.parse(readFileSync(join(root, file), 'utf8')).packages ?? null
  } catch {
    return null
  }
}

async function install(lock) {
  const reason = whatIsMissing()
  if (reason === null) return
  console.error(`Installing dependencies with npm ci (${reason}) ...`)
  const args = ['ci', '--no-audit', '--no-fund', '--loglevel=error', ...(withDev ? ['--include=dev'] : [])]
  const npm = process.env.npm_execpath
  const [command, all] = npm ? [process.execPath, [npm, ...args]] : ['npm', args]
  // all of npm's output to stderr: stdout belongs to what runs next
  const child = spawn(command, all, { cwd: root, stdio: ['ignore', 2, 2] })
  // npm goes on when only we are killed, and the next setup has to wait for it as well
  if (child.pid !== undefined) appendFileSync(join(lock, 'pids'), ` ${child.pid}`)
  // and we go on until it has ended, or we would give the lock away too early
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  const status = await new Promise((resolve) => {
    child.once('error', (error) => fail(`cannot run npm: ${error.message}`))
    child.once('close', (code, signal) => resolve(signal ?? code))
  })
  if (status !== 0) fail(`npm ci failed in ${root} (${status}); its own message is above`)
}

/**
 * npm ci begins by deleting node_modules: two at once delete each other's work. The lock lies outside of it, and holds
 * the numbers of its owners, so that those who were killed do not keep everybody waiting.
 */
async function underLock(work) {
  const key = createHash('sha256').update(root).digest('hex').slice(0, 12)
  const lock = join(tmpdir(), `evenkeel-setup-${process.getuid?.() ?? 'user'}-${key}`)
  let told = false
  while (!take(lock)) {
    const owners = ownersOf(lock)
    if (owners.length > 0 && !owners.some(isAlive)) {
      breakLock(lock, owners)
      continue
    }
    if (!told) console.error(`Waiting for another install (process ${owners.join(', ') || 'unknown'}) ...`)
    told = true
    await sleep(100)
  }
  const unlock = () => rmSync(lock, { recursive: true, force: true })
  process.on('exit', unlock)
  await work(lock)
}

/** Made aside with its owner's number in it and then renamed: there is no moment when it is there without one. */
function take(lock) {
  const mine = `${lock}.${process.pid}`
  try {
    mkdirSync(mine, { recursive: true })
    writeFileSync(join(mine, 'pids'), String(process.pid))
    renameSync(mine, lock)
    return true
  } catch (error) {
    rmSync(mine, { recursive: true, force: true })
    if (error.code === 'ENOTEMPTY' || error.code === 'EEXIST' || error.code === 'EPERM') return false
    throw error
  }
}

function ownersOf(lock) {
  try {
    return readFileSync(join(lock, 'pids'), 'utf8').split(' ').map(Number)
  } catch {
    return []
  }
}

function breakLock(lock, dead) {
  const aside = `${lock}.stale.${process.pid}`
  try {
    renameSync(lock, aside)
    // somebody was faster, and this is their new one
    if (String(ownersOf(aside)) !== String(dead)) renameSync(aside, lock)
  } catch {
    // gone already
  }
  rmSync(aside, { recursive: true, force: true })
}

function isAlive(pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}

function fail(message) {
  console.error(message)
  process.exit(1)
}
