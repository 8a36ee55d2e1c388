import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { renderBar } from '../../src/cli/demo/bar.ts'
import { alive, birth } from '../../src/embedded/os-process.mjs'
import { isNightly, limits } from '../support/tier.ts'
import { until } from '../support/until.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

test('the bar has its width, is full only at the end and never empty once begun', () => {
  expect(renderBar(0, 4)).toBe('────')
  expect(renderBar(0.0001, 4)).toBe('╸───')
  expect(renderBar(0.5, 4)).toBe('━━──')
  expect(renderBar(0.65, 4)).toBe('━━╸─')
  expect(renderBar(0.9999, 4)).toBe('━━━╸')
  expect(renderBar(1, 4)).toBe('━━━━')
  for (const width of [0, 1, 7, 200]) {
    for (const progress of [-1, 0, 0.3, 1, 2, Number.NaN]) expect(renderBar(progress, width)).toHaveLength(width)
  }
})

test('the demo runs a backfill to its end and proves each row was done exactly once', {
  timeout: 2500 * limits.test,
}, async () => {
  const demo = await startDemo()
  const began = performance.now()
  expect(await demo.ended, demo.output()).toBe(0)
  expect((performance.now() - began) / 1000).toBeLessThan(120)
  const output = demo.output()
  expect(output).toMatch(/^ +rows in the table +135,233 /m)
  expect(output).toMatch(/^ +rows done +135,233 /m)
  expect(output).toMatch(/^ +done twice +0 /m)
  expect(output).toMatch(/^ +left out +0 /m)
  expect(output).toMatch(/^ +on the standby +135,233 .* as on the primary$/m)
  expect(output).toMatch(/it reads paused; rows done: ([\d,]+), two seconds later: \1$/m)
  const held = throttleOf(output)
  expect(held).toMatchObject({ signal: 'replica-lag', limit: 2, since: expect.any(String) })
  expect(held.value).toBeGreaterThanOrEqual(2)
  expect(held.reason).toContain('standby one')
  expect(output).toMatch(/no batch is in flight; rows done: ([\d,]+), two seconds later: \1$/m)
  expect(output).toMatch(/it goes on by itself, after \d/)
  // The events at the end, in their order.
  expect(output).toMatch(
    /^ +[\d.]+ s +worker \d +held +replica-lag is .*the limit is 2 s\.$[\s\S]* released +by itself/m,
  )
  expect(output).toMatch(/worker \d \(pid \d+\) is gone; it held range/)
  expect(output).toMatch(/rescued by worker \d|taken over as the lease ran out/)
  expect(output).toContain('300 rows are held by other sessions')
  expect(output).not.toContain('\x1b')
  await demo.leftNothing()
})

test('Ctrl-C while the standby stands still ends everything and leaves nothing behind', {
  tags: 'nightly',
}, async () => {
  const demo = await startDemo()
  await until('the run to be held', demo.output, (output) => output.includes('status: running, throttle: '))
  // The whole group, as a terminal does; and again a moment later, as npm passes it on.
  demo.signalGroup('SIGINT')
  demo.signalGroup('SIGINT')
  expect(await demo.ended, demo.output()).toBe(130)
  expect(demo.output()).toContain('Stopped: every process is ended')
  await demo.leftNothing()
})

test.each([
  ['while its processes start', /are loaded/, 4] as const,
  ...(isNightly ? [['in the middle', /^ +[1-9]\d% {2}running/m, 6] as const] : []),
])('killed %s, the demo leaves nothing behind either', async (_when, sign, processes) => {
  const demo = await startDemo()
  await until('its moment', demo.output, (output) => sign.test(output))
  // Its processes are loading their code by now.
  await sleep(500)
  demo.child.kill('SIGKILL')
  await demo.ended
  await demo.leftNothing(processes)
})

/** The demo in a process group and a temporary folder of its own; whatever it starts is written down meanwhile. */
async function startDemo() {
  const folder = await mkdtemp(join(tmpdir(), 'evenkeel-demo-test-'))
  // Postgres may run under another account, which has to get in.
  await chmod(folder, 0o755)
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const child = spawn(process.execPath, ['--import', 'tsx', 'src/cli/demo.ts'], {
    cwd: root,
    env: { PATH: process.env.PATH ?? '', TMPDIR: folder },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  onTestFinished(() => {
    if (child.exitCode === null && child.signalCode === null) signalGroup(child, 'SIGKILL')
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (chunk) => (output += chunk))
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))

  const started = new Map<number, string>()
  const look = () => {
    for (const pid of descendants(child.pid as number)) {
      const born = birth(pid)
      if (born !== null) started.set(pid, born)
    }
  }
  const watching = setInterval(look, 200)
  onTestFinished(() => clearInterval(watching))

  return {
    child,
    ended,
    output: () => output,
    signalGroup: (signal: NodeJS.Signals) => {
      look()
      signalGroup(child, signal)
    },
    async leftNothing(atLeast = 6) {
      clearInterval(watching)
      // API, two workers, Postgres, its standby and the supervisor: fewer, and it was not looked at closely enough.
      expect(started.size).toBeGreaterThanOrEqual(atLeast)
      const left = () => [...started].filter(([pid, born]) => alive(pid, born)).map(([pid]) => pid)
      await until('its processes to be gone', left, (pids) => pids.length === 0, 15)
      const files = async () => (await readdir(folder)).filter((name) => name.startsWith('evenkeel'))
      await until('its files to be gone', files, (names) => names.length === 0, 15)
    },
  }
}

/** What `GET /runs/:id` told while the run was held. */
function throttleOf(output: string): { reason: string; signal: string; value: number; limit: number; since: string } {
  return JSON.parse(/status: running, throttle: (.*)$/m.exec(output)?.[1] ?? '{}')
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  process.kill(-(child.pid as number), signal)
}

function descendants(ancestor: number): number[] {
  const table = execFileSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' })
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number) as [number, number])
  const found = [ancestor]
  for (const parent of found) for (const [pid, ppid] of table) if (ppid === parent) found.push(pid)
  return found.slice(1)
}
