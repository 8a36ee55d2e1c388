import { connect } from 'node:net'

/** What came back on a connection, byte for byte, and the first answer in it. */
export interface Reply {
  /** 0 where the other side closed without a word. */
  readonly status: number
  readonly headers: ReadonlyMap<string, string>
  readonly body: string
  /** All of it, other answers on the same connection included. */
  readonly text: string
}

/**
 * Sends bytes as they are, which no HTTP client would, and reads until the other side closes. What is not a whole request
 * leaves it waiting for the rest, unless we hang up.
 */
export function exchange(url: string, bytes: Buffer | string, { hangUp = false } = {}): Promise<Reply> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve, reject) => {
    const socket = connect({ host: hostname, port: Number(port) })
    const chunks: Buffer[] = []
    socket.setTimeout(30_000, () => socket.destroy(new Error('no answer within 30 s')))
    socket.on('data', (chunk) => chunks.push(chunk))
    socket.on('close', () => resolve(parse(Buffer.concat(chunks).toString('utf8'))))
    socket.on('error', (error: Error & { code?: string }) => {
      // It may refuse to read on before we have written all.
      if (error.code === 'ECONNRESET' || error.code === 'EPIPE') socket.destroy()
      else reject(error)
    })
    if (hangUp) socket.end(bytes)
    else socket.write(bytes)
  })
}

/** A request as it goes over the wire; a header of many values is there once for each. */
export function requestBytes(
  method: string,
  path: string,
  headers: ReadonlyArray<readonly [string, string]>,
  body: Buffer | string = '',
): Buffer {
  const content = Buffer.from(body as string)
  const given = headers.map(([name]) => name.toLowerCase())
  const usual: ReadonlyArray<readonly [string, string]> = [
    ['host', '127.0.0.1'],
    ['connection', 'close'],
    ['content-length', String(content.length)],
  ]
  const lines = [...usual.filter(([name]) => !given.includes(name)), ...headers]
  const head = `${method} ${path} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`
  return Buffer.concat([Buffer.from(head), content])
}

function parse(text: string): Reply {
  const end = text.indexOf('\r\n\r\n')
  const [first = '', ...lines] = text.slice(0, Math.max(end, 0)).split('\r\n')
  const headers = lines.map((line): [string, string] => {
    const colon = line.indexOf(':')
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
  })
  return {
    status: Number(/^HTTP\/1\.1 (\d{3})/.exec(first)?.[1] ?? 0),
    headers: new Map(headers),
    body: text.slice(end + 4),
    text,
  }
}
