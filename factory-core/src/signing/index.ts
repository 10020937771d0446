/**
 * Signing: MuSig2 (BIP-327) and Schnorr signatures (BIP-340) over a choice of curve libraries, and the factory's own keys.
 * Secrets go in as `SecretKey` and `SecretNonce`, and don't come out.
 */
export {
  adapt,
  extractSecret,
  PRE_SIGNATURE_SIZE,
  preSign,
  verifyPreSignature,
  type PreSignatureClaim,
  type PreSignRequest,
} from './adaptor.js'
export { AdaptorSession, openAdaptorSession, type AdaptorSessionOptions } from './adaptor-session.js'
export type { CurveBackend, Point, SchnorrItem } from './backend.js'
export { nobleBackend } from './backend-noble.js'
export { backendChoice, defaultBackend, selectBackend, type BackendChoice } from './backend-select.js'
export { tinyBackend } from './backend-tiny.js'
export { combineOrBlame, type CombineResult, type SignerPartial } from './blame.js'
export { handOver, handoverHash } from './handover.js'
export { taggedHash, tagHasher } from './hash.js'
export {
  aggregateKeys,
  aggregateKeysInOrder,
  isPublicKey,
  KeyAggregate,
  KeyAggregator,
  sortKeys,
  TweakedAggregate,
  type Signer,
} from './keyagg.js'
export {
  deriveAssistKey,
  deriveAssistPreimage,
  deriveFactoryKey,
  derivePoisonPreimage,
  derivePurchasePreimage,
  FACTORY_SECRET_LABEL,
  poisonHash,
  type FactoryKey,
  type FactoryKeyRequest,
  type PoisonRequest,
} from './keys.js'
export { generateNonce, SecretNonce, type GeneratedNonce, type NonceRequest } from './nonce.js'
export { aggregateNonces, parsePublicNonce, type PublicNonce } from './public-nonce.js'
export { signSchnorr, verifySchnorr, verifySchnorrBatch } from './schnorr.js'
export { SecretKey } from './secret-key.js'
export { openSession, Session, type PartialSignature, type SessionOptions } from './session.js'
export { signAlone, wholeKey, type LoneSignature } from './whole.js'
