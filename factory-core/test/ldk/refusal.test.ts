import { hex } from '@scure/base'
import { expect, it } from 'vitest'
import { failurePacket } from '../../src/ldk/refusal.js'

it('says a failure as BOLT 4 has its first hop say it in the test vector', () => {
  const secret = hex.decode('b5756b9b542727dbafc6765a49488b023a725d631af688fc031217e90770c328')
  const packet = hex.encode(failurePacket(secret, hex.decode('2002')))
  expect(packet).toHaveLength(2 * (32 + 2 + 256 + 2))
  expect(
    packet.startsWith(
      'a5e6bd0c74cb347f10cce367f949098f2457d14c046fd8a22cb96efb30b0fdcda8cb9168b50f2fd45edd73c1b0c8b33002df3768',
    ),
  ).toBe(true)
  expect(packet.endsWith('2f3225c326e8bcfd338804c145b16e34e4')).toBe(true)
})
