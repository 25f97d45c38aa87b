//! Samples changed by chance, the same in every run: what parsers are fed where no fuzzer runs.

use crate::settle::Dice;

/// Pieces that break parsers.
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

/// Calls `parse` with `samples` and with `times` changed ones.
pub fn mutations(samples: &[Vec<u8>], times: usize, seed: u64, mut parse: impl FnMut(&[u8])) {
    for sample in samples {
        parse(sample);
    }
    let mut dice = Dice(seed);
    for _ in 0..times {
        let mut bytes = samples[dice.roll(samples.len())].clone();
        for _ in 0..=dice.roll(4) {
            change(&mut bytes, samples, &mut dice);
        }
        parse(&bytes);
    }
}

fn change(bytes: &mut Vec<u8>, samples: &[Vec<u8>], dice: &mut Dice) {
    let at = dice.roll(bytes.len() + 1);
    let end = (at + dice.roll(40)).min(bytes.len());
    match dice.roll(7) {
        0 => drop(bytes.drain(at..end)),
        1 => bytes.truncate(at),
        2 => {
            let copied = bytes[at..end].to_vec();
            bytes.splice(at..at, copied);
        }
        3 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << dice.roll(8);
            }
        }
        4 => {
            let other = &samples[dice.roll(samples.len())];
            let from = dice.roll(other.len() + 1);
            let to = (from + dice.roll(200)).min(other.len());
            bytes.splice(at..end, other[from..to].to_vec());
        }
        _ => {
            let piece = PIECES[dice.roll(PIECES.len())];
            bytes.splice(at..end, piece.to_vec());
        }
    }
}
