import type { Reading } from '../core/throttle/signal.ts'
import { unknown } from './messages.ts'
import type { Standbys } from './standbys.ts'

/** Seconds by which the furthest behind of the standbys is behind. */
export function replicaLag(standbys: Standbys): Reading {
  return worstStandby('replica-lag', standbys, 'seconds')
}

/** The worst of all standbys; unknown while one should be there and where it had got to was never seen. */
export function worstStandby(
  signal: 'replica-lag' | 'replica-bytes',
  standbys: Standbys,
  by: 'seconds' | 'bytes',
): Reading {
  const lost = standbys.missing().find(({ traced }) => !traced)
  if (lost) {
    return unknown(
      signal,
      `standby ${lost.name} has not been seen streaming: start it; or, if it is gone for good, say in REPLICAS which ones count`,
    )
  }
  const worst = standbys.behind().reduce((worst, one) => (one[by] > worst[by] ? one : worst))
  return {
    signal,
    value: worst[by],
    detail: `standby ${worst.name}${worst.vanished ? ', which has stopped streaming' : ''}`,
  }
}
