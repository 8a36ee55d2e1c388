import { once } from 'node:events'
import type { Connection, PoolClient } from 'pg'

/** What the driver's connection can do and its types leave out. */
interface CopyConnection extends Connection {
  sendCopyFromChunk(chunk: Buffer): void
  endCopyFrom(): void
  sendCopyFail(reason: string): void
}

/**
 * COPY … FROM STDIN with what `source` gives, no faster than the server takes it. The driver knows the messages and leaves
 * the rest to the query itself, which this is.
 */
export function copyFrom(client: PoolClient, statement: string, source: AsyncIterable<string>): Promise<void> {
  return new Promise((resolve, reject) => {
    let failure: unknown
    const send = async (connection: CopyConnection) => {
      try {
        for await (const chunk of source) {
          if (failure !== undefined) return
          connection.sendCopyFromChunk(Buffer.from(chunk))
          if (connection.stream.writableNeedDrain) await once(connection.stream, 'drain')
        }
        connection.endCopyFrom()
      } catch (error) {
        // Ours is the cause; the server then only says that the copy was broken off.
        failure ??= error
        connection.sendCopyFail('its source failed')
      }
    }
    client.query({
      submit: (connection: Connection) => connection.query(statement),
      handleCopyInResponse: (connection: CopyConnection) => void send(connection),
      handleCommandComplete: () => {},
      handleError(error: Error) {
        failure ??= error
        // Of a connection that is lost nothing more is heard.
        reject(failure)
      },
      handleReadyForQuery() {
        if (failure === undefined) resolve()
        else reject(failure)
      },
    } as { submit: (connection: Connection) => void })
  })
}

/** A value as COPY's text format has it. */
export function copyText(value: string): string {
  return value.replace(/[\\\t\n\r]/g, (letter) => escapes[letter] as string)
}

const escapes: Readonly<Record<string, string>> = { '\\': '\\\\', '\t': '\\t', '\n': '\\n', '\r': '\\r' }
