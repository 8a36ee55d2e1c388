import type { Client } from 'pg'

export const accountRows = 100_000

export const keyKinds = ['bigint', 'uuid'] as const
export const widths = ['narrow', 'wide'] as const

/** What the table that is backfilled looks like. */
export interface TableShape {
  readonly rows: number
  /** Of the primary key. In the order of uuids the rows lie all over the table. */
  readonly keys: (typeof keyKinds)[number]
  /** Whether its rows carry some kilobytes that the backfill does not look at. */
  readonly width: (typeof widths)[number]
}

const keyOf: Record<TableShape['keys'], string> = { bigint: 'n', uuid: 'md5(n::text)::uuid' }

/** Most of a wide row lies in the table's TOAST; what is left in the row itself moves with every new version of it. */
const payload: Record<TableShape['width'], { readonly columns: string; readonly values: string }> = {
  narrow: { columns: '', values: '' },
  wide: {
    columns: ', details text STORAGE PLAIN, document text STORAGE EXTERNAL',
    values: ', repeat(md5(n::text), 20), repeat(md5(n::text), 62)',
  },
}

/** The tables as every case finds them: no dead rows, statistics taken, pages marked as all visible. */
export async function createTables(client: Client, { rows, keys, width }: TableShape): Promise<void> {
  const { columns, values } = payload[width]
  await client.query(`
    CREATE TABLE orders (id ${keys}, customer_id bigint, status text, amount_cents bigint, paid_cents bigint,
      placed_at timestamptz, note text, net_cents bigint${columns})`)
  await client.query(`
    INSERT INTO orders
    SELECT ${keyOf[keys]}, 1 + n * 7919 % 50000, 'paid', 100 + n * 104729 % 1000000, 0,
      timestamptz '2020-01-01' + n * interval '1 minute', 'left with a neighbour', NULL${values}
    FROM generate_series(1::bigint, ${rows}) AS n`)
  await client.query('ALTER TABLE orders ADD PRIMARY KEY (id)')
  await client.query('CREATE INDEX orders_customer_id ON orders (customer_id)')
  await client.query('CREATE INDEX orders_placed_at ON orders (placed_at)')
  await client.query(`
    CREATE TABLE accounts AS
    SELECT id, 0::bigint AS paid_cents, repeat('x', 84) AS filler FROM generate_series(1::bigint, ${accountRows}) AS id`)
  await client.query('ALTER TABLE accounts ADD PRIMARY KEY (id)')
  await client.query(
    'CREATE TABLE history (row_id bigint, table_name text, delta bigint, at timestamptz DEFAULT now(), filler char(22))',
  )
  await client.query('CREATE EXTENSION pg_prewarm')
  await client.query('VACUUM (ANALYZE)')
}
