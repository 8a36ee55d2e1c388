import { doLoop } from './peers/do-loop.ts'
import { evenkeel } from './peers/evenkeel.ts'
import { defaults, withoutPace } from './peers/pacing.ts'
import type { Peer } from './peers/peer.ts'
import { bigUpdate } from './peers/update.ts'

/** What the other cases' foreground is compared with. */
export const alone = 'alone'
/** What the other cases' speed is compared with. */
export const unpaced = 'evenkeel without pace'
/** What the goals are about. */
export const paced = 'evenkeel'

export interface Case {
  readonly name: string
  /** Null: nobody backfills. */
  readonly peer: Peer | null
}

const peers = [bigUpdate, doLoop(1000), doLoop(5000), evenkeel(unpaced, withoutPace), evenkeel(paced, defaults)]

export const cases: readonly Case[] = [{ name: alone, peer: null }, ...peers.map((peer) => ({ name: peer.name, peer }))]
