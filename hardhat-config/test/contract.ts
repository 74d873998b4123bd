/** Each function and each rule of the contract. */

import assert from "node:assert/strict";
import { after, before, beforeEach, describe, it } from "node:test";

import {
  type Contract,
  ContractFactory,
  keccak256,
  toBeHex,
  type TransactionReceipt,
  ZeroAddress,
  ZeroHash,
  zeroPadValue,
} from "ethers";
import hre from "hardhat";

import { readArtefact } from "../scripts/build.ts";
import { type Chain, deployAnchor, mined, startChain } from "./chain.ts";
import { hex, parent, pathOf, Random, rootOf } from "./tree.ts";

let chain: Chain;
let contract: Contract;
const random = new Random("contract");
const fresh = () => hex(random.bytes32());

before(async () => {
  chain = await startChain();
});
beforeEach(async () => {
  contract = await deployAnchor(chain);
});
after(() => chain.close());

const byStranger = () => contract.connect(chain.stranger) as Contract;

/** The roots of the Anchored events in a receipt, with who submitted them. */
const anchored = (receipt: TransactionReceipt) =>
  receipt.logs.map((log) => {
    assert.equal(log.address, contract.target);
    const { name, args } = contract.interface.parseLog(log)!;
    assert.equal(name, "Anchored");
    return [args.root, args.submitter];
  });

/** What anchoredAt must say of a root that this transaction recorded. */
async function recordedBy(receipt: TransactionReceipt) {
  const block = await chain.provider.getBlock(receipt.blockNumber);
  return [BigInt(block!.timestamp), BigInt(receipt.blockNumber), receipt.from];
}

describe("anchor", () => {
  it("records time, block number and caller, and emits Anchored", async () => {
    const root = fresh();
    const receipt = await mined(contract.anchor(root));
    assert.deepEqual(anchored(receipt), [[root, chain.us.address]]);
    assert.deepEqual([...(await contract.anchoredAt(root))], await recordedBy(receipt));
  });

  it("keeps the first record when the root comes again, and neither reverts nor emits", async () => {
    const root = fresh();
    const first = await mined(contract.anchor(root));
    for (const again of [contract, byStranger()]) {
      const second = await mined(again.anchor(root));
      assert.ok(second.blockNumber > first.blockNumber);
      assert.deepEqual(second.logs, []);
    }
    assert.deepEqual([...(await contract.anchoredAt(root))], await recordedBy(first));
  });

  it("names the contract that called, not the account behind it", async () => {
    const root = fresh();
    const { abi, bytecode } = await hre.artifacts.readArtifact("Relay");
    const relay = (await new ContractFactory([...abi], bytecode, chain.us).deploy()) as Contract;
    const receipt = await mined(relay.anchor(contract.target, root));
    assert.deepEqual(anchored(receipt), [[root, relay.target]]);
    assert.equal((await contract.anchoredAt(root)).submitter, relay.target);
  });

  it("takes the zero root like any other", async () => {
    assert.deepEqual([...(await contract.anchoredAt(ZeroHash))], [0n, 0n, ZeroAddress]);
    const receipt = await mined(contract.anchor(ZeroHash));
    assert.deepEqual([...(await contract.anchoredAt(ZeroHash))], await recordedBy(receipt));
  });

  it("takes no money", async () => {
    await assert.rejects(
      chain.us.sendTransaction({
        to: contract.target,
        value: 1,
        data: contract.interface.encodeFunctionData("anchor", [fresh()]),
      }),
      /non-payable|revert/,
    );
    await assert.rejects(chain.us.sendTransaction({ to: contract.target, value: 1 }), /revert|fallback|receive/);
  });
});

describe("anchorAll", () => {
  it("records every root in order, in one transaction", async () => {
    const roots = Array.from({ length: 25 }, fresh);
    const receipt = await mined(contract.anchorAll(roots));
    assert.deepEqual(
      anchored(receipt),
      roots.map((root) => [root, chain.us.address]),
    );
    for (const root of roots) {
      assert.deepEqual([...(await contract.anchoredAt(root))], await recordedBy(receipt));
    }
  });

  it("passes over a root that a stranger anchored before, and records the others", async () => {
    const [a, known, b] = [fresh(), fresh(), fresh()];
    const earlier = await mined(byStranger().anchor(known));
    const receipt = await mined(contract.anchorAll([a, known, b]));
    assert.deepEqual(
      anchored(receipt).map(([root]) => root),
      [a, b],
    );
    assert.deepEqual([...(await contract.anchoredAt(known))], await recordedBy(earlier));
    assert.deepEqual([...(await contract.anchoredAt(b))], await recordedBy(receipt));
  });

  it("records a root once that stands in the list more than once", async () => {
    const [a, b] = [fresh(), fresh()];
    const receipt = await mined(contract.anchorAll([a, a, b, a]));
    assert.deepEqual(
      anchored(receipt).map(([root]) => root),
      [a, b],
    );
  });

  it("does nothing for an empty list", async () => {
    assert.deepEqual((await mined(contract.anchorAll([]))).logs, []);
  });

  it("refuses a list that claims to be longer than the call", async () => {
    const data = contract.interface.encodeFunctionData("anchorAll", [[fresh(), fresh()]]);
    await assert.rejects(chain.us.sendTransaction({ to: contract.target, data: data.slice(0, -64) }), /revert/);
  });
});

describe("anchoredAt", () => {
  it("gives three zeros for a root that nobody anchored", async () => {
    assert.deepEqual([...(await contract.anchoredAt(fresh()))], [0n, 0n, ZeroAddress]);
  });
});

describe("verify", () => {
  const leaves = Array.from({ length: 11 }, () => random.bytes32());
  const root = hex(rootOf(leaves));
  const ask = async (...question: [string, string, string[]]) => [...(await contract.verify(...question))];

  it("finds every leaf of an anchored tree, and says when", async () => {
    const [time] = await recordedBy(await mined(contract.anchor(root)));
    for (const [position, leaf] of leaves.entries()) {
      assert.deepEqual(await ask(root, hex(leaf), pathOf(leaves, position).map(hex)), [true, time]);
    }
  });

  it("says no, and no time, while the root is not anchored", async () => {
    assert.deepEqual(await ask(root, hex(leaves[0]), pathOf(leaves, 0).map(hex)), [false, 0n]);
  });

  it("says no, and the root's time, where the path leads elsewhere", async () => {
    const [time] = await recordedBy(await mined(contract.anchor(root)));
    assert.deepEqual(await ask(root, hex(leaves[1]), pathOf(leaves, 0).map(hex)), [false, time]);
  });

  it("takes an empty path as the claim that the digest is the root", async () => {
    const [time] = await recordedBy(await mined(contract.anchor(root)));
    assert.deepEqual(await ask(root, root, []), [true, time]);
    assert.deepEqual(await ask(root, hex(leaves[0]), []), [false, time]);
  });

  it("does not check the path's length: two sibling hashes pass as a file of 64 bytes, as documented", async () => {
    const [time] = await recordedBy(await mined(contract.anchor(root)));
    const between = hex(parent(leaves[0], leaves[1]));
    assert.deepEqual(await ask(root, between, pathOf(leaves, 0).slice(1).map(hex)), [true, time]);
  });
});

describe("storage", () => {
  const slotOf = (root: string) => keccak256(root + ZeroHash.slice(2));

  it("holds one slot a root: submitter << 96 | blockNumber << 48 | time", async () => {
    const root = fresh();
    const [time, blockNumber, submitter] = await recordedBy(await mined(contract.anchor(root)));
    const value = (BigInt(submitter) << 96n) | (BigInt(blockNumber) << 48n) | BigInt(time);
    assert.equal(await chain.provider.getStorage(contract, slotOf(root)), zeroPadValue(toBeHex(value), 32));
    await mined(byStranger().anchorAll([root, fresh()]));
    assert.equal(await chain.provider.getStorage(contract, slotOf(root)), zeroPadValue(toBeHex(value), 32));
  });

  it("is empty for an unknown root, and in the first slots", async () => {
    await mined(contract.anchor(fresh()));
    for (const slot of [slotOf(fresh()), ...Array.from({ length: 8 }, (_, i) => toBeHex(i, 32))]) {
      assert.equal(await chain.provider.getStorage(contract, slot), ZeroHash);
    }
  });
});

describe("code", () => {
  /** The instructions of a byte string, without what PUSH carries. */
  function instructions(code: Buffer): Set<number> {
    const found = new Set<number>();
    for (let i = 0; i < code.length; i += 1) {
      found.add(code[i]);
      if (code[i] >= 0x60 && code[i] <= 0x7f) i += code[i] - 0x5f;
    }
    return found;
  }
  /** Runtime code without the compiler's trailer, whose last two bytes are the length of the rest of it. */
  const withoutTrailer = (code: string) => {
    const bytes = Buffer.from(code.slice(2), "hex");
    return bytes.subarray(0, bytes.length - 2 - bytes.readUInt16BE(bytes.length - 2));
  };

  it("offers the five members of the interface and nothing else", () => {
    assert.deepEqual(contract.interface.fragments.map((fragment) => fragment.format()).sort(), [
      "Anchored(bytes32,address)",
      "anchor(bytes32)",
      "anchorAll(bytes32[])",
      "anchoredAt(bytes32)",
      "verify(bytes32,bytes32,bytes32[])",
    ]);
  });

  it("refuses calls to any other function", async () => {
    for (const data of ["0x", "0x00000000", "0xffffffff", "0x9591a6"]) {
      await assert.rejects(chain.us.sendTransaction({ to: contract.target, data }), /revert|function/);
    }
  });

  it("can neither be replaced nor destroyed, nor call anything but by STATICCALL", () => {
    const forbidden = {
      CREATE: 0xf0,
      CALL: 0xf1,
      CALLCODE: 0xf2,
      DELEGATECALL: 0xf4,
      CREATE2: 0xf5,
      SELFDESTRUCT: 0xff,
      PUSH0: 0x5f,
    };
    const found = instructions(withoutTrailer(readArtefact().deployedBytecode));
    assert.ok(found.has(0xfa) && found.has(0x55), "the reader of instructions is broken");
    for (const [name, code] of Object.entries(forbidden)) assert.ok(!found.has(code), name);
  });

  it("is what the artefact says, on chain", async () => {
    const { codeHash, deployedBytecode } = readArtefact();
    const code = await chain.provider.getCode(contract);
    assert.equal(code, deployedBytecode);
    assert.equal(keccak256(code), codeHash);
  });

  it("is what Hardhat's own compilation makes, but for the trailer that names the sources", async () => {
    const { deployedBytecode } = await hre.artifacts.readArtifact("EvidenceAnchor");
    assert.deepEqual(withoutTrailer(deployedBytecode), withoutTrailer(readArtefact().deployedBytecode));
  });
});
