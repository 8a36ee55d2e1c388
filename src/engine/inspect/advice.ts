import { adviceToGrant } from '../../core/sql/grant.ts'
import { sqlstates } from '../../core/sqlstate.ts'

/** How Postgres refused a statement. */
export interface Refused {
  readonly message: string
  readonly code: string
  readonly hint: string | null
  /** Postgres' own function that refused it. Its name is never translated. */
  readonly routine: string
  /** The character of the statement that the error points at; empty if it points nowhere. */
  readonly at: string
}

const castParameter = `Cast a parameter whose type Postgres cannot infer: \${value}::int.`

/** What to do about a refusal, if known; Postgres' own hint is added. `binds`: the piece of SQL has parameters. */
export function adviceFor({ message, code, hint, routine, at }: Refused, binds: boolean): string | null {
  switch (code) {
    case sqlstates.undefined_column:
      if (at === '"') return "Double quotes are for names; a text is written in single quotes: 'text'."
      return hint ? null : "Columns are written bare, or after the table's name: items.name."
    case sqlstates.undefined_table: // a relation, or a name in front of a column
      return routine === 'parserOpenTable'
        ? 'Check its name, and write it with its schema.'
        : "Columns are written bare, or after the table's name: items.name."
    case sqlstates.syntax_error:
      return at === ';'
        ? 'where and each value of set are one expression: remove the ;.'
        : 'where and each value of set are one expression each.'
    case sqlstates.datatype_mismatch:
      return routine === 'coerce_to_boolean' ? 'where has to be a condition.' : null
    case sqlstates.undefined_function: // also an operator, for which the types do not fit
      if (routine === 'op_error') return null
      return 'If it is there, its schema is not on the search_path: write it with its schema.'
    case sqlstates.undefined_object: // a type
      return 'If it is there, its schema is not on the search_path: write it with its schema.'
    case sqlstates.insufficient_privilege:
      return adviceToGrant({ code, message }) ?? 'GRANT the right to the role that evenkeel connects as.'
    case sqlstates.indeterminate_datatype:
    case sqlstates.ambiguous_parameter:
    case sqlstates.ambiguous_function:
      return binds ? castParameter : null
    case sqlstates.invalid_text_representation:
    case sqlstates.numeric_value_out_of_range:
    case sqlstates.invalid_datetime_format:
    case sqlstates.datetime_field_overflow:
      return binds && at === ''
        ? 'Postgres gives a parameter the type that it is compared with: give a value that fits, or cast both.'
        : null
    default:
      return null
  }
}
