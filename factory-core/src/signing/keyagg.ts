/**
 * BIP-327 key aggregation: KeySort, KeyAgg, ApplyTweak. Aggregating n keys costs n point multiplications, so it is done once
 * per signer set; tweaks and sessions work on the result.
 */
import { bytesToHex, concatBytes } from '@noble/hashes/utils.js'
import { FactoryError } from '@ln-factory/tlv'
import type { CurveBackend, Point } from './backend.js'
import { defaultBackend } from './backend-select.js'
import { tagHasher } from './hash.js'
import { mod, parseScalar, reduceScalar } from './scalar.js'

const hashList = tagHasher('KeyAgg list')
const hashCoefficient = tagHasher('KeyAgg coefficient')
const hashTapTweak = tagHasher('TapTweak')

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  for (const [i, x] of a.entries()) {
    const difference = x - (b[i] ?? 0)
    if (difference !== 0) return difference
  }
  return a.length - b.length
}

/** BIP-327 KeySort: lexicographic. Returns a new list. */
export const sortKeys = (keys: readonly Uint8Array[]): Uint8Array[] => [...keys].sort(compareBytes)

/** Is this a compressed point of the curve, 33 bytes? For a key that has just arrived. */
export const isPublicKey = (key: Uint8Array, backend: CurveBackend = defaultBackend()): boolean =>
  backend.parse(key) !== undefined

/** A signer's key inside an aggregate. */
export interface Signer {
  readonly point: Point
  /** KeyAggCoeff. */
  readonly coefficient: bigint
}

/** The untweaked aggregate of one signer set. */
export class KeyAggregate {
  /** x-only, 32 bytes. */
  readonly xonly: Uint8Array
  readonly #tweaked = new Map<string, TweakedAggregate>()

  constructor(
    readonly backend: CurveBackend,
    /** In the order of aggregation. */
    readonly keys: readonly Uint8Array[],
    private readonly signers: ReadonlyMap<string, Signer>,
    readonly point: Point,
  ) {
    this.xonly = backend.compress(point).subarray(1)
  }

  /** Point and coefficient of a key; undefined when it is not in the set. */
  signer(publicKey: Uint8Array): Signer | undefined {
    return this.signers.get(bytesToHex(publicKey))
  }

  /** As it stands: for a CHECKSIG with this aggregate inside a tapleaf. */
  untweaked(): TweakedAggregate {
    return new TweakedAggregate(this, this.point, 1n, 0n)
  }

  /** As the output key of a P2TR output with this internal key (BIP-341). `merkleRoot`: 32 bytes, undefined without scripts. */
  taproot(merkleRoot: Uint8Array | undefined): TweakedAggregate {
    if (merkleRoot !== undefined && merkleRoot.length !== 32) {
      throw new FactoryError('bad_parameter', `a merkle root has 32 bytes, not ${merkleRoot.length}`)
    }
    const root = merkleRoot ?? new Uint8Array(0)
    const id = bytesToHex(root)
    const known = this.#tweaked.get(id)
    if (known !== undefined) return known
    const made = this.untweaked().tweak(hashTapTweak(this.xonly, root), 'xonly')
    this.#tweaked.set(id, made)
    return made
  }
}

/** BIP-327's KeyAgg context: an aggregate and the tweaks applied to it. What a session signs for. */
export class TweakedAggregate {
  /** x-only, 32 bytes: what the final signature verifies against. */
  readonly xonly: Uint8Array

  constructor(
    readonly source: KeyAggregate,
    readonly point: Point,
    /** 1 or n-1. */
    readonly sign: bigint,
    /** tacc. */
    readonly offset: bigint,
  ) {
    this.xonly = source.backend.compress(point).subarray(1)
  }

  /** Witness program of a P2TR output with this output key, 34 bytes. */
  get script(): Uint8Array {
    return concatBytes(Uint8Array.of(0x51, 0x20), this.xonly)
  }

  /** The y parity of the output key, as a control block carries it. */
  get parity(): 0 | 1 {
    return this.source.backend.hasEvenY(this.point) ? 0 : 1
  }

  /**
   * BIP-327 ApplyTweak. `tweak`: 32 bytes below n.
   * @throws FactoryError `bad_parameter` when it is not, or when the result is infinity
   */
  tweak(tweak: Uint8Array, mode: 'plain' | 'xonly'): TweakedAggregate {
    const { backend } = this.source
    const t = parseScalar(tweak)
    if (t === undefined) throw new FactoryError('bad_parameter', 'a tweak has 32 bytes and is below the group order')
    const flip = mode === 'xonly' && !backend.hasEvenY(this.point)
    const base = flip ? backend.negate(this.point) : this.point
    const point = backend.sum([base, backend.combine([[t, backend.generator]])])
    if (point.isInfinity) throw new FactoryError('bad_parameter', 'the tweak cancels the aggregate key')
    return new TweakedAggregate(
      this.source,
      point,
      flip ? mod(-this.sign) : this.sign,
      mod(t + (flip ? -this.offset : this.offset)),
    )
  }
}

/** A key that has been decompressed. */
interface ParsedKey {
  readonly bytes: Uint8Array
  readonly hex: string
  readonly point: Point
}

function keyAgg(keys: readonly ParsedKey[], backend: CurveBackend): KeyAggregate {
  const [first] = keys
  if (first === undefined) throw new FactoryError('bad_parameter', 'no keys to aggregate')
  const second = keys.find((key) => key.hex !== first.hex)
  const list = hashList(...keys.map((key) => key.bytes))
  const signers = new Map<string, Signer>()
  const terms = keys.map(({ bytes, hex, point }): [bigint, Point] => {
    const coefficient = hex === second?.hex ? 1n : reduceScalar(hashCoefficient(list, bytes))
    signers.set(hex, { point, coefficient })
    return [coefficient, point]
  })
  const point = backend.combine(terms)
  if (point.isInfinity) throw new FactoryError('bad_key', 'the keys cancel each other')
  return new KeyAggregate(
    backend,
    keys.map((key) => key.bytes),
    signers,
    point,
  )
}

/**
 * Aggregates signer sets that share keys, as a factory's tree does: decompresses each key once, and aggregates each set once.
 */
export class KeyAggregator {
  readonly #parsed = new Map<string, ParsedKey>()
  readonly #aggregates = new Map<string, KeyAggregate>()
  #held = 0

  constructor(readonly backend: CurveBackend = defaultBackend()) {}

  /** How many keys it remembers, counted once for each set that they are in: what its memory grows with. */
  get held(): number {
    return this.#held
  }

  /** See `aggregateKeys`. */
  aggregate(keys: readonly Uint8Array[]): KeyAggregate {
    return this.#once(keys.map((key, index) => this.#parse(key, index)).sort((a, b) => compareBytes(a.bytes, b.bytes)))
  }

  /** See `aggregateKeysInOrder`. */
  aggregateInOrder(keys: readonly Uint8Array[]): KeyAggregate {
    return this.#once(keys.map((key, index) => this.#parse(key, index)))
  }

  #once(keys: readonly ParsedKey[]): KeyAggregate {
    const id = keys.map((key) => key.hex).join()
    let aggregate = this.#aggregates.get(id)
    if (aggregate === undefined) {
      aggregate = keyAgg(keys, this.backend)
      this.#aggregates.set(id, aggregate)
      this.#held += keys.length
    }
    return aggregate
  }

  #parse(key: Uint8Array, index: number): ParsedKey {
    const hex = bytesToHex(key)
    let parsed = this.#parsed.get(hex)
    if (parsed === undefined) {
      const point = this.backend.parse(key)
      if (point === undefined) {
        throw new FactoryError('bad_key', `the key of participant ${index} is not a compressed curve point (33 bytes)`)
      }
      parsed = { bytes: Uint8Array.from(key), hex, point }
      this.#parsed.set(hex, parsed)
      this.#held++
    }
    return parsed
  }
}

/** More than three factories of 512 clients need; a few megabytes. */
const MOST_HELD = 20_000

const shared = new WeakMap<CurveBackend, KeyAggregator>()

/** The aggregator of a back end that this process shares; it starts afresh when it remembers too much. */
function sharedAggregator(backend: CurveBackend): KeyAggregator {
  let aggregator = shared.get(backend)
  if (aggregator === undefined || aggregator.held > MOST_HELD) {
    aggregator = new KeyAggregator(backend)
    shared.set(backend, aggregator)
  }
  return aggregator
}

/**
 * Aggregate of a signer set, sorted first (BIP-327 KeySort): who stands where in `keys` doesn't matter. 33 bytes each; a key
 * may come twice. Aggregates are remembered, so that asking again for the same set is cheap.
 * @throws FactoryError `bad_key` naming the position in `keys`, as given, of the first invalid one; `bad_parameter` without keys
 */
export const aggregateKeys = (keys: readonly Uint8Array[], backend: CurveBackend = defaultBackend()): KeyAggregate =>
  sharedAggregator(backend).aggregate(keys)

/** The same without sorting, for protocols that fix another order. */
export const aggregateKeysInOrder = (
  keys: readonly Uint8Array[],
  backend: CurveBackend = defaultBackend(),
): KeyAggregate => sharedAggregator(backend).aggregateInOrder(keys)
