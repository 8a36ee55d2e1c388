// Gives a standby's startup process as much CPU as it takes to replay so many bytes of WAL a second, and no more: stops it
// when it has replayed what it may, and continues it when it may again. By bytes and not by time, so that it is the same on
// a busy machine. In a process of its own, to be punctual. Whatever ends it, the process that it has stopped goes on.
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'

/** Unused for longer than this, what could have been replayed is lost: a standby cannot work ahead. Seconds. */
const maxCredit = 0.05
const slotMs = 2
/** How soon an order is heard. */
const idleMs = 20
/** The process may have been stopped with a lock that the answer waits for. */
const patienceMs = 50

const pid = Number(process.argv[2])
/** Bytes a second; null: as fast as it can. */
let rate = null
let stopped = false

function stop() {
  stopped = true
  process.kill(pid, 'SIGSTOP')
}

function go() {
  stopped = false
  process.kill(pid, 'SIGCONT')
}

function leave(code) {
  try {
    go()
  } catch {
    // The standby is gone.
  }
  process.exit(code)
}

async function enforce(client) {
  let at = performance.now()
  let position = null
  let credit = 0
  for (;;) {
    const impatient = setTimeout(go, patienceMs)
    const { rows } = await client.query({ name: 'position', text: positionStatement })
    clearTimeout(impatient)
    const now = performance.now()
    const replayed = rows[0].position
    if (rate === null) credit = 0
    else credit = Math.min(maxCredit * rate, credit + (rate * (now - at)) / 1000) - (replayed - (position ?? replayed))
    at = now
    position = replayed
    if (credit < 0 && !stopped) stop()
    if (credit >= 0 && stopped) go()
    await sleep(pauseMs(credit))
  }
}

function pauseMs(credit) {
  if (rate === null) return idleMs
  return credit < 0 ? Math.min(100, (-credit / rate) * 1000) : slotMs
}

const positionStatement = "SELECT pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0')::float8 AS position"

for (const name of ['disconnect', 'SIGINT', 'SIGTERM', 'SIGHUP']) process.on(name, () => leave(0))
process.on('uncaughtException', (error) => {
  console.error(error)
  leave(1)
})
process.on('message', ({ bytesPerSecond }) => {
  rate = bytesPerSecond
})
if (!process.connected) leave(0)
const client = new pg.Client({ connectionString: process.env.STANDBY_URL, application_name: 'bench quota' })
await client.connect()
await enforce(client)
