//! Lines of 64 hex digits, alone or before a name as `sha256sum` writes them.

use std::collections::TryReserveError;
use std::io::BufRead;

use crate::sha256::NODE;
use crate::share::share;

const DIGITS: usize = 2 * NODE;

/// Bytes of text from which on it pays to use another thread.
const PER_THREAD: usize = 1 << 18;

/// What the beginning of a text holds: packed digests, the bytes and lines that were used, and whether the line after them is wrong.
#[derive(Default)]
pub struct Lines {
    pub digests: Vec<u8>,
    pub used: usize,
    pub lines: usize,
    pub is_wrong: bool,
}

/// Read whole lines; what stands after the last line feed is one too if `is_last`. A line of more than `longest` bytes, its end included, is wrong.
///
/// What is found comes in parts, in the order of the text, each of lines that one thread has read; only in the last one a line may be wrong.
pub fn parse(threads: usize, text: &[u8], is_last: bool, longest: usize) -> Result<Vec<Lines>, TryReserveError> {
    let threads = threads.min(text.len() / PER_THREAD + 1);
    let mut rest = text;
    let mut parts = Vec::new();
    for left in (1..=threads).rev() {
        // Up to the end of the line that stands where this part should end.
        let (most, mut ahead) = rest.split_at(rest.len() / left);
        let length = if left == 1 { rest.len() } else { most.len() + past_feed(&mut ahead) };
        parts.push((&rest[..length], is_last && length == rest.len(), Ok(Lines::default())));
        rest = &rest[length..];
    }
    share(threads, parts.iter_mut(), || (), |(), (part, is_last, found)| *found = parse_part(part, *is_last, longest));
    let mut all = Vec::new();
    for (_, _, found) in parts {
        let found = found?;
        let is_wrong = found.is_wrong;
        all.push(found);
        if is_wrong {
            break;
        }
    }
    Ok(all)
}

/// How many bytes there are up to the first line feed, itself included; all of them if there is none.
fn past_feed(text: &mut &[u8]) -> usize {
    text.skip_until(b'\n').expect("bytes in memory can be read")
}

fn parse_part(text: &[u8], is_last: bool, longest: usize) -> Result<Lines, TryReserveError> {
    let mut found = Lines::default();
    // The last line may have no line feed.
    found.digests.try_reserve_exact((text.len() + 1) / (DIGITS + 1) * NODE)?;
    while found.used < text.len() {
        let rest = &text[found.used..];
        let length = past_feed(&mut &rest[..longest.min(rest.len())]);
        if rest[length - 1] != b'\n' {
            if rest.len() > longest {
                found.is_wrong = true;
                break;
            }
            if !is_last {
                break;
            }
        }
        let Some(digest) = parse_line(&rest[..length]) else {
            found.is_wrong = true;
            break;
        };
        if let Some(digest) = digest {
            found.digests.extend_from_slice(&digest);
        }
        found.used += length;
        found.lines += 1;
    }
    Ok(found)
}

/// The digest in a line, or that it is blank, or None where it is neither.
fn parse_line(line: &[u8]) -> Option<Option<[u8; NODE]>> {
    let end = line.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
    let line = &line[..end];
    if line.is_empty() {
        return Some(None);
    }
    let (digits, name) = line.strip_prefix(b"\\").unwrap_or(line).split_at_checked(DIGITS)?;
    // A space, a space or an asterisk, and a name of at least one byte, none of them zero.
    if !name.is_empty() && (!matches!(name, [b' ', b' ' | b'*', _, ..]) || name.contains(&0)) {
        return None;
    }
    let mut digest = [0; NODE];
    let mut all = 0;
    for (byte, two) in digest.iter_mut().zip(digits.as_chunks::<2>().0) {
        let (high, low) = (VALUES[usize::from(two[0])], VALUES[usize::from(two[1])]);
        all |= high | low;
        *byte = high << 4 | low & 15;
    }
    (all != NO_DIGIT).then_some(Some(digest))
}

/// Has bits that no digit's value has, so that one look at all values together tells.
const NO_DIGIT: u8 = 0xff;

/// The value of each byte as a hex digit.
static VALUES: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        values[b"0123456789abcdef"[value] as usize] = value as u8;
        values[b"0123456789ABCDEF"[value] as usize] = value as u8;
        value += 1;
    }
    values
};
