import { createHash } from 'node:crypto'
import { gzipSync } from 'node:zlib'

/** A .tgz of these files, as npm packs a package; and the hash that a registry would tell of it. */
export function packed(files: Readonly<Record<string, string>>): { tgz: Buffer; integrity: string } {
  const blocks = Object.entries(files).flatMap(([path, contents]) => {
    const bytes = Buffer.from(contents)
    const header = Buffer.alloc(512)
    header.write(path, 0)
    header.write('0000644\0', 100)
    header.write(`${bytes.length.toString(8).padStart(11, '0')} `, 124)
    header.write('        ', 148)
    header.write('0', 156)
    header.write('ustar\x0000', 257)
    const sum = header.reduce((total, byte) => total + byte, 0)
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
    return [header, bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]
  })
  const tgz = gzipSync(Buffer.concat([...blocks, Buffer.alloc(1024)]))
  return { tgz, integrity: `sha512-${createHash('sha512').update(tgz).digest('base64')}` }
}
