import { resolve } from 'node:path'
import { z } from 'zod'
import { Problem } from './core/errors.ts'
import type { Observe } from './core/run/observe.ts'
import { type Timings, timings } from './core/timings.ts'
import type { Token } from './core/token.ts'
import type { JobKinds } from './engine/kinds/kind.ts'
import { addressFault, withHost } from './postgres/connection-string.ts'
import type { ReplicaPolicy } from './signals/replication.ts'

/** A URL with an allowed scheme and all parts in place. */
function address(begin: RegExp, beginnings: string) {
  return z
    .string()
    .refine((url) => begin.test(url), { error: `must begin with ${beginnings}`, abort: true })
    .transform(withHost)
    .superRefine((url, context) => {
      const fault = addressFault(url)
      if (fault !== null) context.addIssue(fault)
    })
}

const databaseUrl = address(/^postgres(ql)?:\/\//, 'postgres:// or postgresql://')
const redisUrl = address(/^rediss?:\/\//, 'redis:// or rediss://')

const listed =
  'Commas separate entries: write a comma in a password as %2C; several hosts for one database are not supported'

/** Reads a URL from a list. Returns it, or its fault. */
function readEntry(text: string): { readonly url: string } | { readonly fault: string } {
  const { data, error } = databaseUrl.safeParse(text)
  if (data !== undefined) return { url: data }
  const words = error.issues.map(({ message }) => message).join('; ')
  return { fault: `${words}. ${listed}` }
}

const tokens = z.string().transform((text, context): Token[] =>
  text.split(',').flatMap((entry, index) => {
    const [, name, scope, secret] = /^\s*([\w.-]+):(read|operate):(\S{16,})\s*$/.exec(entry) ?? []
    if (name !== undefined && secret !== undefined) return [{ name, scope: scope as Token['scope'], secret }]
    // The entry holds a secret: name it by its number, never print it.
    context.addIssue(
      `entry ${index + 1} is not name:scope:secret with scope read or operate and a secret of 16 characters or more`,
    )
    return []
  }),
)

const replicas = z.string().transform((text, context): ReplicaPolicy => {
  const names = text.split(',').map((name) => name.trim())
  const [only] = names
  if (names.length === 1 && (only === 'auto' || only === 'none')) return { kind: only }
  const odd = names.find((name) => name === '' || name === 'auto' || name === 'none')
  if (odd === undefined) return { kind: 'named', names }
  context.addIssue('must be auto, none, or the names (application_name) of the standbys that must stream: a,b')
  return z.NEVER
})

const replicaUrls = z.string().transform((text, context): string[] =>
  text.split(',').flatMap((entry, index) => {
    const read = readEntry(entry.trim())
    if ('url' in read) return [read.url]
    // The entry may hold a password: name it by its number, never print it.
    context.addIssue(`entry ${index + 1} ${read.fault}`)
    return []
  }),
)

const databases = z.string().transform((text, context): NamedDatabase[] => {
  const known: Array<NamedDatabase & { readonly number: number }> = []
  for (const [index, entry] of text.split(',').entries()) {
    const number = index + 1
    const [, name, written = ''] = /^\s*([a-z][a-z0-9_-]{0,30})=(\S+)\s*$/.exec(entry) ?? []
    // The entry may hold a password: name it by its number, never print it.
    if (name === undefined) {
      context.addIssue(
        `entry ${number} is not name=url: a name of at most 31 lower-case letters, digits, - and _ that begins with a letter, and a URL that begins with postgres://. ${listed}`,
      )
      continue
    }
    const read = readEntry(written)
    if ('fault' in read) {
      context.addIssue(`entry ${number} (${name}) ${read.fault}`)
      continue
    }
    for (const before of known) {
      if (before.name === name) context.addIssue(`entries ${before.number} and ${number} have the same name`)
      if (before.url === read.url) context.addIssue(`entries ${before.number} and ${number} are the same database`)
    }
    known.push({ number, name, url: read.url })
  }
  return known.map(({ name, url }) => ({ name, url }))
})

const environment = z.object({
  DATABASE_URL: databaseUrl.optional(),
  DATABASES: databases.default([]),
  REDIS_URL: redisUrl.optional(),
  REPLICAS: replicas.optional(),
  REPLICA_URLS: replicaUrls.default([]),
  DATABASE_CORES: z.coerce.number('must be a number').int().min(1).max(1024).optional(),
  HOST: z.string().default('127.0.0.1'),
  PORT: z.coerce.number('must be a number').int().min(0).max(65535).default(3000),
  API_TOKENS: tokens.default([]),
  API_CALLS_PER_SECOND: z.coerce.number('must be a number').int().min(1).max(100_000).default(20),
  JOBS_DIR: z
    .string()
    .default('./jobs')
    .transform((path) => resolve(path)),
  ROLE: z.enum(['both', 'api', 'worker']).default('both'),
  CONTROL_SCHEMA: z
    .string()
    .regex(/^[a-z_][a-z0-9_]{0,50}$/, 'must be a plain lower-case name of at most 51 characters')
    .default('evenkeel'),
  RETENTION_DAYS: z.coerce.number('must be a number').int().min(1).max(36_500).default(90),
  LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info'),
})

/** One of several databases of a service. */
export interface NamedDatabase {
  readonly name: string
  readonly url: string
}

export interface Config {
  /** Null: use `databases`, or start an embedded Postgres. */
  readonly databaseUrl: string | null
  /** Empty: one database without a name. */
  readonly databases: readonly NamedDatabase[]
  /** Null: keep tickets in Postgres. */
  readonly redisUrl: string | null
  /** The standbys to watch. */
  readonly replicas: ReplicaPolicy
  /** URLs of replicas that are read for the heartbeat. */
  readonly replicaUrls: readonly string[]
  /** Cores of the database's machine; null if not configured. */
  readonly databaseCores: number | null
  readonly host: string
  readonly port: number
  readonly tokens: readonly Token[]
  /** Limit for each token; without tokens, for each client address. */
  readonly callsPerSecond: number
  readonly jobsDir: string
  readonly role: 'both' | 'api' | 'worker'
  readonly controlSchema: string
  /** Days to keep a run after its end. */
  readonly retentionDays: number
  readonly logLevel: string
  readonly timings: Timings
  /** Kinds of jobs, set by tests only. Absent: the built-in kinds. */
  readonly kinds?: JobKinds
  /** Set by tests only, to make workers wait. */
  readonly observe?: Observe
}

/** Reads the environment. Throws a Problem (`invalid`) that names every wrong variable and no secret. */
export function readConfig(env: Readonly<Record<string, string | undefined>>): Config {
  // Compose files and shells write "not set" as an empty variable.
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined && value !== ''))
  const parsed = environment.safeParse(given)
  const problems = parsed.success ? [] : parsed.error.issues.map((issue) => `${issue.path.join('.')} ${issue.message}`)
  problems.push(...contradictions(given))
  if (!parsed.success || problems.length > 0) {
    throw new Problem(
      'invalid',
      `The environment is invalid:\n${problems.map((problem) => `  - ${problem}`).join('\n')}`,
    )
  }
  const { data } = parsed
  return Object.freeze({
    databaseUrl: data.DATABASE_URL ?? null,
    databases: data.DATABASES,
    redisUrl: data.REDIS_URL ?? null,
    replicas: data.REPLICAS ?? usualReplicas(data.DATABASE_URL !== undefined || data.DATABASES.length > 0),
    replicaUrls: data.REPLICA_URLS,
    databaseCores: data.DATABASE_CORES ?? null,
    host: data.HOST,
    port: data.PORT,
    tokens: data.API_TOKENS,
    callsPerSecond: data.API_CALLS_PER_SECOND,
    jobsDir: data.JOBS_DIR,
    role: data.ROLE,
    controlSchema: data.CONTROL_SCHEMA,
    retentionDays: data.RETENTION_DAYS,
    logLevel: data.LOG_LEVEL,
    timings,
  })
}

/** The embedded Postgres has no standby. Any other may have one, and an unwatched replica falls behind unnoticed. */
function usualReplicas(given: boolean): ReplicaPolicy {
  return { kind: given ? 'auto' : 'none' }
}

/** Whether only this machine can reach the host. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host)
}

/** Contradictions between variables that are each valid. */
function contradictions(given: Readonly<Record<string, unknown>>): string[] {
  const { HOST = '127.0.0.1', API_TOKENS, ROLE, DATABASE_URL, DATABASES, REPLICA_URLS } = given
  const problems: string[] = []
  if (!isLoopback(String(HOST)) && API_TOKENS === undefined) {
    problems.push(
      `HOST is ${HOST}, which other machines can reach, and API_TOKENS is not set. Set API_TOKENS=name:operate:secret, or leave HOST at 127.0.0.1.`,
    )
  }
  const names = tokens.safeParse(API_TOKENS).data?.map((token) => token.name) ?? []
  if (new Set(names).size < names.length)
    problems.push('API_TOKENS has a name twice, so events could not show who did what. Give each token its own name.')
  if (ROLE === 'worker' && DATABASE_URL === undefined && DATABASES === undefined) {
    problems.push(
      'ROLE is worker and DATABASE_URL is not set: a worker needs the database of the API. Set DATABASE_URL.',
    )
  }
  if (DATABASE_URL !== undefined && DATABASES !== undefined)
    problems.push(
      'DATABASE_URL and DATABASES are both set: the first is for one database, the second for several. Unset one.',
    )
  if (REPLICA_URLS !== undefined && DATABASES !== undefined) {
    problems.push(
      'REPLICA_URLS and DATABASES are both set, so it is unknown which replica belongs to which database. Unset REPLICA_URLS; REPLICAS applies to each database.',
    )
  }
  return problems
}
