/** Who may call the API. `read` may look, `operate` may also act. */
export interface Token {
  readonly name: string
  readonly scope: 'read' | 'operate'
  readonly secret: string
}
