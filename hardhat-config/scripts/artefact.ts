/**
 * Writes anchor/evm/EvidenceAnchor.json, or with --check compares it with a fresh compilation and exits with 1 where
 * they differ.
 */

import { existsSync, readFileSync, writeFileSync } from "node:fs";

import { type Artefact, ARTEFACT_PATH, buildArtefact, formatArtefact } from "./build.ts";

/** Returns one line for each member in which the two artefacts differ. */
function differences(committed: Artefact, built: Artefact): string[] {
  const names = new Set([...Object.keys(committed), ...Object.keys(built)]) as Set<keyof Artefact>;
  const shown = (value: unknown) => (JSON.stringify(value) ?? "absent").slice(0, 100);
  return [...names]
    .filter((name) => JSON.stringify(committed[name]) !== JSON.stringify(built[name]))
    .map((name) => `  ${name}: committed ${shown(committed[name])}, compiled ${shown(built[name])}`);
}

/** Returns why the file on disk is not the compiled artefact, or an empty string. */
function complaint(built: Artefact): string {
  if (!existsSync(ARTEFACT_PATH)) return `${ARTEFACT_PATH} is missing`;
  const text = readFileSync(ARTEFACT_PATH, "utf8");
  if (text === formatArtefact(built)) return "";
  let committed: Artefact;
  try {
    committed = JSON.parse(text);
  } catch {
    return `${ARTEFACT_PATH} is not JSON`;
  }
  const lines = differences(committed, built);
  const where = lines.join("\n") || "  only in spaces or the order of members";
  return `${ARTEFACT_PATH} differs from the compiled sources:\n${where}`;
}

const built = buildArtefact();
if (process.argv[2] === "--check") {
  const found = complaint(built);
  if (found) {
    console.error(`${found}\nIf the sources were meant to change, run: npm run artefact`);
    process.exitCode = 1;
  } else {
    console.log(
      `the committed artefact is what ${built.compiler} makes of the sources; CREATE2 address ${built.create2.address}`,
    );
  }
} else {
  writeFileSync(ARTEFACT_PATH, formatArtefact(built));
  console.log(`wrote ${ARTEFACT_PATH}; CREATE2 address ${built.create2.address}`);
}
