/** A fresh simulated chain with the committed contract on it, for one test file each. */

import { BrowserProvider, Contract, ContractFactory, type JsonRpcSigner, type TransactionResponse } from "ethers";
import hre from "hardhat";

import { readArtefact } from "../scripts/build.ts";

export interface Chain {
  provider: BrowserProvider;
  us: JsonRpcSigner;
  stranger: JsonRpcSigner;
  close: () => Promise<void>;
}

/** Starts a chain. Its rules are fixed, so that gas does not change with Hardhat's default. */
export async function startChain(): Promise<Chain> {
  const connection = await hre.network.create({ override: { hardfork: "prague" } });
  // ethers would answer repeated questions from its cache, across blocks that were mined meanwhile.
  const provider = new BrowserProvider(connection.provider, undefined, { cacheTimeout: -1 });
  return {
    provider,
    us: await provider.getSigner(0),
    stranger: await provider.getSigner(1),
    close: () => connection.close(),
  };
}

/** Deploys the committed bytecode, not the one that Hardhat has compiled: what is tested is what is shipped. */
export async function deployAnchor(chain: Chain): Promise<Contract> {
  const { abi, bytecode } = readArtefact();
  const contract = await new ContractFactory(abi, bytecode, chain.us).deploy();
  return (await contract.waitForDeployment()) as Contract;
}

/** Waits for the transaction and returns its receipt, which must say success. */
export async function mined(sent: Promise<TransactionResponse>) {
  const receipt = await (await sent).wait();
  if (receipt === null || receipt.status !== 1) throw new Error("the transaction failed");
  return receipt;
}
