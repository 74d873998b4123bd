/**
 * Deployment: through the CREATE2 deployer, without it, twice, over foreign code; and what equal code does not prove.
 */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, it } from "node:test";
import { fileURLToPath } from "node:url";

import { concat, Contract, getCreateAddress, keccak256, parseEther, toBeHex, Transaction, ZeroHash } from "ethers";
import hre from "hardhat";

import { CREATE2_DEPLOYER, readArtefact } from "../scripts/build.ts";
import { CREATE2_DEPLOYER_CODE, deploy, deployAndRecord } from "../scripts/deployment.ts";
import { type Chain, mined, startChain } from "./chain.ts";

const artefact = readArtefact();
const { address } = artefact.create2;

// Nobody has the key: the signature was chosen, and the sender follows from it. So this address can hold no other code.
const DEPLOYER_TRANSACTION = Transaction.from({
  type: 0,
  nonce: 0,
  gasPrice: 100_000_000_000,
  gasLimit: 100_000,
  data: concat(["0x604580600e600039806000f350fe", CREATE2_DEPLOYER_CODE]),
  signature: { v: 27, r: `0x${"22".repeat(32)}`, s: `0x${"22".repeat(32)}` },
});

let chain: Chain;
let folder: string;

beforeEach(async () => {
  chain = await startChain();
  // Hardhat's chain has the deployer from the start; each test says whether it wants it.
  await chain.provider.send("hardhat_setCode", [CREATE2_DEPLOYER, "0x"]);
  folder = mkdtempSync(join(tmpdir(), "deployments-"));
});
const stop = async () => {
  rmSync(folder, { recursive: true });
  await chain.close();
};

const addDeployer = () => chain.provider.send("hardhat_setCode", [CREATE2_DEPLOYER, CREATE2_DEPLOYER_CODE]);
const foreign = "0x6000600055";

describe("deploy", () => {
  it("knows the CREATE2 deployer's code: its address follows from it", () => {
    assert.equal(getCreateAddress({ from: DEPLOYER_TRANSACTION.from!, nonce: 0 }), CREATE2_DEPLOYER);
  });

  it("reaches the artefact's address through a CREATE2 deployer that the keyless transaction made", async (t) => {
    t.after(stop);
    const { from, serialized } = DEPLOYER_TRANSACTION;
    await mined(chain.us.sendTransaction({ to: from, value: parseEther("1") }));
    assert.equal(await chain.provider.getCode(CREATE2_DEPLOYER), "0x");
    await chain.provider.send("eth_sendRawTransaction", [serialized]);
    assert.equal(await chain.provider.getCode(CREATE2_DEPLOYER), CREATE2_DEPLOYER_CODE);
    const deployment = await deploy(chain.us, artefact);
    assert.equal(deployment.address, address);
    assert.equal(deployment.method, "create2");
    assert.equal(keccak256(await chain.provider.getCode(address)), artefact.codeHash);
  });

  it("deploys plainly where the CREATE2 deployer is missing, or where other code stands in its place", async (t) => {
    t.after(stop);
    for (const code of ["0x", foreign]) {
      await chain.provider.send("hardhat_setCode", [CREATE2_DEPLOYER, code]);
      const deployment = await deploy(chain.us, artefact);
      assert.equal(deployment.method, "create");
      assert.notEqual(deployment.address, address);
      assert.equal(await chain.provider.getCode(deployment.address), artefact.deployedBytecode);
    }
  });

  it("deploys once, whoever asks again, and keeps the first record", async (t) => {
    t.after(stop);
    for (const usual of [false, true]) {
      if (usual) await addDeployer();
      const first = await deployAndRecord(chain.us, artefact, folder);
      const [name] = readdirSync(folder);
      const written = readFileSync(join(folder, name), "utf8");
      assert.equal(name, `${first.chainId}.json`);
      assert.deepEqual(JSON.parse(written), first);
      const block = await chain.provider.getBlockNumber();
      assert.deepEqual(await deployAndRecord(chain.stranger, artefact, folder), first);
      assert.equal(readFileSync(join(folder, name), "utf8"), written);
      assert.equal(await chain.provider.getBlockNumber(), block);
      rmSync(join(folder, name));
    }
  });

  it("finds a contract that somebody else put at the artefact's address", async (t) => {
    t.after(stop);
    await addDeployer();
    await deploy(chain.stranger, artefact);
    const found = await deploy(chain.us, artefact);
    assert.equal(found.address, address);
    assert.equal(found.transaction, null);
  });

  it("refuses foreign code at the artefact's address and at the recorded one, and records nothing", async (t) => {
    t.after(stop);
    await addDeployer();
    const recorded = await deploy(chain.us, artefact);
    await chain.provider.send("hardhat_setCode", [address, foreign]);
    await assert.rejects(deploy(chain.us, artefact), /refused: the code at 0x/);
    await assert.rejects(deploy(chain.us, artefact, recorded), /refused: the code at 0x/);
    await assert.rejects(deployAndRecord(chain.us, artefact, folder), /refused/);
    assert.deepEqual(readdirSync(folder), []);
  });

  it("ignores another chain's record", async (t) => {
    t.after(stop);
    await addDeployer();
    const elsewhere = { ...(await deploy(chain.us, artefact)), chainId: 1, address: chain.us.address };
    assert.equal((await deploy(chain.us, artefact, elsewhere)).address, address);
  });

  it("does not read a damaged record as an absent one", async (t) => {
    t.after(stop);
    const { chainId } = await chain.provider.getNetwork();
    writeFileSync(join(folder, `${chainId}.json`), "{");
    await assert.rejects(deployAndRecord(chain.us, artefact, folder), SyntaxError);
  });
});

describe("equal code", () => {
  it("does not prove honest storage: init code can write a record, then return our runtime code", async (t) => {
    t.after(stop);
    const root = keccak256("0x1234");
    const slot = keccak256(root + ZeroHash.slice(2));
    const longAgo = 946_684_800n;
    const length = toBeHex((artefact.deployedBytecode.length - 2) / 2, 2);
    // SSTORE(slot, longAgo); CODECOPY(0, 81, length); RETURN(0, length): 81 bytes, our runtime code behind them.
    const store = concat(["0x7f", toBeHex(longAgo, 32), "0x7f", slot, "0x55"]);
    const init = concat([store, "0x61", length, "0x6051", "0x6000", "0x39", "0x61", length, "0x6000", "0xf3"]);
    const receipt = await mined(chain.stranger.sendTransaction({ data: concat([init, artefact.deployedBytecode]) }));
    const contract = new Contract(receipt.contractAddress!, artefact.abi, chain.provider);
    assert.equal(keccak256(await chain.provider.getCode(contract)), artefact.codeHash);
    assert.equal((await contract.anchoredAt(root)).time, longAgo);
    assert.equal((await contract.verify(root, root, [])).included, true);
  });
});

describe("scripts/deploy.ts", () => {
  let server: Awaited<ReturnType<typeof hre.network.createServer>>;
  let url: string;

  before(async () => {
    server = await hre.network.createServer("default", "127.0.0.1", 0);
    const { address: host, port } = await server.listen();
    url = `http://${host}:${port}`;
  });
  after(() => server.close());

  /** Runs scripts/deploy.ts as a person would, and returns its exit code and what it said. */
  function run(environment: Record<string, string>): Promise<{ code: number | null; said: string }> {
    const cwd = fileURLToPath(new URL("..", import.meta.url));
    const env = { ...process.env, HARDHAT_DISABLE_TELEMETRY: "true", ...environment };
    const child = spawn("node_modules/.bin/hardhat", ["run", "scripts/deploy.ts", "--network", "live"], {
      cwd,
      env,
      timeout: 30_000,
    });
    let said = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (bytes) => (said += bytes));
    return new Promise((resolve) => child.on("close", (code) => resolve({ code, said })));
  }

  it("deploys over JSON-RPC with the payer's key, and does not tell the key", async (t) => {
    t.after(stop);
    // The key that Hardhat's documentation gives for its first account: public, and worthless on any real chain.
    const key = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
    const { code, said } = await run({ RPC_URL: url, DEPLOYER_KEY: key, DEPLOYMENTS: folder });
    assert.equal(code, 0, said);
    assert.ok(!said.includes(key.slice(2)));
    const written = JSON.parse(readFileSync(join(folder, "31337.json"), "utf8"));
    assert.equal(written.codeHash, artefact.codeHash);
    assert.ok(said.includes(written.address));
  });

  it("fails where no node answers", async (t) => {
    t.after(stop);
    const { code } = await run({
      RPC_URL: "http://127.0.0.1:1",
      DEPLOYER_KEY: ZeroHash.replace(/0$/, "1"),
      DEPLOYMENTS: folder,
    });
    assert.notEqual(code, 0);
    assert.deepEqual(readdirSync(folder), []);
  });
});
