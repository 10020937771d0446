import { describeWithBitcoind } from './gate.js'
import { hostConformance } from './host/conformance.js'
import { ldkPair } from './host/ldk.js'

describeWithBitcoind('LDK', () => {
  hostConformance(() => ldkPair())
})
