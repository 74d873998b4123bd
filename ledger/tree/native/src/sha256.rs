//! SHA-256 (FIPS 180-4) of many messages of 64 bytes: the pairs of nodes in a level of the tree, the smaller node first.
//!
//! Each message is two blocks. The second one is padding and always the same, so its message schedule is a table (`PADDING`). No function here
//! allocates, starts a thread, or knows of Python.

use std::array::from_fn;
use std::mem::MaybeUninit;

pub const NODE: usize = 32;
pub const PAIR: usize = 2 * NODE;

/// FIPS 180-4, 5.3.3.
const INITIAL: [u32; 8] = [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];

/// FIPS 180-4, 4.2.2.
const ROUNDS: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
    0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
    0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
    0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
];

/// The message schedule of the padding block (a set bit, zeros, 512 as the length in bits), each word with its round constant added.
static PADDING: [u32; 64] = {
    let mut words = [0u32; 64];
    words[0] = 0x8000_0000;
    words[15] = 512;
    let mut t = 16;
    while t < 64 {
        words[t] = expand(words[t - 16], words[t - 15], words[t - 7], words[t - 2]);
        t += 1;
    }
    t = 0;
    while t < 64 {
        words[t] = words[t].wrapping_add(ROUNDS[t]);
        t += 1;
    }
    words
};

/// FIPS 180-4, 6.2.2, step 1.
const fn expand(w16: u32, w15: u32, w7: u32, w2: u32) -> u32 {
    let s0 = w15.rotate_right(7) ^ w15.rotate_right(18) ^ (w15 >> 3);
    let s1 = w2.rotate_right(17) ^ w2.rotate_right(19) ^ (w2 >> 10);
    w16.wrapping_add(s0).wrapping_add(w7).wrapping_add(s1)
}

/// A way to hash that this machine can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    Portable,
    #[cfg(target_arch = "x86_64")]
    ShaNi(x86::HasShaNi),
    #[cfg(target_arch = "x86_64")]
    Avx512(x86::HasAvx512),
}

impl Kernel {
    /// What this machine can run, the fastest first.
    pub fn all() -> Vec<Kernel> {
        let mut found = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            found.extend(x86::HasAvx512::detect().map(Kernel::Avx512));
            found.extend(x86::HasShaNi::detect().map(Kernel::ShaNi));
        }
        found.push(Kernel::Portable);
        found
    }

    pub fn name(self) -> &'static str {
        match self {
            Kernel::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Kernel::ShaNi(_) => "sha-ni",
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512(_) => "avx-512",
        }
    }

    /// Fill `parents`, which is half as long, with the node above each of the packed `pairs`. No byte of it is read.
    pub fn hash_pairs(self, pairs: &[u8], parents: &mut [MaybeUninit<u8>]) {
        assert!(pairs.len() == 2 * parents.len() && parents.len().is_multiple_of(NODE));
        match self {
            Kernel::Portable => portable(pairs, parents),
            #[cfg(target_arch = "x86_64")]
            Kernel::ShaNi(has) => has.hash_pairs(pairs, parents),
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512(has) => has.hash_pairs(pairs, parents),
        }
    }
}

/// The two nodes of a pair, the smaller one first.
fn sorted(pair: &[u8]) -> (&[u8; NODE], &[u8; NODE]) {
    let (first, second) = pair.split_at(NODE);
    let (first, second) = (first.try_into().unwrap(), second.try_into().unwrap());
    if first <= second { (first, second) } else { (second, first) }
}

fn portable(pairs: &[u8], parents: &mut [MaybeUninit<u8>]) {
    for (pair, parent) in pairs.chunks_exact(PAIR).zip(parents.chunks_exact_mut(NODE)) {
        let (low, high) = sorted(pair);
        let word = |node: &[u8; NODE], i: usize| u32::from_be_bytes(node[4 * i..4 * i + 4].try_into().unwrap());
        let mut words = [0u32; 64];
        for i in 0..8 {
            words[i] = word(low, i);
            words[i + 8] = word(high, i);
        }
        for t in 16..64 {
            words[t] = expand(words[t - 16], words[t - 15], words[t - 7], words[t - 2]);
        }
        let keyed = from_fn(|t| words[t].wrapping_add(ROUNDS[t]));
        let state = compress(compress(INITIAL, &keyed), &PADDING);
        for (bytes, word) in parent.chunks_exact_mut(4).zip(state) {
            bytes.write_copy_of_slice(&word.to_be_bytes());
        }
    }
}

/// FIPS 180-4, 6.2.2, steps 2 to 4, on a schedule to which the round constants were added.
fn compress(before: [u32; 8], keyed: &[u32; 64]) -> [u32; 8] {
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = before;
    for word in keyed {
        let sum1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let choice = g ^ (e & (f ^ g));
        let t1 = h.wrapping_add(sum1).wrapping_add(choice).wrapping_add(*word);
        let sum0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let majority = (a & b) | (c & (a | b));
        (h, g, f, e) = (g, f, e, d.wrapping_add(t1));
        (d, c, b, a) = (c, b, a, t1.wrapping_add(sum0).wrapping_add(majority));
    }
    let after = [a, b, c, d, e, f, g, h];
    from_fn(|i| before[i].wrapping_add(after[i]))
}

#[cfg(target_arch = "x86_64")]
#[path = "x86.rs"]
pub mod x86;
