import { adviceToGrant } from '../../core/sql/grant.ts'
import { sqlstates } from '../../core/sqlstate.ts'

/** What Postgres said when it refused a statement. */
export interface Refused {
  readonly message: string
  readonly code: string
  readonly hint: string | null
  /** Postgres' own function that refused it: its name is never translated. */
  readonly routine: string
  /** The character of the statement that it points at; empty where it points nowhere. */
  readonly at: string
}

const castParameter = `A parameter whose type Postgres cannot tell is cast: \${value}::int.`

/** What to do about it, where that can be told; Postgres' own hint is given besides. `binds`: the piece of SQL has parameters. */
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
        ? 'where and each value of set are one expression: leave the ; out.'
        : 'where and each value of set are one expression each.'
    case sqlstates.datatype_mismatch:
      return routine === 'coerce_to_boolean' ? 'where has to be a condition.' : null
    case sqlstates.undefined_function: // an operator, too, for which it is the types that do not fit
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
        ? 'Postgres takes a parameter for the type of what it is compared with: give a value that fits, or cast both.'
        : null
    default:
      return null
  }
}
