import type { Reading } from '../core/throttle/signal.ts'
import { worstStandby } from './replica-lag.ts'
import type { Standbys } from './standbys.ts'

/** Bytes of WAL that the standby furthest behind has yet to replay. */
export function replicaBytes(standbys: Standbys): Reading {
  return worstStandby('replica-bytes', standbys, 'bytes')
}
