import { adviceToGrant } from '../../core/sql/grant.ts'

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
    case '42703': // undefined_column
      if (at === '"') return "Double quotes are for names; a text is written in single quotes: 'text'."
      return hint ? null : "Columns are written bare, or after the table's name: items.name."
    case '42P01': // undefined_table: a relation, or a name in front of a column
      return routine === 'parserOpenTable'
        ? 'Check its name, and write it with its schema.'
        : "Columns are written bare, or after the table's name: items.name."
    case '42601': // syntax_error
      return at === ';'
        ? 'where and each value of set are one expression: leave the ; out.'
        : 'where and each value of set are one expression each.'
    case '42804': // datatype_mismatch
      return routine === 'coerce_to_boolean' ? 'where has to be a condition.' : null
    case '42883': // undefined_function: an operator, too, for which it is the types that do not fit
      if (routine === 'op_error') return null
      return 'If it is there, its schema is not on the search_path: write it with its schema.'
    case '42704': // undefined_object: a type
      return 'If it is there, its schema is not on the search_path: write it with its schema.'
    case '42501': // insufficient_privilege
      return adviceToGrant({ code, message }) ?? 'GRANT the right to the role that evenkeel connects as.'
    case '42P18': // indeterminate_datatype
    case '42P08': // ambiguous_parameter
    case '42725': // ambiguous_function
      return binds ? castParameter : null
    case '22P02': // invalid_text_representation
    case '22003': // numeric_value_out_of_range
    case '22007': // invalid_datetime_format
    case '22008': // datetime_field_overflow
      return binds && at === ''
        ? 'Postgres takes a parameter for the type of what it is compared with: give a value that fits, or cast both.'
        : null
    default:
      return null
  }
}
