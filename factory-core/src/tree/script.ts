/** The scripts of a tree: P2TR outputs, the two tapleaves of a stock, the anchor; and what counts as a script we may pay to. */
import { bytesToHex, concatBytes } from '@noble/hashes/utils.js'
import { tagHasher } from '../signing/index.js'
import { sat } from '../units/index.js'
import type { TxOutput } from './types.js'

const OP = {
  PUSH_1: 0x51,
  DROP: 0x75,
  SIZE: 0x82,
  EQUALVERIFY: 0x88,
  SHA256: 0xa8,
  CHECKSIG: 0xac,
  CHECKSIGVERIFY: 0xad,
  CHECKLOCKTIMEVERIFY: 0xb1,
  CHECKSEQUENCEVERIFY: 0xb2,
} as const

const TAPSCRIPT = 0xc0

/** Pay to anchor with the least amount that relays (240 sat). Always the last output. */
export const ANCHOR: TxOutput = { amount: sat(240), script: Uint8Array.of(0x51, 0x02, 0x4e, 0x73) }

/** Bytes of a P2TR script, and of a channel's P2WSH. */
export const PROGRAM_LENGTH = 34
/** Longest script that a client may be paid to (P2WSH, P2TR). Fees that must be known before the scripts are assume it. */
export const MAX_PAYOUT_SCRIPT = 34

export const p2tr = (outputKey: Uint8Array): Uint8Array => concatBytes(Uint8Array.of(OP.PUSH_1, 32), outputKey)
export const isP2tr = (s: Uint8Array): boolean => s.length === 34 && s[0] === OP.PUSH_1 && s[1] === 32
export const isP2wsh = (s: Uint8Array): boolean => s.length === 34 && s[0] === 0 && s[1] === 32
const isP2wpkh = (s: Uint8Array): boolean => s.length === 22 && s[0] === 0 && s[1] === 20
/** What every node relays today. A future witness version could keep everyone's distribution from relaying. */
export const isPayoutScript = (s: Uint8Array): boolean => isP2wpkh(s) || isP2wsh(s) || isP2tr(s)

/** Minimal script number: opcode up to 16, else little-endian with room for the sign bit. */
function pushNumber(value: number): Uint8Array {
  if (value <= 16) return Uint8Array.of(OP.PUSH_1 - 1 + value)
  const bytes: number[] = []
  for (let rest = value; rest > 0; rest >>= 8) bytes.push(rest & 0xff)
  if ((bytes.at(-1) ?? 0) >= 0x80) bytes.push(0)
  return Uint8Array.of(bytes.length, ...bytes)
}

/** The LSP's branch of a stock: `<csv> CSV DROP <LSP> CHECKSIG`. `lsp`: x-only, 32 bytes. */
export const csvScript = (csv: number, lsp: Uint8Array): Uint8Array =>
  concatBytes(pushNumber(csv), Uint8Array.of(OP.CHECKSEQUENCEVERIFY, OP.DROP, 32), lsp, Uint8Array.of(OP.CHECKSIG))

/** `<csv> CSV DROP <key> CHECKSIG` ends so: the x-only key of a script of this form, undefined for any other. */
export function csvKeyOf(script: Uint8Array): Uint8Array | undefined {
  const at = script.length - 36
  if (at < 1 || at > 4) return undefined
  const [csv, drop, push] = script.subarray(at)
  const isForm = csv === OP.CHECKSEQUENCEVERIFY && drop === OP.DROP && push === 32 && script.at(-1) === OP.CHECKSIG
  return isForm ? script.subarray(at + 3, at + 35) : undefined
}

export const POISON_SCRIPT_LENGTH = 73
const POISON_HASH_AT = 6
/** `SIZE 32 EQUALVERIFY SHA256 <hash> EQUALVERIFY <aggregate> CHECKSIG`: valid only once the preimage is out. */
export const poisonScript = (hash: Uint8Array, aggregate: Uint8Array): Uint8Array =>
  concatBytes(
    Uint8Array.of(OP.SIZE, 0x01, 32, OP.EQUALVERIFY, OP.SHA256, 32),
    hash,
    Uint8Array.of(OP.EQUALVERIFY, 32),
    aggregate,
    Uint8Array.of(OP.CHECKSIG),
  )
/** The hash in a script that `poisonScript` made. */
export const poisonHashOf = (script: Uint8Array): Uint8Array => script.slice(POISON_HASH_AT, POISON_HASH_AT + 32)

/** Its owner again from a height on: `<height> CLTV DROP <key> CHECKSIG`. `key`: x-only, 32 bytes. */
export const cltvScript = (height: number, key: Uint8Array): Uint8Array =>
  concatBytes(pushNumber(height), Uint8Array.of(OP.CHECKLOCKTIMEVERIFY, OP.DROP, 32), key, Uint8Array.of(OP.CHECKSIG))

/** For a preimage and two signatures: `SIZE 32 EQUALVERIFY SHA256 <hash> EQUALVERIFY <a> CHECKSIGVERIFY <b> CHECKSIG`. */
export const claimScript = (hash: Uint8Array, a: Uint8Array, b: Uint8Array): Uint8Array =>
  concatBytes(
    Uint8Array.of(OP.SIZE, 0x01, 32, OP.EQUALVERIFY, OP.SHA256, 32),
    hash,
    Uint8Array.of(OP.EQUALVERIFY, 32),
    a,
    Uint8Array.of(OP.CHECKSIGVERIFY, 32),
    b,
    Uint8Array.of(OP.CHECKSIG),
  )

const hashTapLeaf = tagHasher('TapLeaf')
const hashTapBranch = tagHasher('TapBranch')

/** BIP-341, for scripts below 253 bytes. */
export const tapLeafHash = (script: Uint8Array): Uint8Array =>
  hashTapLeaf(Uint8Array.of(TAPSCRIPT, script.length), script)
export const tapBranchHash = (a: Uint8Array, b: Uint8Array): Uint8Array =>
  bytesToHex(a) < bytesToHex(b) ? hashTapBranch(a, b) : hashTapBranch(b, a)

export const CONTROL_BLOCK_LENGTH = 65
/** Control block of a leaf in a tree of two: `sibling` is the other's hash. */
export const controlBlock = (parity: 0 | 1, internalKey: Uint8Array, sibling: Uint8Array): Uint8Array =>
  concatBytes(Uint8Array.of(TAPSCRIPT | parity), internalKey, sibling)
