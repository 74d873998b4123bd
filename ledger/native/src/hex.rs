//! Lines of 64 hex digits, alone or before a name as `sha256sum` writes them.

use std::collections::TryReserveError;

use crate::sha256::NODE;

const DIGITS: usize = 2 * NODE;

/// What the beginning of a text holds: packed digests, the bytes and lines that were used, and whether the line after them is wrong.
pub struct Lines {
    pub digests: Vec<u8>,
    pub used: usize,
    pub lines: usize,
    pub is_wrong: bool,
}

/// Read whole lines; what stands after the last line feed is one too if `is_last`. A line of more than `longest` bytes, its end included, is wrong.
pub fn parse(text: &[u8], is_last: bool, longest: usize) -> Result<Lines, TryReserveError> {
    let mut found = Lines { digests: Vec::new(), used: 0, lines: 0, is_wrong: false };
    // The last line may have no line feed.
    found.digests.try_reserve_exact((text.len() + 1) / (DIGITS + 1) * NODE)?;
    while found.used < text.len() {
        let rest = &text[found.used..];
        // Most lines end after the digits; only the others are searched for their end.
        let length = if rest.get(DIGITS) == Some(&b'\n') && !rest[..DIGITS].contains(&b'\n') {
            DIGITS + 1
        } else {
            match rest.iter().take(longest).position(|&byte| byte == b'\n') {
                Some(end) => end + 1,
                None if rest.len() > longest => {
                    found.is_wrong = true;
                    return Ok(found);
                }
                None if is_last => rest.len(),
                None => return Ok(found),
            }
        };
        let Some(digest) = parse_line(&rest[..length]) else {
            found.is_wrong = true;
            return Ok(found);
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
