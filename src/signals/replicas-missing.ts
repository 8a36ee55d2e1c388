import type { Reading } from '../core/throttle/signal.ts'
import { count } from './messages.ts'
import type { Standbys } from './standbys.ts'

/** Seconds since an expected standby last streamed; 0 while all stream. */
export function replicasMissing(standbys: Standbys): Reading {
  const [first, ...others] = standbys.missing().sort((a, b) => b.seconds - a.seconds)
  if (!first) {
    return { signal: 'replicas-missing', value: 0, detail: count(standbys.streaming, 'standby', 'standbys') }
  }
  const one =
    first.expected === 1
      ? `standby ${first.name}`
      : `${first.expected - first.streaming} of the ${first.expected} standbys ${first.name}`
  const more = others.length === 0 ? '' : ` (and ${others.map(({ name }) => name).join(', ')})`
  return { signal: 'replicas-missing', value: first.seconds, detail: `${one}${more}` }
}
