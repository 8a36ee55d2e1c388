import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { parse, parseAllDocuments } from 'yaml'
import { timings } from '../../src/core/timings.ts'

export const repository = fileURLToPath(new URL('../../', import.meta.url))

export function textOf(path: string): string {
  return readFileSync(`${repository}${path}`, 'utf8')
}

export function yamlOf<T>(path: string): T {
  return parse(textOf(path), { merge: true }) as T
}

/** The documents of a file that has several. */
export function manifestsOf<T>(path: string): T[] {
  return parseAllDocuments(textOf(path)).map((document) => {
    if (document.errors.length > 0) throw document.errors[0]
    return document.toJS() as T
  })
}

/** The variables that src/config.ts reads. */
export function knownVariables(): Set<string> {
  const [, variables = ''] = /^const environment = z\.object\(\{\n(.*?)^\}\)$/ms.exec(textOf('src/config.ts')) ?? []
  return new Set([...variables.matchAll(/^ {2}([A-Z_]+):/gm)].map(([, name]) => name as string))
}

/** How long the process takes at most to end what it has in flight. */
export function stopsWithinSeconds(): number {
  return timings.stopSeconds
}

export interface Instruction {
  readonly keyword: string
  /** Continued lines as one. */
  readonly words: string
}

/** The stages of the Dockerfile, each from its FROM on. */
export function dockerfileStages(): Instruction[][] {
  const lines = textOf('Dockerfile')
    .replace(/^#.*\n/gm, '')
    .replace(/\\\n\s*/g, '')
  const stages: Instruction[][] = []
  for (const [, keyword = '', words = ''] of lines.matchAll(/^([A-Z]+) +(.+)$/gm)) {
    if (keyword === 'FROM') stages.push([])
    stages.at(-1)?.push({ keyword, words })
  }
  return stages
}

/** The one instruction of that kind in the stage that is run. */
export function dockerfileOnly(keyword: string): string {
  const found =
    dockerfileStages()
      .at(-1)
      ?.filter((instruction) => instruction.keyword === keyword) ?? []
  const [only] = found
  if (only === undefined || found.length > 1) throw new Error(`the Dockerfile has ${found.length} ${keyword}`)
  return only.words
}

/** What the image sets. */
export function imageEnvironment(): Record<string, string> {
  return Object.fromEntries(
    dockerfileOnly('ENV')
      .split(' ')
      .map((pair) => pair.split('=') as [string, string]),
  )
}

/** What the image's files are copied from, in the repository. */
export function copiedIntoImage(): { sources: string[]; target: string }[] {
  return (dockerfileStages().at(-1) ?? []).flatMap(({ keyword, words }) => {
    if (keyword !== 'COPY' || words.startsWith('--from=')) return []
    const paths = words.split(' ')
    return [{ sources: paths.slice(0, -1), target: paths.at(-1) as string }]
  })
}

interface LockedPackage {
  /** For development alone. */
  readonly dev?: boolean
  /** To a folder of the repository. npm does not say of links what they are for, and the service has none. */
  readonly link?: boolean
}

/** Where the packages are that the image's build installs, by the lock file. */
export function packagesInImage(): string[] {
  const { packages } = JSON.parse(textOf('package-lock.json')) as { packages: Record<string, LockedPackage> }
  return Object.entries(packages).flatMap(([path, { dev, link }]) =>
    path.startsWith('node_modules/') && !dev && !link ? [path] : [],
  )
}

/** Makes the secrets of an installation as docker-compose.yml does, for a Postgres of this account, and us. */
export async function makeSecrets(folder: string, postgresUid: number): Promise<void> {
  const script = `${repository}deploy/compose/secrets.sh`
  const own = String(process.getuid?.())
  await promisify(execFile)('sh', [script, folder, String(postgresUid), own, own])
}
