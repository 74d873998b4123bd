/** `RPC_URL=… DEPLOYER_KEY=0x… npm run deploy` puts the contract on that node's chain and records where. */

import { fileURLToPath } from "node:url";

import { BrowserProvider, Network } from "ethers";
import hre from "hardhat";

import { readArtefact } from "./build.ts";
import { deployAndRecord } from "./deployment.ts";

const folder = process.env.DEPLOYMENTS ?? fileURLToPath(new URL("../deployments", import.meta.url));
const connection = await hre.network.create();
try {
  // Asked here, because ethers alone would go on asking a dead node for ever.
  const chainId = await connection.provider.request({ method: "eth_chainId" });
  const provider = new BrowserProvider(connection.provider, undefined, {
    staticNetwork: Network.from(BigInt(chainId as string)),
  });
  const deployment = await deployAndRecord(await provider.getSigner(), readArtefact(), folder);
  console.log(JSON.stringify(deployment, null, 2));
} finally {
  await connection.close();
}
