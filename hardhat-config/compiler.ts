/** How the contracts are compiled: the one place for Hardhat and for the committed artefact. */

import { createRequire } from "node:module";

/** The package `solc` in package.json has the same version; nothing is downloaded at compile time. */
export const SOLC_VERSION = "0.8.37";
export const SOLC_PATH = createRequire(import.meta.url).resolve("solc/soljson.js");

/** One bytecode for every chain: docs/decisions/0005-contract.md gives the reason for each value. */
export const SOLC_SETTINGS = {
  evmVersion: "london",
  optimizer: { enabled: true, runs: 1_000_000 },
  viaIR: false,
  metadata: { bytecodeHash: "ipfs", useLiteralContent: false },
};
