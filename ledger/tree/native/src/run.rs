//! The digest index's sorted run: for each digest its first 8 bytes and its position, 4 bytes, both big-endian, sorted.

use std::mem::MaybeUninit;

use crate::sha256::NODE;
use crate::share::share;

pub const RECORD: usize = 12;
const KEY: usize = 8;

/// Records in a bucket, about: small enough to be sorted in a core's own cache.
const BUCKET: usize = 1 << 14;
/// Buckets, at most, as a power of two: as many places are written to in turn.
const MOST_BITS: u32 = 12;
/// Records that are sorted as numbers of 16 bytes, at most: more of them in one bucket are no accident, and are sorted where they are.
const MOST_NUMBERS: usize = 1 << 20;
/// Digests from which on it pays to use another thread.
const PER_THREAD: usize = 1 << 15;

/// Fill `run`, 12 bytes for each of the packed `digests`, of which there are at most 2**32.
///
/// Beside `run` it needs at most 16 MiB a thread. Digests that do not come from SHA-256 and begin alike are sorted more slowly, but in n log n still.
pub fn sort_run(threads: usize, digests: &[u8], run: &mut [MaybeUninit<u8>]) {
    let count = digests.len() / NODE;
    let bits = (count / BUCKET).checked_ilog2().map_or(0, |log| (log + 1).min(MOST_BITS));
    let threads = threads.min(count / PER_THREAD + 1);
    let part = count.div_ceil(threads).max(1);

    let parts: Vec<&[u8]> = digests.chunks(part * NODE).collect();
    let mut counts = vec![vec![0usize; 1 << bits]; parts.len()];
    share(
        threads,
        parts.iter().zip(&mut counts),
        || (),
        |(), (part, counts)| {
            for digest in part.chunks_exact(NODE) {
                counts[bucket(digest, bits)] += 1;
            }
        },
    );

    // Each part of the digests has its own room in each bucket, in their order.
    let mut rooms: Vec<Vec<&mut [MaybeUninit<u8>]>> = parts.iter().map(|_| Vec::with_capacity(1 << bits)).collect();
    let mut rest = &mut *run;
    for bucket in 0..1 << bits {
        for (counts, rooms) in counts.iter().zip(&mut rooms) {
            let (room, after) = rest.split_at_mut(counts[bucket] * RECORD);
            rooms.push(room);
            rest = after;
        }
    }
    let tasks: Vec<_> = parts.iter().zip(rooms).enumerate().collect();
    share(
        threads,
        tasks.into_iter(),
        || (),
        |(), (i, (digests, mut rooms))| {
            for (position, digest) in (i * part..).zip(digests.chunks_exact(NODE)) {
                let room = &mut rooms[bucket(digest, bits)];
                let (record, after) = std::mem::take(room).split_at_mut(RECORD);
                record[..KEY].write_copy_of_slice(&digest[..KEY]);
                record[KEY..].write_copy_of_slice(&(position as u32).to_be_bytes());
                *room = after;
            }
        },
    );

    // SAFETY: the rooms, one after the other, are all of it: the counts, of one digest each, add up to as many as there are; and each was filled.
    let mut rest = unsafe { run.assume_init_mut() };
    let mut buckets = Vec::with_capacity(1 << bits);
    for bucket in 0..1 << bits {
        let (records, after) = rest.split_at_mut(counts.iter().map(|counts| counts[bucket]).sum::<usize>() * RECORD);
        buckets.push(records);
        rest = after;
    }
    share(threads, buckets.into_iter(), Vec::new, sort_bucket);
}

fn bucket(digest: &[u8], bits: u32) -> usize {
    let first = u64::from(u32::from_be_bytes(digest[..4].try_into().unwrap()));
    (first << bits >> 32) as usize
}

fn sort_bucket(numbers: &mut Vec<u128>, records: &mut [u8]) {
    if records.len() > MOST_NUMBERS * RECORD {
        return records.as_chunks_mut::<RECORD>().0.sort_unstable();
    }
    numbers.clear();
    numbers.extend(records.chunks_exact(RECORD).map(|record| {
        let mut number = [0; 16];
        number[16 - RECORD..].copy_from_slice(record);
        u128::from_be_bytes(number)
    }));
    numbers.sort_unstable();
    for (record, number) in records.chunks_exact_mut(RECORD).zip(numbers) {
        record.copy_from_slice(&number.to_be_bytes()[16 - RECORD..]);
    }
}
