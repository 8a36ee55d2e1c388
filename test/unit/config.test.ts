import { resolve } from 'node:path'
import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { isLoopback, readConfig } from '../../src/config.ts'
import { Problem } from '../../src/core/errors.ts'
import { timings } from '../../src/core/timings.ts'

const secret = 'correct-horse-battery'

function refusal(env: Record<string, string>): string {
  try {
    readConfig(env)
  } catch (error) {
    expect(error).toBeInstanceOf(Problem)
    expect((error as Problem).kind).toBe('invalid')
    return (error as Problem).message
  }
  throw new Error('the environment was taken')
}

describe('the environment', () => {
  test('may be empty: everything has a default, and only this machine can reach it', () => {
    expect(readConfig({})).toEqual({
      databaseUrl: null,
      databases: [],
      redisUrl: null,
      replicas: { kind: 'none' },
      replicaUrls: [],
      databaseCores: null,
      host: '127.0.0.1',
      port: 3000,
      tokens: [],
      callsPerSecond: 20,
      jobsDir: resolve('jobs'),
      role: 'both',
      controlSchema: 'evenkeel',
      retentionDays: 90,
      logLevel: 'info',
      timings,
    })
  })

  test('is taken word by word', () => {
    const config = readConfig({
      DATABASE_URL: 'postgresql://u:p@db/app',
      REDIS_URL: 'rediss://cache:6380',
      REPLICAS: 'one, two,two',
      REPLICA_URLS: 'postgres://u:p@below/app, postgresql://far/app',
      DATABASE_CORES: '16',
      HOST: '0.0.0.0',
      PORT: '8080',
      API_CALLS_PER_SECOND: '7',
      API_TOKENS: `grafana:read:${secret}, ann:operate:${secret}-2`,
      JOBS_DIR: '/srv/jobs',
      ROLE: 'api',
      CONTROL_SCHEMA: 'backfills_2',
      RETENTION_DAYS: '7',
      LOG_LEVEL: 'debug',
    })
    expect(config).toEqual({
      databaseUrl: 'postgresql://u:p@db/app',
      databases: [],
      redisUrl: 'rediss://cache:6380',
      replicas: { kind: 'named', names: ['one', 'two', 'two'] },
      replicaUrls: ['postgres://u:p@below/app', 'postgresql://far/app'],
      databaseCores: 16,
      host: '0.0.0.0',
      port: 8080,
      tokens: [
        { name: 'grafana', scope: 'read', secret },
        { name: 'ann', scope: 'operate', secret: `${secret}-2` },
      ],
      callsPerSecond: 7,
      jobsDir: '/srv/jobs',
      role: 'api',
      controlSchema: 'backfills_2',
      retentionDays: 7,
      logLevel: 'debug',
      timings,
    })
  })

  test('with empty variables is the same as without them', () => {
    const names = [
      'DATABASE_URL',
      'DATABASES',
      'REDIS_URL',
      'REPLICAS',
      'REPLICA_URLS',
      'DATABASE_CORES',
      'HOST',
      'PORT',
      'API_TOKENS',
      'API_CALLS_PER_SECOND',
      'JOBS_DIR',
      'ROLE',
      'CONTROL_SCHEMA',
      'RETENTION_DAYS',
      'LOG_LEVEL',
    ]
    expect(readConfig(Object.fromEntries(names.map((name) => [name, ''])))).toEqual(readConfig({}))
  })

  test('is frozen once it is read', () => {
    expect(Object.isFrozen(readConfig({}))).toBe(true)
  })

  test.for([
    ['DATABASE_URL', 'mysql://db/app', 'postgres://'],
    ['REDIS_URL', 'http://cache', 'redis://'],
    ['PORT', 'abc', 'must be a number'],
    ['PORT', '65536', 'PORT'],
    ['PORT', '80.5', 'PORT'],
    ['PORT', '-1', 'PORT'],
    ['RETENTION_DAYS', 'never', 'must be a number'],
    ['RETENTION_DAYS', '0', 'RETENTION_DAYS'],
    ['RETENTION_DAYS', '0.5', 'RETENTION_DAYS'],
    ['ROLE', 'leader', 'ROLE'],
    ['LOG_LEVEL', 'loud', 'LOG_LEVEL'],
    ['CONTROL_SCHEMA', 'Odd "S"', 'must be a plain lower-case name'],
    ['CONTROL_SCHEMA', `a${'b'.repeat(51)}`, 'must be a plain lower-case name'],
    ['API_TOKENS', 'ann:operate', 'entry 1 is not name:scope:secret'],
    ['API_TOKENS', `ann:admin:${secret}`, 'entry 1 is not name:scope:secret'],
    ['API_TOKENS', `ann:operate:${secret},`, 'entry 2 is not name:scope:secret'],
  ])('with %s=%s is refused by name', ([name, value, words]) => {
    const message = refusal({ [name as string]: value as string })
    expect(message).toContain(name)
    expect(message).toContain(words)
  })

  test('has every wrong variable named at once', () => {
    const message = refusal({
      DATABASE_URL: 'x',
      REDIS_URL: 'x',
      PORT: 'x',
      ROLE: 'x',
      CONTROL_SCHEMA: '-',
      LOG_LEVEL: 'x',
    })
    for (const name of ['DATABASE_URL', 'REDIS_URL', 'PORT', 'ROLE', 'CONTROL_SCHEMA', 'LOG_LEVEL']) {
      expect(message, name).toContain(`  - ${name} `)
    }
  })

  test('has what is wrong between variables named together with what is wrong in one', () => {
    const message = refusal({ HOST: '0.0.0.0', ROLE: 'worker', PORT: 'x' })
    expect(message).toContain('PORT')
    expect(message).toContain('API_TOKENS is not set')
    expect(message).toContain('ROLE is worker and DATABASE_URL is not set')
  })

  test('expects standbys of a database that is named, and none of the embedded one, unless it is said', () => {
    const given = { DATABASE_URL: 'postgres://db/app' }
    expect(readConfig({}).replicas).toEqual({ kind: 'none' })
    expect(readConfig(given).replicas).toEqual({ kind: 'auto' })
    expect(readConfig({ ...given, REPLICAS: 'none' }).replicas).toEqual({ kind: 'none' })
    expect(readConfig({ ...given, REPLICAS: 'auto' }).replicas).toEqual({ kind: 'auto' })
    for (const odd of ['auto,one', 'none,one', 'one,,two', ','])
      expect(refusal({ REPLICAS: odd })).toContain('REPLICAS')
    expect(refusal({ REPLICA_URLS: 'postgres://a/app,http://b' })).toContain('entry 2')
    expect(refusal({ DATABASE_CORES: '0' })).toContain('DATABASE_CORES')
  })

  test('takes a password that is written as a URL has it, and says how where it is not', () => {
    const url = 'postgres://ann:p%40%3A%2F%3F%23%25%26%20@db/app?sslmode=verify-full&sslrootcert=/etc/a%40b.pem'
    expect(readConfig({ DATABASE_URL: url }).databaseUrl).toBe(url)
    expect(readConfig({ DATABASE_URL: 'postgres:///app?host=/run/postgresql' }).databaseUrl).toContain('/run')
    for (const name of ['DATABASE_URL', 'REDIS_URL']) {
      const scheme = name === 'REDIS_URL' ? 'redis' : 'postgres'
      expect(refusal({ [name]: `${scheme}://ann:a/b@db/app` })).toContain(`${name} is not a valid URL: in a`)
    }
    expect(refusal({ REPLICA_URLS: 'postgres://db/app,postgres://ann:a/b@db/app' })).toContain('entry 2')
  })

  test('takes an address of a Unix socket as libpq writes it', () => {
    const { databaseUrl } = readConfig({ DATABASE_URL: 'postgres://ann:p%40@/app?host=/cloudsql/a:b:c' })
    const { host, database, user, password } = new pg.Client(databaseUrl ?? '')
    expect({ host, database, user, password }).toEqual({
      host: '/cloudsql/a:b:c',
      database: 'app',
      user: 'ann',
      password: 'p@',
    })
    const listed = readConfig({ DATABASES: 'eu=postgres://ann:p@/app?sslmode=disable&host=/run' })
    expect(new pg.Client(listed.databases[0]?.url).host).toBe('/run')
  })

  test.for([
    ['postgres://ann:secret-pass@/app', 'has no host: write user:password@localhost/database'],
    [
      'postgres://ann@h1:5432,h2:5432/app?target_session_attrs=read-write',
      'several hosts are not supported: use one name',
    ],
    ['postgres://ann:secret-pass@h1,h2/app', 'several hosts are not supported: use one name'],
    ['postgres:///app?host=h1,h2', 'several hosts are not supported: use one name'],
    ['postgres://ann@db/?dbname=app', 'has the parameter dbname'],
  ])('an address that is right for libpq and not here is refused in words of its own: %s', ([url, words]) => {
    expect(refusal({ DATABASE_URL: url as string })).toContain(`DATABASE_URL ${words}`)
    expect(refusal({ DATABASE_URL: url as string })).not.toContain('secret-pass')
    expect(refusal({ REPLICA_URLS: url as string })).toContain('several hosts')
  })

  test('leaves its secrets out of every message', () => {
    const wrong = [
      { DATABASE_URL: `postgres://ann:${secret}@/app` },
      { DATABASE_URL: `postgres://ann:${secret}@h1:1,h2:2/app` },
      { DATABASE_URL: `mysql://ann:${secret}@db/app` },
      { REDIS_URL: `http://:${secret}@cache` },
      { REPLICA_URLS: `http://ann:${secret}@db/app` },
      { REPLICA_URLS: `postgres://ann:a,${secret}@db/app` },
      { DATABASES: `eu=mysql://ann:${secret}@db/app` },
      { DATABASES: `postgres://ann:${secret}@db/app` },
      { DATABASES: `eu=postgres://ann:a,${secret}@db/app` },
      { DATABASES: `eu=postgres://u:${secret}@db/a,us=postgres://u:${secret}@db/a`, DATABASE_URL: 'postgres://db/a' },
      // As people type them, with a password that was not encoded: the rest of it would be a port or a database's name.
      ...[
        `a/${secret}`,
        `12/${secret}`,
        `a#${secret}`,
        `12#${secret}`,
        `a?${secret}`,
        `%zz${secret}`,
        `%c3%28${secret}`,
      ].flatMap((typed) => [
        { DATABASE_URL: `postgres://ann:${typed}@db/app` },
        { DATABASES: `eu=postgres://ann:${typed}@db/app` },
        { REPLICA_URLS: `postgres://ann:${typed}@db/app` },
        { REDIS_URL: `rediss://:${typed}@cache` },
      ]),
      { API_TOKENS: `ann:admin:${secret}` },
      { API_TOKENS: `${secret}` },
      { API_TOKENS: `ann:read:${secret},ann:read:${secret}` },
      { API_TOKENS: `ann:read:${secret}`, PORT: 'x' },
      { DATABASE_URL: `postgres://ann:${secret}@db/app`, PORT: 'x', HOST: '0.0.0.0' },
    ]
    for (const env of wrong) expect(refusal(env as Record<string, string>)).not.toContain(secret)
  })
})

describe('several databases', () => {
  test('have names and URLs, in the order given, and standbys that are expected', () => {
    const config = readConfig({ DATABASES: ' eu=postgres://u:p%2Cq@db/eu?a=b, us-2=postgresql://db/us' })
    expect(config.databases).toEqual([
      { name: 'eu', url: 'postgres://u:p%2Cq@db/eu?a=b' },
      { name: 'us-2', url: 'postgresql://db/us' },
    ])
    expect([config.databaseUrl, config.replicas]).toEqual([null, { kind: 'auto' }])
    expect(readConfig({ DATABASES: 'eu=postgres://db/eu', ROLE: 'worker' }).role).toBe('worker')
  })

  test.for([
    ['eu=postgres://db/eu,', 'entry 2'],
    ['eu=mysql://db/eu', 'entry 1'],
    ['eu=postgres://[', 'entry 1'],
    ['postgres://db/eu', 'entry 1'],
    ['Eu=postgres://db/eu', 'entry 1'],
    ['2eu=postgres://db/eu', 'entry 1'],
    [`${'e'.repeat(32)}=postgres://db/eu`, 'entry 1'],
    ['eu=postgres://db/a,us=postgres://db/b,eu=postgres://db/c', 'entries 1 and 3 have the same name'],
    ['eu=postgres://db/a,us=postgres://db/b,ap=postgres://db/b', 'entries 2 and 3 are the same database'],
  ])('%s is refused: %s', ([value, words]) => {
    expect(refusal({ DATABASES: value as string })).toContain(`DATABASES ${words}`)
  })

  test('have all that is wrong with them said at once, and with what else is wrong', () => {
    const message = refusal({ DATABASES: 'a,eu=postgres://db/a,b', DATABASE_URL: 'postgres://db/a', REPLICA_URLS: 'x' })
    for (const words of ['entry 1', 'entry 3', 'DATABASE_URL and DATABASES are both set', 'which replica belongs'])
      expect(message).toContain(words)
  })
})

describe('who can reach it', () => {
  test.for(['0.0.0.0', '::', '10.0.0.5', 'backfill.internal', '128.0.0.1', '127.0.0.1.evil.test'])(
    'on %s it does not start without tokens, and does with one',
    (host) => {
      expect(refusal({ HOST: host })).toContain('Set API_TOKENS=name:operate:secret')
      expect(readConfig({ HOST: host, API_TOKENS: `ann:operate:${secret}` }).host).toBe(host)
    },
  )

  test.for(['127.0.0.1', '127.8.9.1', '::1', 'localhost'])('%s is this machine alone', (host) => {
    expect(isLoopback(host)).toBe(true)
    expect(readConfig({ HOST: host }).host).toBe(host)
  })

  test('a secret shorter than 16 characters is none', () => {
    expect(refusal({ API_TOKENS: 'ann:operate:short' })).toContain('16 characters or more')
  })

  test('two tokens of one name are refused: events could not tell who did what', () => {
    expect(refusal({ API_TOKENS: `ann:read:${secret},ann:operate:${secret}2` })).toContain('a name twice')
  })

  test('a worker without the API’s database is refused', () => {
    expect(refusal({ ROLE: 'worker' })).toContain('Set DATABASE_URL')
    expect(readConfig({ ROLE: 'worker', DATABASE_URL: 'postgres://db/app' }).role).toBe('worker')
  })
})
