import { describeWithLightningd } from './gate.js'
import { clnPair } from './host/cln.js'
import { hostConformance } from './host/conformance.js'

describeWithLightningd('stock lightningd, as developers run it', () => {
  hostConformance(() => clnPair(true))
})
