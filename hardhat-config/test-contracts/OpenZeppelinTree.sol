// SPDX-License-Identifier: Apache-2.0

pragma solidity 0.8.37;

import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";

/**
 * @title Another library's reading of our paths
 * @notice For tests only: OpenZeppelin's MerkleProof with SHA-256 in the place of its own keccak-256.
 */
contract OpenZeppelinTree {
    /**
     * @notice Returns the root that OpenZeppelin computes from `digest` and `path`.
     */
    function rootFromPath(bytes32[] calldata path, bytes32 digest) external view returns (bytes32) {
        return MerkleProof.processProofCalldata(path, digest, _parent);
    }

    function _parent(bytes32 a, bytes32 b) private pure returns (bytes32) {
        return a < b ? sha256(abi.encode(a, b)) : sha256(abi.encode(b, a));
    }
}
