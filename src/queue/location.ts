/** Where tickets are kept: in Redis if it is configured, else in the same Postgres. The behaviour is the same. */
export type QueueLocation =
  | { readonly kind: 'redis'; readonly url: string }
  | { readonly kind: 'postgres'; readonly url: string; readonly schema: string }
