import type { Reading } from '../core/throttle/signal.ts'
import { unknown } from './messages.ts'
import type { Standbys } from './standbys.ts'

/** Lag of the standby furthest behind. Seconds. */
export function replicaLag(standbys: Standbys): Reading {
  return worstStandby('replica-lag', standbys, 'seconds')
}

/** Reads the worst standby. Unknown while an expected standby is missing whose position was never seen. */
export function worstStandby(
  signal: 'replica-lag' | 'replica-bytes',
  standbys: Standbys,
  by: 'seconds' | 'bytes',
): Reading {
  const lost = standbys.missing().find(({ traced }) => !traced)
  if (lost) {
    return unknown(
      signal,
      `standby ${lost.name} has not been seen streaming: start it; or, if it is gone for good, list in REPLICAS the standbys that count`,
    )
  }
  const worst = standbys.behind().reduce((worst, one) => (one[by] > worst[by] ? one : worst))
  return {
    signal,
    value: worst[by],
    detail: `standby ${worst.name}${worst.vanished ? ', which has stopped streaming' : ''}`,
  }
}
