/** What was seen on shared outputs, kept beside the state: one item for each output that a block spent. */
import type { Context, StepBuilder } from '../machine/index.js'
import { decodeState, encodeState } from '../store/codec.js'
import { decodeTx } from '../tree/decode.js'
import type { Spend } from '../tree/types.js'
import { outPointKey, type BlockHeight, type OutPoint, type Txid } from '../units/index.js'
import { classify, type Classified, type Knowledge } from '../watch/classify.js'

export interface Sighting extends Classified {
  readonly outpoint: OutPoint
  readonly by: Txid
  readonly height: BlockHeight
}

/** By outpoint: what should be impossible and was seen. */
export type AlarmTexts = Readonly<Record<string, string>>

const ITEM = 'seen/'
const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'utf8'))
const itemOf = (outpoint: OutPoint): string => ITEM + outPointKey(outpoint)

/** Each output once: what one factory's transactions spend, and its channels. */
export function sharedOutputs(spends: readonly Spend[], channels: readonly OutPoint[]): readonly OutPoint[] {
  const all = [...spends.map((s) => s.prevout.outpoint), ...channels]
  return [...new Map(all.map((o) => [outPointKey(o), o])).values()]
}

export function sightingOf(outpoint: OutPoint, item: Context['item']): Sighting | undefined {
  const value = item(itemOf(outpoint))
  return value === undefined || value.length === 0
    ? undefined
    : (decodeState(Buffer.from(value).toString('utf8')) as Sighting)
}

type Alarmed = { readonly alarms: AlarmTexts | undefined }

/** Named, logged, and kept; told again after a restart it changes nothing. */
export function record<S extends Alarmed>(
  step: StepBuilder<S>,
  context: Context,
  known: Knowledge,
  event: { readonly outpoint: OutPoint; readonly by: Txid; readonly height: BlockHeight; readonly tx: Uint8Array },
): void {
  const { outpoint, by, height } = event
  // A machine may watch other outputs too, for reasons of its own.
  if (!sharedOutputs(known.spends, known.channels).some((o) => outPointKey(o) === outPointKey(outpoint))) return
  const before = sightingOf(outpoint, context.item)
  if (before?.by === by && before.height === height) return
  const seen: Sighting = { ...classify(known, outpoint, decodeTx(event.tx)), outpoint, by, height }
  step.item(itemOf(outpoint), bytes(encodeState(seen)))
  const text = `${outPointKey(outpoint)} spent by ${by} at height ${height}: ${seen.sight}${seen.id === undefined ? '' : ` (${seen.id})`}`
  step.log(seen.alarm ? 'warning' : 'confirmed', text)
  if (seen.alarm) raise(step, outPointKey(outpoint), alarmText(seen))
}

/** A reorganisation took it back. */
export function forget<S extends Alarmed>(step: StepBuilder<S>, context: Context, outpoint: OutPoint): void {
  if (sightingOf(outpoint, context.item) === undefined) return
  step.item(itemOf(outpoint), new Uint8Array())
  const { [outPointKey(outpoint)]: gone, ...alarms } = step.state.alarms ?? {}
  if (gone !== undefined) step.to({ ...step.state, alarms })
}

function raise<S extends Alarmed>(step: StepBuilder<S>, key: string, text: string): void {
  step.to({ ...step.state, alarms: { ...step.state.alarms, [key]: text } })
  step.remark(text)
}

const alarmText = ({ sight, outpoint, by }: Sighting): string =>
  sight === 'stale state'
    ? `ALARM: a superseded state is on chain: ${by}`
    : `ALARM: ${outPointKey(outpoint)}, which nobody can spend without us, was spent by ${by}, which this node does not know. ` +
      'Has a copy of this node, or its seed, been used elsewhere?'
