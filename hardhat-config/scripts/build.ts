/** Builds the artefact from the contracts' sources; it alone decides what stands in EvidenceAnchor.json. */

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { getCreate2Address, keccak256, ZeroHash } from "ethers";
import solc from "solc";

import { SOLC_SETTINGS } from "../compiler.ts";

export const ARTEFACT_PATH = fileURLToPath(new URL("../../anchor/evm/EvidenceAnchor.json", import.meta.url));

/**
 * The usual CREATE2 deployer, at the same address on every chain that has it. It takes the salt and the init code as
 * call data.
 */
export const CREATE2_DEPLOYER = "0x4e59b44847b379578588920cA78FbF26c0B4956C";

const CONTRACT = "EvidenceAnchor";
const SOURCES = ["contracts/EvidenceAnchor.sol", "contracts/IEvidenceAnchor.sol"];

/**
 * What anyone needs to deploy, recognise and recompile the contract. All byte strings are 0x hexadecimal, lower case.
 */
export interface Artefact {
  contractName: string;
  compiler: string;
  evmVersion: string;
  optimizer: { enabled: boolean; runs: number };
  abi: object[];
  bytecode: string;
  deployedBytecode: string;
  codeHash: string;
  initCodeHash: string;
  create2: { deployer: string; salt: string; address: string };
  standardJsonInput: object;
}

/** Returns the compiler's whole input. Explorers take it as it stands. */
function standardJsonInput(): object {
  const source = (name: string) => readFileSync(new URL(`../../${name}`, import.meta.url), "utf8");
  return {
    language: "Solidity",
    sources: Object.fromEntries(SOURCES.map((name) => [name, { content: source(name) }])),
    settings: {
      ...SOLC_SETTINGS,
      outputSelection: { "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object", "metadata"] } },
    },
  };
}

/** Compiles the sources. Throws an Error with the compiler's words on an error and on a warning. */
export function buildArtefact(): Artefact {
  const input = standardJsonInput();
  const output = JSON.parse(solc.compile(JSON.stringify(input)));
  if (output.errors) {
    throw new Error(output.errors.map((e: { formattedMessage: string }) => e.formattedMessage).join("\n"));
  }
  const { abi, evm, metadata } = output.contracts[SOURCES[0]][CONTRACT];
  const bytecode = `0x${evm.bytecode.object}`;
  const deployedBytecode = `0x${evm.deployedBytecode.object}`;
  const initCodeHash = keccak256(bytecode);
  return {
    contractName: CONTRACT,
    compiler: JSON.parse(metadata).compiler.version,
    evmVersion: SOLC_SETTINGS.evmVersion,
    optimizer: SOLC_SETTINGS.optimizer,
    abi,
    bytecode,
    deployedBytecode,
    codeHash: keccak256(deployedBytecode),
    initCodeHash,
    create2: {
      deployer: CREATE2_DEPLOYER,
      salt: ZeroHash,
      address: getCreate2Address(CREATE2_DEPLOYER, ZeroHash, initCodeHash),
    },
    standardJsonInput: input,
  };
}

/** Returns the artefact that is committed. */
export function readArtefact(): Artefact {
  return JSON.parse(readFileSync(ARTEFACT_PATH, "utf8"));
}

/** Returns the artefact as it stands on disk: two spaces, members in the order above, a newline at the end. */
export function formatArtefact(artefact: Artefact): string {
  return `${JSON.stringify(artefact, null, 2)}\n`;
}
