/** A client of the API. `read` may read, `operate` may also act. */
export interface Token {
  readonly name: string
  readonly scope: 'read' | 'operate'
  readonly secret: string
}
