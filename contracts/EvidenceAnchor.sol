// SPDX-License-Identifier: Apache-2.0

pragma solidity 0.8.37;

import {IEvidenceAnchor} from "./IEvidenceAnchor.sol";

/**
 * @title Witnesstree evidence anchor
 * @notice Records when a root was first shown to this chain, and checks that a digest leads to a recorded root.
 *
 * This contract has no owner, takes no money, calls no other contract and cannot be changed or switched off.
 *
 * @dev Storage, which proofs by `eth_getProof` rely on: `_records` stands at slot 0 and nothing else is stored. The
 * record of a root is the single slot `keccak256(root || uint256(0))`, with the value
 * `submitter << 96 | blockNumber << 48 | time`.
 */
contract EvidenceAnchor is IEvidenceAnchor {
    /// @dev One slot. 48 bits hold eight million years of seconds, and more block numbers than that.
    struct Record {
        uint48 time;
        uint48 blockNumber;
        address submitter;
    }

    mapping(bytes32 root => Record) private _records;

    /// @inheritdoc IEvidenceAnchor
    function anchor(bytes32 root) external {
        _anchor(root);
    }

    /// @inheritdoc IEvidenceAnchor
    function anchorAll(bytes32[] calldata roots) external {
        for (uint256 i = 0; i < roots.length; ++i) {
            _anchor(roots[i]);
        }
    }

    /// @inheritdoc IEvidenceAnchor
    function anchoredAt(bytes32 root) external view returns (uint64 time, uint64 blockNumber, address submitter) {
        Record memory record = _records[root];
        return (record.time, record.blockNumber, record.submitter);
    }

    /// @inheritdoc IEvidenceAnchor
    function verify(
        bytes32 root,
        bytes32 digest,
        bytes32[] calldata path
    ) external view returns (bool included, uint64 time) {
        time = _records[root].time;
        included = time != 0 && _rootFromPath(digest, path) == root;
    }

    /**
     * @dev Records `root` unless it is known. A block's time is never zero, so a time of zero means unknown.
     */
    function _anchor(bytes32 root) private {
        Record storage record = _records[root];
        if (record.time != 0) return;
        // The casts lose nothing, see {Record}. The compiler joins the three into one write.
        record.time = uint48(block.timestamp);
        record.blockNumber = uint48(block.number);
        record.submitter = msg.sender;
        emit Anchored(root, msg.sender);
    }

    /**
     * @dev Returns the root that `path` implies for `digest` (RFC 4998, 4.2).
     */
    function _rootFromPath(bytes32 digest, bytes32[] calldata path) private pure returns (bytes32 node) {
        node = digest;
        for (uint256 i = 0; i < path.length; ++i) {
            node = _parent(node, path[i]);
        }
    }

    /**
     * @dev Returns the node above `a` and `b`; their order does not matter.
     */
    function _parent(bytes32 a, bytes32 b) private pure returns (bytes32) {
        return a < b ? sha256(abi.encodePacked(a, b)) : sha256(abi.encodePacked(b, a));
    }
}
