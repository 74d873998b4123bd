/** What anchoring costs, compared with gas-snapshot.json. `npm run gas` is the only way to rewrite that file. */

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";

import type { Contract } from "ethers";

import { type Chain, deployAnchor, mined, startChain } from "./chain.ts";
import { hex, Random } from "./tree.ts";

const SNAPSHOT = new URL("../gas-snapshot.json", import.meta.url);

let chain: Chain;
let contract: Contract;
const random = new Random("gas");

before(async () => {
  chain = await startChain();
  contract = await deployAnchor(chain);
});
after(() => chain.close());

/** A root without zero bytes, which are cheaper to send: the dearest case, and the same with each seed. */
function dearRoot(): string {
  let root = random.bytes32();
  while (root.includes(0)) root = random.bytes32();
  return hex(root);
}

/** Gas of whole transactions, the 21,000 of every transaction included. */
async function measure(): Promise<Record<string, number>> {
  const gas = async (sent: Promise<any>) => Number((await mined(sent)).gasUsed);
  const roots = (count: number) => Array.from({ length: count }, dearRoot);
  const known = dearRoot();
  return {
    deployment: Number((await contract.deploymentTransaction()!.wait())!.gasUsed),
    "anchor, new root": await gas(contract.anchor(known)),
    "anchor, known root": await gas(contract.anchor(known)),
    "anchorAll, 1 root": await gas(contract.anchorAll(roots(1))),
    "anchorAll, 10 roots": await gas(contract.anchorAll(roots(10))),
    "anchorAll, 100 roots": await gas(contract.anchorAll(roots(100))),
  };
}

describe("gas", () => {
  let measured: Record<string, number>;
  before(async () => {
    measured = await measure();
  });

  it("stays within the goals", () => {
    assert.ok(measured["anchor, new root"] <= 46_000);
    assert.ok(measured["anchorAll, 10 roots"] <= 10 * 27_000);
    assert.ok(measured["anchorAll, 100 roots"] <= 100 * 25_000);
  });

  it("is what the snapshot says", () => {
    if (process.env.UPDATE_GAS_SNAPSHOT === "1") writeFileSync(SNAPSHOT, `${JSON.stringify(measured, null, 2)}\n`);
    assert.deepEqual(
      measured,
      JSON.parse(readFileSync(SNAPSHOT, "utf8")),
      "if it was meant to change, run: npm run gas",
    );
  });
});
