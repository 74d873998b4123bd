/** Puts the committed bytecode on a chain, or finds it there. It believes no code that is not ours. */

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { concat, type JsonRpcSigner, type Provider } from "ethers";

import { type Artefact, CREATE2_DEPLOYER } from "./build.ts";

/** What the usual deployer's code is on every chain that has it; other code at its address is somebody else's. */
export const CREATE2_DEPLOYER_CODE =
  `0x7f${"ff".repeat(31)}e0` + "3601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3";

/**
 * One chain's deployments/<chain id>.json. `transaction` is null where somebody else had deployed the contract before.
 */
export interface Deployment {
  chainId: number;
  address: string;
  method: "create2" | "create";
  transaction: string | null;
  blockNumber: number | null;
  codeHash: string;
}

/** Tells whether our runtime code stands at `address`. Throws an Error if other code stands there. */
async function isOurs(provider: Provider, address: string, artefact: Artefact): Promise<boolean> {
  const code = await provider.getCode(address);
  if (code === "0x") return false;
  if (code === artefact.deployedBytecode) return true;
  throw new Error(`refused: the code at ${address} is not EvidenceAnchor ${artefact.codeHash}`);
}

/**
 * Sends the init code through the CREATE2 deployer where that is present, plainly where not, and waits for one block.
 */
async function send(signer: JsonRpcSigner, artefact: Artefact, chainId: number): Promise<Deployment> {
  const { deployer, salt, address } = artefact.create2;
  const usual = (await signer.provider.getCode(CREATE2_DEPLOYER)) === CREATE2_DEPLOYER_CODE;
  const request = usual ? { to: deployer, data: concat([salt, artefact.bytecode]) } : { data: artefact.bytecode };
  const receipt = await (await signer.sendTransaction(request)).wait();
  return {
    chainId,
    address: usual ? address : receipt!.contractAddress!,
    method: usual ? "create2" : "create",
    transaction: receipt!.hash,
    blockNumber: receipt!.blockNumber,
    codeHash: artefact.codeHash,
  };
}

/**
 * Returns where the contract stands on the signer's chain, and deploys it if it does not stand there yet.
 *
 * `recorded` is an earlier run's answer for this chain. Without the CREATE2 deployer it alone says where we deployed:
 * equal code at any other address is not evidence, because whoever deployed it could have written storage first. One
 * block is not finality. Throws an Error if other code stands where ours should, or nothing stands there afterwards.
 */
export async function deploy(signer: JsonRpcSigner, artefact: Artefact, recorded?: Deployment): Promise<Deployment> {
  const chainId = Number((await signer.provider.getNetwork()).chainId);
  if (recorded?.chainId === chainId && (await isOurs(signer.provider, recorded.address, artefact))) return recorded;
  const { address } = artefact.create2;
  if (await isOurs(signer.provider, address, artefact)) {
    return { chainId, address, method: "create2", transaction: null, blockNumber: null, codeHash: artefact.codeHash };
  }
  const deployment = await send(signer, artefact, chainId);
  if (!(await isOurs(signer.provider, deployment.address, artefact))) {
    throw new Error(`nothing stands at ${deployment.address} after transaction ${deployment.transaction}`);
  }
  return deployment;
}

/** Deploys as `deploy` does, with deployments/<chain id>.json in `folder` as the record that is read and written. */
export async function deployAndRecord(signer: JsonRpcSigner, artefact: Artefact, folder: string): Promise<Deployment> {
  const { chainId } = await signer.provider.getNetwork();
  const file = join(folder, `${chainId}.json`);
  const deployment = await deploy(signer, artefact, readRecord(file));
  mkdirSync(folder, { recursive: true });
  writeFileSync(file, `${JSON.stringify(deployment, null, 2)}\n`);
  return deployment;
}

function readRecord(file: string): Deployment | undefined {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
