import nodeTestRunner from "@nomicfoundation/hardhat-node-test-runner";
import { configVariable, defineConfig } from "hardhat/config";

import { SOLC_PATH, SOLC_SETTINGS, SOLC_VERSION } from "./compiler.ts";

export default defineConfig({
  plugins: [nodeTestRunner],
  // Hardhat compiles only what stands below this folder, so contracts/ here is a link to ../contracts.
  paths: { sources: ["contracts", "test-contracts"] },
  solidity: { version: SOLC_VERSION, path: SOLC_PATH, settings: SOLC_SETTINGS },
  networks: {
    // For scripts/deploy.ts: `RPC_URL` is the node, `DEPLOYER_KEY` the hex private key that pays.
    live: { type: "http", url: configVariable("RPC_URL"), accounts: [configVariable("DEPLOYER_KEY")] },
  },
});
