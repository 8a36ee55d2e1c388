import type pg from 'pg'

/** A column as Postgres describes it before a statement runs: its name and the oid of its type. */
export interface DescribedColumn {
  readonly name: string
  readonly type: number
}

/** The part of the driver's connection that parses and describes. Its types leave it out. */
interface Wire {
  parse(query: { name: string; text: string; types: number[] }): void
  describe(what: { type: 'S'; name: string }): void
  sync(): void
}

/** Has Postgres parse a statement and describe its rows, without running it. Throws what Postgres says of one that it refuses. */
export function describeStatement(client: pg.ClientBase, text: string): Promise<DescribedColumn[]> {
  return new Promise((resolve, reject) => {
    let columns: DescribedColumn[] = []
    let refused: Error | null = null
    client.query({
      submit(connection: Wire) {
        connection.parse({ name: '', text, types: [] })
        connection.describe({ type: 'S', name: '' })
        connection.sync()
      },
      handleRowDescription({ fields }: { fields: ReadonlyArray<{ name: string; dataTypeID: number }> }) {
        columns = fields.map(({ name, dataTypeID }) => ({ name, type: dataTypeID }))
      },
      handleError(error: Error) {
        refused = error
      },
      handleReadyForQuery() {
        if (refused) reject(refused)
        else resolve(columns)
      },
    } as unknown as pg.Submittable)
  })
}
