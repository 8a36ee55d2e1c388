import { once } from 'node:events'
import type { Connection, PoolClient } from 'pg'

/** Methods of the driver's connection that its types leave out. */
interface CopyConnection extends Connection {
  sendCopyFromChunk(chunk: Buffer): void
  endCopyFrom(): void
  sendCopyFail(reason: string): void
}

/**
 * COPY … FROM STDIN with the chunks of `source`, no faster than the server reads them. The driver knows the messages
 * and leaves them to the query, which this is.
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
        // The error of the source is the cause. The server only reports that the copy was aborted.
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
        // A lost connection sends no further message.
        reject(failure)
      },
      handleReadyForQuery() {
        if (failure === undefined) resolve()
        else reject(failure)
      },
    } as { submit: (connection: Connection) => void })
  })
}

/** A value in COPY's text format. */
export function copyText(value: string): string {
  return value.replace(/[\\\t\n\r]/g, (letter) => escapes[letter] as string)
}

const escapes: Readonly<Record<string, string>> = { '\\': '\\\\', '\t': '\\t', '\n': '\\n', '\r': '\\r' }
