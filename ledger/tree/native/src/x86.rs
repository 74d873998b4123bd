//! The same with x86-64's own instructions: SHA, one message in two registers, several interleaved; and AVX-512, sixteen messages side by side.
//!
//! `unsafe` stands here for two reasons only: calling a function that needs instructions which this machine was seen to have (the `Has…` values
//! are made nowhere else), and loads and stores whose lengths are those of the arrays they are handed.

use std::arch::x86_64::*;
use std::array::from_fn;
use std::mem::MaybeUninit;

use super::{INITIAL, NODE, PADDING, PAIR, ROUNDS, portable, sorted};

/// Says that this machine has the SHA instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HasShaNi(());

/// Says that this machine has AVX-512 F and BW.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HasAvx512(());

impl HasShaNi {
    pub fn detect() -> Option<Self> {
        (is_x86_feature_detected!("sha") && is_x86_feature_detected!("ssse3") && is_x86_feature_detected!("sse4.1")).then_some(Self(()))
    }

    pub fn hash_pairs(self, pairs: &[u8], parents: &mut [MaybeUninit<u8>]) {
        // SAFETY: `self` was made by `detect`.
        unsafe { sha_ni(pairs, parents) }
    }
}

impl HasAvx512 {
    pub fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw")).then_some(Self(()))
    }

    pub fn hash_pairs(self, pairs: &[u8], parents: &mut [MaybeUninit<u8>]) {
        let whole = pairs.len() / (LANES * PAIR);
        let (pairs, more_pairs) = pairs.split_at(whole * LANES * PAIR);
        let (parents, more_parents) = parents.split_at_mut(whole * LANES * NODE);
        for (pairs, parents) in pairs.chunks_exact(LANES * PAIR).zip(parents.chunks_exact_mut(LANES * NODE)) {
            // SAFETY: `self` was made by `detect`.
            unsafe { avx512(pairs.as_array_of(), parents.as_array_of_mut()) }
        }
        match HasShaNi::detect() {
            Some(has) => has.hash_pairs(more_pairs, more_parents),
            None => portable(more_pairs, more_parents),
        }
    }
}

// SHA instructions

/// Messages interleaved: one alone waits for each instruction's result. More than three do not fit into sixteen registers.
const WAYS: usize = 2;

#[target_feature(enable = "sha,ssse3,sse4.1")]
fn sha_ni(pairs: &[u8], parents: &mut [MaybeUninit<u8>]) {
    let mut pairs = pairs.chunks_exact(WAYS * PAIR);
    let mut parents = parents.chunks_exact_mut(WAYS * NODE);
    for (pairs, parents) in pairs.by_ref().zip(parents.by_ref()) {
        sha_ni_ways::<WAYS>(pairs, parents);
    }
    for (pair, parent) in pairs.remainder().chunks_exact(PAIR).zip(parents.into_remainder().chunks_exact_mut(NODE)) {
        sha_ni_ways::<1>(pair, parent);
    }
}

#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn sha_ni_ways<const N: usize>(pairs: &[u8], parents: &mut [MaybeUninit<u8>]) {
    let [a, b, c, d, e, f, g, h] = INITIAL.map(u32::cast_signed);
    let (abef, cdgh) = (_mm_set_epi32(a, b, e, f), _mm_set_epi32(c, d, g, h));
    let mut state = [(abef, cdgh); N];

    let big_endian = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
    let mut words: [[__m128i; 4]; N] = from_fn(|n| {
        let (low, high) = sorted(&pairs[n * PAIR..][..PAIR]);
        let (low, high) = (halves(low), halves(high));
        [low[0], low[1], high[0], high[1]].map(|four| _mm_shuffle_epi8(four, big_endian))
    });
    for quarter in 0..4 {
        for i in 0..4 {
            let constants = four(&ROUNDS, 16 * quarter + 4 * i);
            for n in 0..N {
                if quarter > 0 {
                    let [w0, w1, w2, w3] = from_fn(|j| words[n][(i + j) % 4]);
                    words[n][i] = _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), _mm_alignr_epi8(w3, w2, 4)), w3);
                }
                state[n] = four_rounds(state[n], _mm_add_epi32(words[n][i], constants));
            }
        }
    }
    let middle: [_; N] = from_fn(|n| (_mm_add_epi32(state[n].0, abef), _mm_add_epi32(state[n].1, cdgh)));
    state = middle;
    for i in 0..16 {
        let keyed = four(&PADDING, 4 * i);
        for each in &mut state {
            *each = four_rounds(*each, keyed);
        }
    }
    // The registers hold F E B A and H G D C from the lowest word to the highest.
    let out = _mm_set_epi64x(0x0809_0a0b_0c0d_0e0f, 0x0001_0203_0405_0607);
    for n in 0..N {
        let (abef, cdgh) = (_mm_add_epi32(state[n].0, middle[n].0), _mm_add_epi32(state[n].1, middle[n].1));
        let parent = &mut parents[n * NODE..][..NODE];
        store(&mut parent[..16], _mm_shuffle_epi8(_mm_unpackhi_epi64(abef, cdgh), out));
        store(&mut parent[16..], _mm_shuffle_epi8(_mm_unpacklo_epi64(abef, cdgh), out));
    }
}

#[inline]
#[target_feature(enable = "sha")]
fn four_rounds((abef, cdgh): (__m128i, __m128i), keyed: __m128i) -> (__m128i, __m128i) {
    let cdgh = _mm_sha256rnds2_epu32(cdgh, abef, keyed);
    (_mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32::<0x0e>(keyed)), cdgh)
}

#[inline(always)]
fn halves(node: &[u8; NODE]) -> [__m128i; 2] {
    // SAFETY: the array has 32 bytes, and the loads ask for no alignment.
    unsafe { [_mm_loadu_si128(node.as_ptr().cast()), _mm_loadu_si128(node.as_ptr().add(16).cast())] }
}

#[inline(always)]
fn four(table: &[u32; 64], at: usize) -> __m128i {
    let words = &table[at..at + 4];
    // SAFETY: the slice has 16 bytes, and the load asks for no alignment.
    unsafe { _mm_loadu_si128(words.as_ptr().cast()) }
}

#[inline(always)]
fn store(bytes: &mut [MaybeUninit<u8>], value: __m128i) {
    assert!(bytes.len() == 16);
    // SAFETY: the slice has 16 bytes, and the store asks for no alignment.
    unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), value) }
}

// AVX-512

const LANES: usize = 16;

/// Word i of all sixteen messages, for each i.
type Words<const N: usize> = [__m512i; N];

#[target_feature(enable = "avx512f,avx512bw")]
fn avx512(pairs: &[[u8; PAIR]; LANES], parents: &mut [[MaybeUninit<u8>; PAIR]; LANES / 2]) {
    let big_endian = _mm512_set4_epi32(0x0c0d_0e0f, 0x0809_0a0b, 0x0405_0607, 0x0001_0203);
    let rows: Words<16> = from_fn(|i| _mm512_shuffle_epi8(load(&pairs[i]), big_endian));
    let mut words = transposed(rows);
    let swap = second_is_smaller(&words);
    for i in 0..8 {
        let (first, second) = (words[i], words[i + 8]);
        words[i] = _mm512_mask_mov_epi32(first, swap, second);
        words[i + 8] = _mm512_mask_mov_epi32(second, swap, first);
    }

    let initial = INITIAL.map(|word| _mm512_set1_epi32(word.cast_signed()));
    let mut state = initial;
    for quarter in 0..4 {
        if quarter > 0 {
            for i in 0..16 {
                let (w15, w2) = (words[(i + 1) % 16], words[(i + 14) % 16]);
                let s0 = xor(_mm512_ror_epi32::<7>(w15), _mm512_ror_epi32::<18>(w15), _mm512_srli_epi32::<3>(w15));
                let s1 = xor(_mm512_ror_epi32::<17>(w2), _mm512_ror_epi32::<19>(w2), _mm512_srli_epi32::<10>(w2));
                words[i] = _mm512_add_epi32(_mm512_add_epi32(words[i], s0), _mm512_add_epi32(words[(i + 9) % 16], s1));
            }
        }
        state = sixteen_rounds(state, |i| _mm512_add_epi32(words[i], _mm512_set1_epi32(ROUNDS[16 * quarter + i].cast_signed())));
    }
    let middle: Words<8> = from_fn(|i| _mm512_add_epi32(state[i], initial[i]));
    state = middle;
    for quarter in 0..4 {
        state = sixteen_rounds(state, |i| _mm512_set1_epi32(PADDING[16 * quarter + i].cast_signed()));
    }
    let sums: Words<8> = from_fn(|i| _mm512_add_epi32(state[i], middle[i]));
    for (parents, pair) in parents.iter_mut().zip(transposed_halves(sums)) {
        save(parents, _mm512_shuffle_epi8(pair, big_endian));
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn sixteen_rounds(state: Words<8>, keyed: impl Fn(usize) -> __m512i) -> Words<8> {
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = state;
    macro_rules! round {
        ($a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident $i:expr) => {
            let sum1 = xor(_mm512_ror_epi32::<6>($e), _mm512_ror_epi32::<11>($e), _mm512_ror_epi32::<25>($e));
            let choice = _mm512_ternarylogic_epi32::<0xca>($e, $f, $g);
            let t1 = _mm512_add_epi32(_mm512_add_epi32(_mm512_add_epi32($h, keyed($i)), choice), sum1);
            let sum0 = xor(_mm512_ror_epi32::<2>($a), _mm512_ror_epi32::<13>($a), _mm512_ror_epi32::<22>($a));
            let majority = _mm512_ternarylogic_epi32::<0xe8>($a, $b, $c);
            $d = _mm512_add_epi32($d, t1);
            $h = _mm512_add_epi32(_mm512_add_epi32(sum0, majority), t1);
        };
    }
    macro_rules! eight_rounds {
        ($i:expr) => {
            round!(a b c d e f g h $i);
            round!(h a b c d e f g $i + 1);
            round!(g h a b c d e f $i + 2);
            round!(f g h a b c d e $i + 3);
            round!(e f g h a b c d $i + 4);
            round!(d e f g h a b c $i + 5);
            round!(c d e f g h a b $i + 6);
            round!(b c d e f g h a $i + 7);
        };
    }
    eight_rounds!(0);
    eight_rounds!(8);
    [a, b, c, d, e, f, g, h]
}

#[inline]
#[target_feature(enable = "avx512f")]
fn xor(a: __m512i, b: __m512i, c: __m512i) -> __m512i {
    _mm512_ternarylogic_epi32::<0x96>(a, b, c)
}

/// The lanes whose second node is smaller than the first. Equal words are rare, so the first of eight almost always decides.
#[inline]
#[target_feature(enable = "avx512f")]
fn second_is_smaller(words: &Words<16>) -> __mmask16 {
    let (mut smaller, mut undecided) = (0, !0);
    for i in 0..8 {
        smaller |= undecided & _mm512_cmplt_epu32_mask(words[i + 8], words[i]);
        undecided &= _mm512_cmpeq_epi32_mask(words[i + 8], words[i]);
        if undecided == 0 {
            break;
        }
    }
    smaller
}

/// Four by four words within each quarter of four registers, transposed: register i then holds word i of each.
#[inline]
#[target_feature(enable = "avx512f")]
fn quarters(rows: [__m512i; 4]) -> [__m512i; 4] {
    let [r0, r1, r2, r3] = rows;
    let (low01, low23) = (_mm512_unpacklo_epi32(r0, r1), _mm512_unpacklo_epi32(r2, r3));
    let (high01, high23) = (_mm512_unpackhi_epi32(r0, r1), _mm512_unpackhi_epi32(r2, r3));
    [
        _mm512_unpacklo_epi64(low01, low23),
        _mm512_unpackhi_epi64(low01, low23),
        _mm512_unpacklo_epi64(high01, high23),
        _mm512_unpackhi_epi64(high01, high23),
    ]
}

/// The quarters of four registers, transposed.
#[inline]
#[target_feature(enable = "avx512f")]
fn exchanged(rows: [__m512i; 4]) -> [__m512i; 4] {
    let [r0, r1, r2, r3] = rows;
    let (even01, odd01) = (_mm512_shuffle_i32x4::<0x88>(r0, r1), _mm512_shuffle_i32x4::<0xdd>(r0, r1));
    let (even23, odd23) = (_mm512_shuffle_i32x4::<0x88>(r2, r3), _mm512_shuffle_i32x4::<0xdd>(r2, r3));
    [
        _mm512_shuffle_i32x4::<0x88>(even01, even23),
        _mm512_shuffle_i32x4::<0x88>(odd01, odd23),
        _mm512_shuffle_i32x4::<0xdd>(even01, even23),
        _mm512_shuffle_i32x4::<0xdd>(odd01, odd23),
    ]
}

#[inline]
#[target_feature(enable = "avx512f")]
fn transposed(rows: Words<16>) -> Words<16> {
    let by_word: [[__m512i; 4]; 4] = from_fn(|group| quarters(from_fn(|i| rows[4 * group + i])));
    // Register j of group g holds in quarter q the word 4q + j of the messages 4g to 4g + 3.
    let columns: [[__m512i; 4]; 4] = from_fn(|j| exchanged(from_fn(|group| by_word[group][j])));
    from_fn(|word| columns[word % 4][word / 4])
}

/// Eight words of sixteen messages, as eight registers that hold two whole results each, in order.
#[inline]
#[target_feature(enable = "avx512f")]
fn transposed_halves(words: Words<8>) -> Words<8> {
    let first = quarters(from_fn(|i| words[i]));
    let second = quarters(from_fn(|i| words[i + 4]));
    // Register j holds in quarter q four words of message 4q + j: the first four, and in `second` the last four.
    let even: [__m512i; 4] = from_fn(|j| if j % 2 == 0 { first[j] } else { second[j - 1] });
    let odd: [__m512i; 4] = from_fn(|j| if j % 2 == 0 { first[j + 1] } else { second[j] });
    // `even` are the halves of messages 4q and 4q + 2, `odd` those of 4q + 1 and 4q + 3.
    let low = exchanged([even[0], even[1], odd[0], odd[1]]);
    let high = exchanged([even[2], even[3], odd[2], odd[3]]);
    [low[0], high[0], low[1], high[1], low[2], high[2], low[3], high[3]]
}

#[inline(always)]
fn load(bytes: &[u8; PAIR]) -> __m512i {
    // SAFETY: the array has 64 bytes, as many as the type, for which every value is one.
    unsafe { std::mem::transmute_copy(bytes) }
}

#[inline(always)]
fn save(bytes: &mut [MaybeUninit<u8>; PAIR], value: __m512i) {
    // SAFETY: the type has 64 bytes, as many as the array.
    *bytes = unsafe { std::mem::transmute::<__m512i, [MaybeUninit<u8>; PAIR]>(value) };
}

/// A slice as an array of arrays, where its length is right.
trait Arrays<T> {
    fn as_array_of<const N: usize>(&self) -> &[[T; PAIR]; N];
    fn as_array_of_mut<const N: usize>(&mut self) -> &mut [[T; PAIR]; N];
}

impl<T> Arrays<T> for [T] {
    fn as_array_of<const N: usize>(&self) -> &[[T; PAIR]; N] {
        self.as_chunks::<PAIR>().0.try_into().unwrap()
    }

    fn as_array_of_mut<const N: usize>(&mut self) -> &mut [[T; PAIR]; N] {
        self.as_chunks_mut::<PAIR>().0.try_into().unwrap()
    }
}
