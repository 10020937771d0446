/**
 * The schedule of the ladder: from what is there to what must be done now, as data. It is asked anew with every block and remembers
 * nothing but its attempts, so a missed block or a restart can't lead it astray.
 */
import { fundingFor } from './capital.js'
import { decideCreation } from './creating.js'
import { Desk } from './desk.js'
import { decideFactory, reserved } from './rotating.js'
import type { Decision, LadderView } from './types.js'

/** Factories that expire first are served first; new clients get what is left of places and budget. */
export function decide(view: LadderView): readonly Decision[] {
  const desk = new Desk(view)
  const byExpiry = [...view.factories].sort((a, b) => a.expiry - b.expiry)
  const decisions: Decision[] = []
  const begun = new Set<string>()
  for (const factory of byExpiry) {
    const decision = decideFactory(factory, desk)
    if (decision === undefined) continue
    decisions.push(decision)
    if (decision.do === 'rotate') begun.add(decision.instance)
  }
  for (const factory of reserved(view, begun))
    desk.setAside(
      fundingFor(view.config, factory.residents.filter((r) => !r.underway).slice(0, view.config.maxClients)),
    )
  const creation = decideCreation(desk)
  return creation === undefined ? decisions : [...decisions, creation]
}
