/**
 * Search for inputs that make the decoders answer in ways that no other input in the corpus does: a new error, with the numbers
 * in its text left out, or a new kind of message. What is new becomes a seed for further changes; of two inputs with the same
 * answer the shorter one stays.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { URL } from 'node:url'
import { bytesToHex, decodeFactoryMessage, decodePayload, findChannelInFactory, hexToBytes } from '../tlv/dist/index.js'

const FILE = new URL('../tlv/test/corpus.json', import.meta.url)
const DECODERS = { blip56: decodeFactoryMessage, payload: decodePayload, 'open-channel': findChannelInFactory }
const INTERESTING = [0, 1, 2, 3, 4, 0x7f, 0x80, 0xfc, 0xfd, 0xfe, 0xff]

const answerOf = (decode, bytes) => {
  try {
    return `ok ${decode(bytes)?.kind ?? 'nothing'}`
  } catch (error) {
    return `${error.code} ${error.message.replace(/[0-9a-f]{2,}|\d+/g, 'N')}`
  }
}
const random = (below) => Math.floor(Math.random() * below)

function mutate(bytes, others) {
  const at = random(bytes.length + 1)
  const few = 1 + random(8)
  switch (random(6)) {
    case 0:
      return at < bytes.length ? bytes.with(at, INTERESTING[random(INTERESTING.length)]) : bytes
    case 1:
      return at < bytes.length ? bytes.with(at, bytes[at] ^ (1 << random(8))) : bytes
    case 2:
      return Uint8Array.from([...bytes.subarray(0, at), ...bytes.subarray(at + few)])
    case 3:
      return Uint8Array.from([...bytes.subarray(0, at + few), ...bytes.subarray(at)])
    case 4:
      return bytes.slice(0, at)
    default:
      return Uint8Array.from([...bytes.subarray(0, at), ...others[random(others.length)].subarray(at)])
  }
}

/** @param {number} deadline milliseconds since 1970 */
export function searchCorpus(deadline) {
  const corpus = {}
  const names = Object.keys(DECODERS)
  const share = (deadline - Date.now()) / names.length
  for (const name of names) {
    const end = Date.now() + share
    const { valid, invalid } = JSON.parse(readFileSync(new URL(`../tlv/vectors/${name}.json`, import.meta.url), 'utf8'))
    const found = new Map()
    const take = (bytes) => {
      const answer = answerOf(DECODERS[name], bytes)
      if (bytes.length < (found.get(answer)?.length ?? Infinity)) found.set(answer, bytes)
    }
    for (const { hex } of [...valid, ...invalid]) if (hex.length < 4000) take(hexToBytes(hex))
    for (let i = 0; Date.now() < end; i++) {
      const seeds = [...found.values()]
      for (let k = 0; k < 200; k++) take(mutate(seeds[random(seeds.length)], seeds))
    }
    // A kind that nobody knows today may be known tomorrow: that is no property of a decoder.
    corpus[name] = [...found]
      .map(([answer, bytes]) => ({
        hex: bytesToHex(bytes),
        answer: /^ok /.test(answer) ? answer : answer.split(' ')[0],
      }))
      .filter(({ answer }) => answer !== 'wire_unknown_even' && answer !== 'ok unknown_odd')
    console.log(`${name}: ${corpus[name].length} inputs`)
  }
  writeFileSync(FILE, `${JSON.stringify(corpus, undefined, 1)}\n`)
}
