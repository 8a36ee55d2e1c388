/** Where tickets are kept: Redis where there is one, else the same Postgres; the behaviour is the same. */
export type QueueLocation =
  | { readonly kind: 'redis'; readonly url: string }
  | { readonly kind: 'postgres'; readonly url: string; readonly schema: string }
