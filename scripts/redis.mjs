// A redis-server for the tests on that queue. --require: exit code 1 when there is none in the end.
import { provide } from './debian.mjs'

provide({ names: ['redis-server', 'valkey-server'], folder: 'redis', what: 'Redis' })
