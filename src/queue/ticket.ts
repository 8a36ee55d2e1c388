/** A message of the queue: which range of which run needs a worker. All other state is in Postgres. */
export interface Ticket {
  readonly id: string
  readonly runId: string
  readonly ordinal: number
  readonly delaySeconds: number
  /** The range records that the queue refused its previous ticket. */
  readonly refused?: boolean
}
