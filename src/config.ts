import { resolve } from 'node:path'
import { z } from 'zod'
import { Problem } from './core/errors.ts'
import type { Token } from './core/token.ts'

const databaseUrl = z
  .string()
  .refine((url) => /^postgres(ql)?:\/\//.test(url), 'must begin with postgres:// or postgresql://')
const redisUrl = z.string().refine((url) => /^rediss?:\/\//.test(url), 'must begin with redis:// or rediss://')

const tokens = z.string().transform((text, context): Token[] =>
  text.split(',').flatMap((entry, index) => {
    const [, name, scope, secret] = /^\s*([\w.-]+):(read|operate):(\S{16,})\s*$/.exec(entry) ?? []
    if (name !== undefined && secret !== undefined) return [{ name, scope: scope as Token['scope'], secret }]
    // The entry itself holds a secret: it is counted, never printed.
    context.addIssue(
      `entry ${index + 1} is not name:scope:secret with scope read or operate and a secret of 16 characters or more`,
    )
    return []
  }),
)

const environment = z.object({
  DATABASE_URL: databaseUrl.optional(),
  REDIS_URL: redisUrl.optional(),
  HOST: z.string().default('127.0.0.1'),
  PORT: z.coerce.number('must be a number').int().min(0).max(65535).default(3000),
  API_TOKENS: tokens.default([]),
  JOBS_DIR: z
    .string()
    .default('./jobs')
    .transform((path) => resolve(path)),
  ROLE: z.enum(['both', 'api', 'worker']).default('both'),
  CONTROL_SCHEMA: z
    .string()
    .regex(/^[a-z_][a-z0-9_]{0,50}$/, 'must be a plain lower-case name of at most 51 characters')
    .default('evenkeel'),
  LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info'),
})

export interface Config {
  /** Null: an embedded Postgres is started. */
  readonly databaseUrl: string | null
  /** Null: tickets are kept in Postgres. */
  readonly redisUrl: string | null
  readonly host: string
  readonly port: number
  readonly tokens: readonly Token[]
  readonly jobsDir: string
  readonly role: 'both' | 'api' | 'worker'
  readonly controlSchema: string
  readonly logLevel: string
}

/** Reads the environment. Throws a Problem (`invalid`) that names every variable that is wrong, and no secret. */
export function readConfig(env: Readonly<Record<string, string | undefined>>): Config {
  // An empty variable is how compose files and shells say "not set".
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined && value !== ''))
  const parsed = environment.safeParse(given)
  const problems = parsed.success ? [] : parsed.error.issues.map((issue) => `${issue.path.join('.')} ${issue.message}`)
  problems.push(...contradictions(given))
  if (!parsed.success || problems.length > 0) {
    throw new Problem(
      'invalid',
      `The environment is not right:\n${problems.map((problem) => `  - ${problem}`).join('\n')}`,
    )
  }
  const { data } = parsed
  return Object.freeze({
    databaseUrl: data.DATABASE_URL ?? null,
    redisUrl: data.REDIS_URL ?? null,
    host: data.HOST,
    port: data.PORT,
    tokens: data.API_TOKENS,
    jobsDir: data.JOBS_DIR,
    role: data.ROLE,
    controlSchema: data.CONTROL_SCHEMA,
    logLevel: data.LOG_LEVEL,
  })
}

/** Whether only this machine can reach an address. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host)
}

/** What is wrong between variables, each of which may be right by itself. */
function contradictions(given: Readonly<Record<string, unknown>>): string[] {
  const { HOST = '127.0.0.1', API_TOKENS, ROLE, DATABASE_URL } = given
  const problems: string[] = []
  if (!isLoopback(String(HOST)) && API_TOKENS === undefined) {
    problems.push(
      `HOST is ${HOST}, which others can reach, and API_TOKENS is not set. Set API_TOKENS=name:operate:secret, or leave HOST at 127.0.0.1.`,
    )
  }
  const names = tokens.safeParse(API_TOKENS).data?.map((token) => token.name) ?? []
  if (new Set(names).size < names.length)
    problems.push('API_TOKENS has a name twice: events could not tell who did what.')
  if (ROLE === 'worker' && DATABASE_URL === undefined) {
    problems.push(
      'ROLE is worker and DATABASE_URL is not set: a worker needs the database that the API has. Set DATABASE_URL.',
    )
  }
  for (const name of ['REPLICAS', 'REPLICA_URLS']) {
    // Whoever sets them relies on being throttled by lag: better not to start than to run without.
    if (given[name] !== undefined && given[name] !== 'none') {
      problems.push(
        `${name} is set, and this release does not watch replicas yet. Unset it, and bound runs with maxRowsPerSecond.`,
      )
    }
  }
  return problems
}
