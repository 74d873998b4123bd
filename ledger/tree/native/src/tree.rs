//! Whole levels of a tree: nodes are paired from left to right, and an odd last one moves up unchanged (RFC 4998, 4.2).

use std::mem::MaybeUninit;

use crate::sha256::{Kernel, NODE};
use crate::share::share;

/// Levels that one task makes above its part of the leaves. A part has 2**HEIGHT leaves (256 KiB): small enough for a core's own cache.
const HEIGHT: usize = 13;
const PART: usize = NODE << HEIGHT;

/// Levels above one of `length` bytes, up to the root.
pub fn height(length: usize) -> usize {
    let nodes = length / NODE;
    if nodes < 2 { 0 } else { ((nodes - 1).ilog2() + 1) as usize }
}

/// Bytes in the level that stands `steps` above one of `length` bytes.
pub fn length(length: usize, steps: usize) -> usize {
    (length / NODE).div_ceil(1 << steps) * NODE
}

/// Fill `parents` with the level above `nodes`, and return it.
fn level<'parents>(kernel: Kernel, nodes: &[u8], parents: &'parents mut [MaybeUninit<u8>]) -> &'parents [u8] {
    let pairs = nodes.len() / NODE / 2;
    let (paired, odd) = nodes.split_at(pairs * 2 * NODE);
    let (made, moved) = parents.split_at_mut(pairs * NODE);
    kernel.hash_pairs(paired, made);
    moved.write_copy_of_slice(odd);
    // SAFETY: `hash_pairs` filled the one part, and the line above the other.
    unsafe { parents.assume_init_ref() }
}

/// Bytes that are there already, to be filled anew.
fn anew(bytes: &mut [u8]) -> &mut [MaybeUninit<u8>] {
    // SAFETY: both have the same layout, and nobody in this file makes a byte uninitialised that was not.
    unsafe { &mut *(std::ptr::from_mut(bytes) as *mut [MaybeUninit<u8>]) }
}

/// Fill `levels`, the lowest first, with what stands above `nodes`; each has the length that `length` says.
pub fn levels(kernel: Kernel, threads: usize, nodes: &[u8], mut levels: Vec<&mut [MaybeUninit<u8>]>) {
    let height = levels.len().min(HEIGHT);
    let higher = levels.split_off(height);
    let mut cut: Vec<_> = levels.iter_mut().enumerate().map(|(i, level)| level.chunks_mut(PART >> (i + 1))).collect();
    let tasks: Vec<(_, Vec<_>)> = nodes.chunks(PART).map(|part| (part, cut.iter_mut().map(|parts| parts.next().unwrap()).collect())).collect();
    share(
        threads,
        tasks.into_iter(),
        || (),
        |(), (part, parents)| {
            let mut below = part;
            for parents in parents {
                below = level(kernel, below, parents);
            }
        },
    );
    // SAFETY: the tasks, of which each was done, filled every part of every level.
    let mut below = levels.last().map_or(nodes, |level| unsafe { level.assume_init_ref() });
    for parents in higher {
        below = level(kernel, below, parents);
    }
}

/// Fill `top` with the level that stands `height` steps above `nodes`, 0 < height <= HEIGHT, and keep none between.
fn few_steps(kernel: Kernel, threads: usize, nodes: &[u8], height: usize, top: &mut [MaybeUninit<u8>]) {
    let tasks = nodes.chunks(PART).zip(top.chunks_mut(PART >> height));
    let largest = PART.min(nodes.len());
    share(
        threads,
        tasks,
        || (vec![0; length(largest, 1)], vec![0; length(largest, 2)]),
        |(one, other), (part, end)| {
            let (mut from, mut to): (&mut Vec<u8>, &mut Vec<u8>) = (other, one);
            for step in 1..=height {
                let below = if step == 1 { part } else { &from[..length(part.len(), step - 1)] };
                if step == height {
                    level(kernel, below, end);
                } else {
                    level(kernel, below, anew(&mut to[..length(part.len(), step)]));
                    (from, to) = (to, from);
                }
            }
        },
    );
}

/// Fill `top` with the level that stands `height` steps above `nodes`. Beside that it needs some 200 KB a thread, and one node for each 2**HEIGHT.
pub fn steps(kernel: Kernel, threads: usize, nodes: &[u8], height: usize, top: &mut [MaybeUninit<u8>]) {
    if height <= HEIGHT {
        return few_steps(kernel, threads, nodes, height, top);
    }
    let mut middle = vec![0; nodes.len().div_ceil(PART) * NODE];
    few_steps(kernel, threads, nodes, HEIGHT, anew(&mut middle));
    steps(kernel, threads, &middle, height - HEIGHT, top);
}
