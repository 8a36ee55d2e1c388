import type { Client } from 'pg'

export const accountRows = 100_000

/** The tables as every case finds them: no dead rows, statistics taken, pages marked as all visible. */
export async function createTables(client: Client, orderRows: number): Promise<void> {
  await client.query(`
    CREATE TABLE orders AS
    SELECT id, 1 + id * 7919 % 50000 AS customer_id, 'paid' AS status, 100 + id * 104729 % 1000000 AS amount_cents,
      0::bigint AS paid_cents, timestamptz '2020-01-01' + id * interval '1 minute' AS placed_at,
      'left with a neighbour' AS note, NULL::bigint AS net_cents
    FROM generate_series(1::bigint, ${orderRows}) AS id`)
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
