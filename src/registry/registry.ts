import { readdir, stat } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { createJiti } from 'jiti'
import * as zod from 'zod'
import { messageOf, Problem } from '../core/errors.ts'
import { isJob, type JobDefinition } from '../core/job/job.ts'
import { nearest } from '../core/job/nearest-name.ts'
import * as evenkeel from '../index.ts'

/** A file in the jobs folder that does not load, and the line of its error. */
export interface BrokenFile {
  readonly file: string
  readonly line: number | null
  readonly error: string
}

export interface JobFiles {
  readonly jobs: readonly { readonly file: string; readonly job: JobDefinition }[]
  readonly broken: readonly BrokenFile[]
}

/**
 * The jobs folder. It is read again when a file in it has changed. A file that does not load does not stop the others.
 */
export interface Registry {
  read(): Promise<JobFiles>
  /** Throws a Problem (`not-found`) that names the known jobs, or the broken file. */
  find(name: string): Promise<JobDefinition>
}

/**
 * The modules that a job imports from this process. Its zod must be ours, or its parameters would not count as a zod
 * object.
 */
const ours = { evenkeel, zod }

/** `onBroken` gets each file that does not load, each time the folder is read. */
export function openRegistry(folder: string, onBroken: (file: BrokenFile) => void = () => undefined): Registry {
  let signature = ''
  let files: JobFiles = { jobs: [], broken: [] }

  async function read(): Promise<JobFiles> {
    const now = await listFiles(folder)
    if (now.signature !== signature) {
      files = await loadAll(folder, now.jobs)
      for (const file of files.broken) onBroken(file)
      signature = now.signature
    }
    return files
  }

  return {
    read,
    async find(name) {
      const { jobs, broken } = await read()
      const found = jobs.find(({ job }) => job.name === name)
      if (found) return found.job
      const suspects = broken.map(({ file, line, error }) => `${file}${line === null ? '' : `:${line}`}: ${error}`)
      throw new Problem(
        'not-found',
        `There is no job ${JSON.stringify(name)}. ${knownJobs(
          name,
          jobs.map(({ job }) => job.name),
        )}${suspects.length > 0 ? ` These files did not load: ${suspects.join('; ')}` : ''}`,
        { jobs: jobs.map(({ job }) => job.name), broken },
      )
    },
  }
}

function knownJobs(name: string, names: readonly string[]): string {
  if (names.length === 0) return 'The jobs folder holds none.'
  const meant = nearest(name, names)
  if (meant !== null) return `Did you mean ${meant}?`
  return names.length <= 5 ? `Known jobs: ${names.join(', ')}.` : `GET /jobs lists the ${names.length} jobs there are.`
}

/** Every file below the folder, with a signature of their contents: a job may import any of them. */
async function listFiles(folder: string): Promise<{ jobs: string[]; signature: string }> {
  try {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true })
    // Links count too: Kubernetes mounts a ConfigMap as links into a folder that it exchanges.
    const paths = entries
      .filter((entry) => !entry.isDirectory() && !entry.parentPath.includes('node_modules'))
      .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
      .sort()
    const found = await Promise.all(
      paths.map(async (file) => ({ file, stats: await stat(join(folder, file)).catch(() => null) })),
    )
    const files = found.filter(({ stats }) => stats?.isFile())
    return {
      jobs: files
        .map(({ file }) => file)
        .filter((file) => /^[^_./\\][^/\\]*\.m?[jt]s$/.test(file) && !/\.(d|test|spec)\.m?ts$/.test(file)),
      signature: files
        .map(({ file, stats }) => `${file} ${stats?.ino} ${stats?.ctimeMs} ${stats?.mtimeMs} ${stats?.size}`)
        .join('\n'),
    }
  } catch (error) {
    throw new Problem(
      'unavailable',
      `The jobs folder ${folder} cannot be read (${messageOf(error)}). Set JOBS_DIR to the folder that holds the jobs.`,
    )
  }
}

async function loadAll(folder: string, names: readonly string[]): Promise<JobFiles> {
  const jobs: Array<{ file: string; job: JobDefinition }> = []
  const broken: BrokenFile[] = []
  // A new loader each time, without caches, so that the files on disk count.
  const jiti = createJiti(import.meta.url, {
    moduleCache: false,
    fsCache: false,
    // Types and comments are removed, lines stay: an error names the line that its author sees.
    transformOptions: { retainLines: true },
    virtualModules: ours,
  })
  for (const file of names) {
    const path = join(folder, file)
    try {
      const loaded = await jiti.import<unknown>(path, { default: true })
      if (!isJob(loaded)) {
        throw new Problem('invalid', 'It has no default export made by defineJob: export default defineJob({ … }).')
      }
      const twin = jobs.find(({ job }) => job.name === loaded.name)
      if (twin)
        throw new Problem('invalid', `Job ${loaded.name} is defined in ${twin.file} already: give it another name.`)
      jobs.push({ file, job: loaded })
    } catch (error) {
      broken.push({ file, line: lineOf(error, path), error: plainMessage(error, folder) })
    }
  }
  return { jobs, broken }
}

/** The line of an error: from the message of a syntax error, else from the first stack frame in the file. */
function lineOf(error: unknown, path: string): number | null {
  const { message = '', stack = '' } = error as { message?: string; stack?: string }
  const syntax = /\((\d+):\d+\)/.exec(message) ?? /:(\d+):\d+$/m.exec(message)
  const frame = stack.split('\n').find((line) => line.includes(path))
  const found = syntax?.[1] ?? frame?.split(path)[1]?.match(/^:(\d+)/)?.[1]
  return found === undefined ? null : Number(found)
}

function plainMessage(error: unknown, folder: string): string {
  return messageOf(error).replaceAll(`${folder}/`, `${relative('.', folder) || '.'}/`)
}
