//! Randomly changed samples, the same in every run. Parsers are tested with them where no fuzzer
//! runs.

use crate::random::Random;

/// Texts that have broken parsers.
const PIECES: [&[u8]; 22] = [
    b"\"",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"null",
    b"-1",
    b"1e999",
    b"\\u0000",
    b"\\ud800",
    b"\xff",
    b"\xc3\xa9",
    b"\n",
    b" in ",
    b"&a ",
    b"*a",
    b"<<: ",
    b"- ",
    b"18446744073709551616",
    b"9999-12-31T23:59:59Z",
];

/// Calls `parse` with each of `samples`, and `times` times with a changed one.
pub fn mutations(samples: &[Vec<u8>], times: usize, seed: u64, mut parse: impl FnMut(&[u8])) {
    for sample in samples {
        parse(sample);
    }
    let mut random = Random(seed);
    for _ in 0..times {
        let mut bytes = samples[random.below(samples.len())].clone();
        for _ in 0..=random.below(4) {
            change(&mut bytes, samples, &mut random);
        }
        parse(&bytes);
    }
}

fn change(bytes: &mut Vec<u8>, samples: &[Vec<u8>], random: &mut Random) {
    let at = random.below(bytes.len() + 1);
    let end = (at + random.below(40)).min(bytes.len());
    match random.below(7) {
        0 => drop(bytes.drain(at..end)),
        1 => bytes.truncate(at),
        2 => {
            let copied = bytes[at..end].to_vec();
            bytes.splice(at..at, copied);
        }
        3 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        4 => {
            let other = &samples[random.below(samples.len())];
            let from = random.below(other.len() + 1);
            let to = (from + random.below(200)).min(other.len());
            bytes.splice(at..end, other[from..to].to_vec());
        }
        _ => {
            let piece = PIECES[random.below(PIECES.len())];
            bytes.splice(at..end, piece.to_vec());
        }
    }
}
