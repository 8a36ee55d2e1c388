import { createReadStream } from 'node:fs'
import { pipeline } from 'node:stream'
import { createGunzip } from 'node:zlib'

const blockBytes = 512
/** Type of a plain file, in new and old archives. */
const plainFile = ['0', '\0']

/** One file of a .tgz: its length, and its contents as they are unpacked. */
export interface TarEntry {
  readonly bytes: number
  readonly contents: AsyncIterable<Buffer>
}

/** Opens one file of a .tgz with no more than a chunk in memory. Throws if it is not in the archive. */
export async function openEntry(file: string, path: string): Promise<TarEntry> {
  const gunzip = createGunzip()
  // Errors reach the reader of the stream.
  pipeline(createReadStream(file), gunzip, () => {})
  const unpacked = new Unpacked(gunzip[Symbol.asyncIterator]())
  for (;;) {
    const header = await unpacked.take(blockBytes)
    if (header.every((byte) => byte === 0)) break
    const bytes = Number.parseInt(text(header, 124, 12).trim(), 8)
    if (!Number.isSafeInteger(bytes)) throw new Error(`${file} is not a tar archive`)
    if (text(header, 0, 100) === path && plainFile.includes(String.fromCharCode(header[156] ?? 0))) {
      return { bytes, contents: unpacked.stream(bytes, true) }
    }
    for await (const _ of unpacked.stream(Math.ceil(bytes / blockBytes) * blockBytes));
  }
  await unpacked.close()
  throw new Error(`${file} has no file ${path} in it`)
}

function text(header: Buffer, from: number, bytes: number): string {
  const field = header.subarray(from, from + bytes)
  const end = field.indexOf(0)
  return field.toString('utf8', 0, end < 0 ? bytes : end)
}

/** Bytes of a stream in order, in portions of the size that the caller asks for. */
class Unpacked {
  readonly #source: AsyncIterator<Buffer>
  #rest: Buffer = Buffer.alloc(0)

  constructor(source: AsyncIterator<Buffer>) {
    this.#source = source
  }

  async take(bytes: number): Promise<Buffer> {
    const parts: Buffer[] = []
    for await (const part of this.stream(bytes)) parts.push(part)
    return Buffer.concat(parts)
  }

  async *stream(bytes: number, last = false): AsyncGenerator<Buffer> {
    try {
      for (let left = bytes; left > 0; ) {
        if (this.#rest.length === 0) {
          const { value, done } = await this.#source.next()
          if (done) throw new Error('the archive ends in the middle of a file')
          this.#rest = value
        }
        const part = this.#rest.subarray(0, left)
        this.#rest = this.#rest.subarray(part.length)
        left -= part.length
        yield part
      }
    } finally {
      if (last) await this.close()
    }
  }

  async close(): Promise<void> {
    await this.#source.return?.()
  }
}
