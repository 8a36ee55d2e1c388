import type { Reading } from '../core/throttle/signal.ts'
import { worstStandby } from './replica-lag.ts'
import type { Standbys } from './standbys.ts'

/** Bytes of WAL that the furthest behind of the standbys has still to replay. */
export function replicaBytes(standbys: Standbys): Reading {
  return worstStandby('replica-bytes', standbys, 'bytes')
}
