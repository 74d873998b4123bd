// SPDX-License-Identifier: Apache-2.0

pragma solidity 0.8.37;

/**
 * @title Witnesstree evidence anchor
 * @notice Records when a root was first shown to this chain, and checks that a digest leads to a recorded root.
 *
 * A root is the 32-byte root of a hash tree over SHA-256 digests of evidence (RFC 4998, 4.2). Anyone may anchor any
 * root and anyone may ask. A recorded root says that whoever made it knew it at that time. It does not say who made the
 * evidence, that the evidence is true, or that the submitter has anything to do with it: a submitter can copy a root
 * that it saw elsewhere.
 */
interface IEvidenceAnchor {
    /**
     * @notice A root was recorded for the first time, in this block. Emitted once for each root.
     *
     * @param root The root that was recorded.
     * @param submitter The address that called this contract: an account, or another contract.
     */
    event Anchored(bytes32 indexed root, address indexed submitter);

    /**
     * @notice Records `root` with the current block's time, its number and the caller's address.
     *
     * The first record of a root stays for ever. A root that is known already changes nothing, emits nothing and does
     * not revert, so anchoring it again is harmless.
     *
     * @param root The root to record. Any value is taken, the zero root too: this contract cannot know what a root
     * stands for.
     */
    function anchor(bytes32 root) external;

    /**
     * @notice Records every root of `roots` as {anchor} does.
     *
     * Roots that are known already, or that stand in `roots` more than once, are passed over; the others are recorded.
     * An empty list does nothing. The length is limited by the block's gas alone.
     *
     * @param roots The roots to record.
     */
    function anchorAll(bytes32[] calldata roots) external;

    /**
     * @notice Tells when, where and by whom `root` was recorded first. All three are zero if it was never recorded.
     *
     * @param root The root to look up.
     * @return time The time of that block, in seconds since 1970-01-01 00:00 UTC, as the chain's block producer stated
     * it.
     * @return blockNumber The number of that block, as this chain's NUMBER instruction gives it. Some chains that stand
     * on another chain give that other chain's number here.
     * @return submitter The address that called this contract: an account, or another contract.
     */
    function anchoredAt(bytes32 root) external view returns (uint64 time, uint64 blockNumber, address submitter);

    /**
     * @notice Checks that `path` leads from `digest` to `root`, and that `root` is recorded here.
     *
     * A parent is `SHA-256(min(a, b) || max(a, b))` of its two children as unsigned numbers, so the order of two
     * siblings is not part of a path. An empty path means that the digest itself is the root.
     *
     * IMPORTANT: This contract does not know a digest's position or how many digests its tree has, so it cannot check
     * how long the path should be. 64 bytes that are two sibling hashes of a tree, the lesser first, lead to the root
     * as a file does, with a shorter path. Those bytes did exist at that time; still, compare the path's length with
     * the one that the proof file's position and size demand, or let `witnesstree verify` do so.
     *
     * @param root The root that the path should lead to.
     * @param digest The SHA-256 of the file.
     * @param path The sibling hashes from the digest up to the root.
     * @return included True only if the path leads to `root` and `root` is recorded.
     * @return time The time at which `root` was recorded, as in {anchoredAt}, whether or not the path leads to it. Zero
     * if `root` was never recorded.
     */
    function verify(
        bytes32 root,
        bytes32 digest,
        bytes32[] calldata path
    ) external view returns (bool included, uint64 time);
}
