// Builds OpenZeppelin's tree over random digests, with its own node hash (keccak-256), and prints how long that took: {"seconds": …, "count": …}.
import { randomBytes } from "node:crypto";
import { SimpleMerkleTree } from "@openzeppelin/merkle-tree";

const count = Number(process.argv[2]);
const leaves = Array.from({ length: count }, () => "0x" + randomBytes(32).toString("hex"));
const start = process.hrtime.bigint();
SimpleMerkleTree.of(leaves);
console.log(JSON.stringify({ seconds: Number(process.hrtime.bigint() - start) / 1e9, count }));
