/** One message of the Postgres protocol. */
export interface Message {
  readonly from: 'client' | 'server'
  /** Its first byte, as the protocol names it: `S` of a client is Sync, `Z` of a server ReadyForQuery. Empty for the startup. */
  readonly type: string
  /** What the session is at: the SQL of this Query, Parse or Bind, or of the last one before. */
  readonly sql: string
  readonly bytes: Buffer
}

const plainProtocol = 3

/** The messages of one session, in both directions. Nothing of ours pipelines, so answers belong to what was asked last. */
export class Wire {
  /** The session's application_name; null until the startup has been seen, or where it gives none. */
  application: string | null = null
  #started = false
  #sql = ''
  readonly #prepared = new Map<string, string>()

  /** The first message of what one side has sent, once it is there as a whole. */
  next(from: Message['from'], sent: Buffer): Message | null {
    const typed = from === 'server' || this.#started
    const lengthAt = typed ? 1 : 0
    if (sent.length < lengthAt + 4) return null
    const end = lengthAt + sent.readInt32BE(lengthAt)
    if (sent.length < end) return null
    const bytes = sent.subarray(0, end)
    const type = typed ? String.fromCharCode(bytes.readUInt8(0)) : ''
    if (!typed) this.#start(bytes)
    else if (from === 'client') this.#follow(type, bytes)
    return { from, type, sql: this.#sql, bytes }
  }

  #start(bytes: Buffer): void {
    if (bytes.readInt16BE(4) !== plainProtocol)
      throw new Error('messages can be told apart in plain sessions only, not in TLS')
    const parameters = textsOf(bytes, 8)
    const at = parameters.indexOf('application_name')
    this.application = at < 0 ? null : (parameters[at + 1] ?? null)
    this.#started = true
  }

  #follow(type: string, bytes: Buffer): void {
    const [first = '', second = ''] = type === 'Q' || type === 'P' || type === 'B' ? textsOf(bytes, 5) : []
    if (type === 'Q') this.#sql = first
    if (type === 'P') {
      this.#prepared.set(first, second)
      this.#sql = second
    }
    if (type === 'B') this.#sql = this.#prepared.get(second) ?? ''
  }
}

/** Texts that each end in a zero. */
function textsOf(bytes: Buffer, start: number): string[] {
  return bytes.toString('utf8', start).split('\0')
}

/** The values of a Bind, which are texts, as the driver sends them. */
export function boundValues(bytes: Buffer): Array<string | null> {
  // Behind the names of portal and statement.
  let at = bytes.indexOf(0, bytes.indexOf(0, 5) + 1) + 1
  at += 2 + 2 * bytes.readInt16BE(at)
  const values: Array<string | null> = []
  const count = bytes.readInt16BE(at)
  at += 2
  while (values.length < count) {
    const length = bytes.readInt32BE(at)
    at += 4
    values.push(length < 0 ? null : bytes.toString('utf8', at, at + length))
    at += Math.max(length, 0)
  }
  return values
}
