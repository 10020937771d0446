import { FactoryError } from '@ln-factory/tlv'
import { Address, NETWORK, OutScript, TEST_NETWORK } from '@scure/btc-signer'

const NETWORKS: Readonly<Record<string, typeof NETWORK>> = {
  bitcoin: NETWORK,
  testnet: TEST_NETWORK,
  testnet4: TEST_NETWORK,
  signet: TEST_NETWORK,
  regtest: { ...TEST_NETWORK, bech32: 'bcrt' },
}

/** Witness programs and their addresses (BIP 173, BIP 350) on one network, named as lightningd names it. */
export class AddressCodec {
  private readonly codec: ReturnType<typeof Address>

  constructor(network: string) {
    const params = NETWORKS[network]
    if (params === undefined) throw new FactoryError('bad_parameter', `unknown network: ${network}`)
    this.codec = Address(params)
  }

  /** @throws FactoryError `bad_parameter` when the script has no address */
  encode(script: Uint8Array): string {
    try {
      return this.codec.encode(OutScript.decode(script))
    } catch (cause) {
      throw new FactoryError('bad_parameter', 'script has no address', undefined, { cause })
    }
  }

  /** @throws FactoryError `bad_parameter` when it is no address of this network */
  decode(address: string): Uint8Array {
    try {
      return OutScript.encode(this.codec.decode(address))
    } catch (cause) {
      throw new FactoryError('bad_parameter', `no address of this network: ${address}`, undefined, { cause })
    }
  }
}
