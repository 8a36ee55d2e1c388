// A pgbouncer for the tests behind one. --require: exit code 1 when there is none in the end.
import { provide } from './debian.mjs'

provide({ names: ['pgbouncer'], folder: 'pgbouncer', what: 'PgBouncer' })
