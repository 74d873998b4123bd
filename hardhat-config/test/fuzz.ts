/**
 * Random trees: what is right verifies, and what is corrupt does not, by this contract and by OpenZeppelin's library.
 */

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import { type Contract, ContractFactory } from "ethers";
import hre from "hardhat";

import { type Chain, deployAnchor, mined, startChain } from "./chain.ts";
import { hex, type Node, pathOf, Random, rootOf, SEED } from "./tree.ts";

const ROUNDS = 120;

let chain: Chain;
let contract: Contract;
let openZeppelin: Contract;

before(async () => {
  chain = await startChain();
  contract = await deployAnchor(chain);
  const { abi, bytecode } = await hre.artifacts.readArtifact("OpenZeppelinTree");
  openZeppelin = (await new ContractFactory([...abi], bytecode, chain.us).deploy()) as Contract;
  await openZeppelin.waitForDeployment();
});
after(() => chain.close());

interface Question {
  root: Node;
  digest: Node;
  path: Node[];
}

const ask = async ({ root, digest, path }: Question): Promise<[boolean, bigint]> => {
  const { included, time } = await contract.verify(hex(root), hex(digest), path.map(hex));
  return [included, time];
};

/** A tree of 1 to 70 leaves and one leaf's path. Sizes near a power of two come often. */
function rightQuestion(random: Random): Question {
  const size = random.below(2) ? 1 + random.below(70) : Math.max(1, (1 << random.below(7)) - 1 + random.below(3));
  const leaves = Array.from({ length: size }, () => random.bytes32());
  const position = random.below(size);
  return { root: rootOf(leaves), digest: leaves[position], path: pathOf(leaves, position) };
}

/** The path with one node's bit flipped, and the path with a node too many, too few, or two in the wrong order. */
function corruptPaths(path: Node[], random: Random): Node[][] {
  const at = random.below(path.length || 1);
  const added = path.toSpliced(random.below(path.length + 1), 0, random.bytes32());
  if (path.length === 0) return [added];
  const corrupt = [added, path.with(at, random.flipped(path[at])), path.toSpliced(at, 1)];
  const next = (at + 1) % path.length;
  if (next !== at) corrupt.push(path.with(at, path[next]).with(next, path[at]));
  return corrupt;
}

describe(`verify on ${ROUNDS} random trees (FUZZ_SEED=${SEED})`, () => {
  for (const [name, anchorCorruptRoot] of [
    ["a corrupt root that nobody anchored", false],
    ["a corrupt root that is anchored too", true],
  ] as const) {
    it(`right answers, and ${name}`, async () => {
      const random = new Random(name);
      for (let round = 0; round < ROUNDS; round += 1) {
        const right = rightQuestion(random);
        const root = random.flipped(right.root);
        await mined(contract.anchorAll(anchorCorruptRoot ? [hex(right.root), hex(root)] : [hex(right.root)]));
        const [included, time] = await ask(right);
        assert.ok(included, `round ${round}`);
        assert.ok(time > 0n);
        assert.deepEqual(await ask({ ...right, root }), [false, anchorCorruptRoot ? time : 0n], `round ${round}`);
        const digest = random.flipped(right.digest);
        assert.deepEqual(await ask({ ...right, digest }), [false, time], `round ${round}`);
        for (const path of corruptPaths(right.path, random)) {
          assert.deepEqual(await ask({ ...right, path }), [false, time], `round ${round}`);
          assert.equal((await ask({ root, digest, path }))[0], false, `round ${round}`);
        }
      }
    });
  }

  it("OpenZeppelin's MerkleProof computes the same roots", async () => {
    const random = new Random("OpenZeppelin");
    for (let round = 0; round < ROUNDS; round += 1) {
      const { root, digest, path } = rightQuestion(random);
      assert.equal(await openZeppelin.rootFromPath(path.map(hex), hex(digest)), hex(root), `round ${round}`);
    }
  });
});
