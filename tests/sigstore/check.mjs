// Inclusion proofs and checkpoints of the audit log, judged by the two functions with which sigstore's npm client judges
// those of its own log, Rekor: RFC 6962 inclusion, and a checkpoint as a signed note. They are called one by one, since a
// sigstore bundle around them wants entries about software artefacts. Reads {"vkey", "items": [{"entry", "proof"}]} and
// prints a list of "ok" or what was wrong, one an item.
import { createPublicKey } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'

const load = createRequire(path.join(process.env.CHECK_MODULES, 'x.js'))
const { verifyMerkleInclusion } = load('@sigstore/verify/dist/timestamp/merkle.js')
const { verifyCheckpoint } = load('@sigstore/verify/dist/timestamp/checkpoint.js')

const input = JSON.parse(readFileSync(0, 'utf8'))
const [, hint, encoded] = input.vkey.trim().split(/\+([0-9a-f]{8})\+/)
const key = Buffer.from(encoded, 'base64').subarray(1)
const ed25519 = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), key])
const log = {
  logID: Buffer.concat([Buffer.from(hint, 'hex'), Buffer.alloc(28)]),
  publicKey: createPublicKey({ key: ed25519, format: 'der', type: 'spki' }),
  validFor: { start: new Date(0), end: new Date('9999-12-31') },
}

function judge ({ entry, proof }) {
  const [head, ...rest] = proof.split('\n\n')
  const [first, index, ...hashes] = head.split('\n')
  const envelope = rest.join('\n\n')
  const [, size, root] = envelope.split('\n')
  if (first !== 'c2sp.org/tlog-proof@v1' || !index.startsWith('index ')) return 'not a tlog-proof'
  const body = {
    canonicalizedBody: Buffer.from(entry),
    integratedTime: '0',
    inclusionProof: {
      logIndex: index.slice(6),
      treeSize: size,
      rootHash: Buffer.from(root, 'base64'),
      hashes: hashes.filter(line => line !== '').map(line => Buffer.from(line, 'base64')),
      checkpoint: { envelope },
    },
  }
  try {
    verifyMerkleInclusion(body)
    verifyCheckpoint(body, [log])
    return 'ok'
  } catch (error) {
    return error.message
  }
}

console.log(JSON.stringify(input.items.map(judge)))
