// SPDX-License-Identifier: Apache-2.0

pragma solidity 0.8.37;

import {IEvidenceAnchor} from "../contracts/IEvidenceAnchor.sol";

/**
 * @title A contract that anchors
 * @notice For tests only: whoever calls it, it is the submitter.
 */
contract Relay {
    /**
     * @notice Anchors `root` in `target`.
     */
    function anchor(IEvidenceAnchor target, bytes32 root) external {
        target.anchor(root);
    }
}
