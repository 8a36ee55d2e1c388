import { createHash, type Hash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'

/** An npm package in one version, with its required hash as in a package-lock.json. */
export interface NpmPackage {
  readonly name: string
  readonly version: string
  readonly integrity: string
}

/** Every name on npm, on the day of this version. Not a dependency of ours, because it has 27 MB. */
export const allThePackageNames: NpmPackage = {
  name: 'all-the-package-names',
  version: '2.0.2578',
  integrity: 'sha512-AwGNwxVE3rEmzteVKN4onA+0imeh9K2Yxy1M9LfLSeiY/+iG2LInU+T0/03CCrq9//sLMqFsSMULjrrT78N5Ag==',
}

const quietForMs = 30_000

export interface FetchOptions {
  /** The registry as npm is configured. */
  readonly registry: string
  /** Folder for fetched packages, under the names that `npm pack` gives them. */
  readonly folder: string
  readonly signal: AbortSignal
  /** Called with the bytes received and the total. */
  readonly onProgress: (bytes: number, total: number) => void
}

export interface FetchedPackage {
  readonly file: string
  readonly fetched: boolean
}

/** Returns the archive of a package: the one in the folder, or the registry's. Checks its hash in either case. */
export async function fetchPackage(wanted: NpmPackage, options: FetchOptions): Promise<FetchedPackage> {
  const file = join(options.folder, `${wanted.name}-${wanted.version}.tgz`)
  if ((await integrityOf(file)) === wanted.integrity) return { file, fetched: false }
  const url = `${options.registry.replace(/\/$/, '')}/${wanted.name}/-/${wanted.name}-${wanted.version}.tgz`
  await mkdir(options.folder, { recursive: true })
  const part = `${file}.${process.pid}.part`
  try {
    const found = await download(url, part, options).catch((error: unknown) => {
      if (options.signal.aborted) throw error
      throw new Error(
        `${url} cannot be fetched: ${reasonOf(error)}. It is needed once. Check the network and the registry (npm config get registry), or have npm fetch it, which uses its proxy settings: npm pack ${wanted.name}@${wanted.version} --pack-destination ${options.folder}`,
      )
    })
    if (found !== wanted.integrity) {
      throw new Error(
        `What came from ${url} is not ${wanted.name} ${wanted.version}: it has ${found} and should have ${wanted.integrity}. Nothing of it is kept; check the proxy or mirror between here and the registry.`,
      )
    }
    await rename(part, file)
    return { file, fetched: true }
  } finally {
    await rm(part, { force: true })
  }
}

/** Downloads a URL into a file and returns its hash. Gives up on a server that sends nothing any more. */
async function download(url: string, file: string, { signal, onProgress }: FetchOptions): Promise<string> {
  const silence = new AbortController()
  const heard = () => setTimeout(() => silence.abort(new Error(`no answer within ${quietForMs / 1000} s`)), quietForMs)
  let timer = heard()
  const target = await open(file, 'w')
  try {
    const response = await fetch(url, { signal: AbortSignal.any([signal, silence.signal]) })
    if (!response.ok || !response.body)
      throw new Error(`it was answered with ${response.status} ${response.statusText}`)
    const total = Number(response.headers.get('content-length') ?? Number.NaN)
    const hash = createHash('sha512')
    let bytes = 0
    for await (const chunk of response.body) {
      clearTimeout(timer)
      timer = heard()
      hash.update(chunk)
      await target.writeFile(chunk)
      bytes += chunk.length
      onProgress(bytes, total)
    }
    return written(hash)
  } finally {
    clearTimeout(timer)
    await target.close()
  }
}

/** Hash of a file, as registries write it; null if there is no file. */
async function integrityOf(file: string): Promise<string | null> {
  const hash = createHash('sha512')
  try {
    await pipeline(createReadStream(file), hash)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
  return written(hash)
}

function written(hash: Hash): string {
  return `sha512-${hash.digest('base64')}`
}

/** fetch says "fetch failed"; its cause says why. */
function reasonOf(error: unknown): string {
  const { cause, message } = error as Error
  return cause instanceof Error ? `${message} (${cause.message || (cause as NodeJS.ErrnoException).code})` : message
}
