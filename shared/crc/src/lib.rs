//! The three checksums with which S3 guards an object, under the names by which the SDK asks the crate `crc-fast` for them.
//!
//! That crate holds tables for every checksum there is: 0.7 MB that hardly compress, in each function's package. What is
//! checked here is the hierarchy file, once for an event.

/// Which checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrcAlgorithm {
    /// CRC-32, as zip has it.
    Crc32IsoHdlc,
    /// CRC-32C.
    Crc32Iscsi,
    /// CRC-64/NVME, S3's default.
    Crc64Nvme,
}

/// A checksum in the making.
#[derive(Debug, Clone)]
pub struct Digest {
    table: &'static [u64; 256],
    /// As many ones as the checksum has bits: where it begins, and what is inverted at its end.
    ones: u64,
    state: u64,
}

impl Digest {
    /// Begins.
    pub fn new(algorithm: CrcAlgorithm) -> Self {
        let (table, ones) = match algorithm {
            CrcAlgorithm::Crc32IsoHdlc => (&CRC32, u64::from(u32::MAX)),
            CrcAlgorithm::Crc32Iscsi => (&CRC32C, u64::from(u32::MAX)),
            CrcAlgorithm::Crc64Nvme => (&CRC64_NVME, u64::MAX),
        };
        Self { table, ones, state: ones }
    }

    /// Goes on with more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let [low, ..] = self.state.to_le_bytes();
            self.state = self.table[usize::from(low ^ byte)] ^ (self.state >> 8);
        }
    }

    /// Returns the checksum of all bytes so far.
    pub fn finalize(&self) -> u64 {
        self.state ^ self.ones
    }
}

// Polynomials with their lowest term in the highest bit: <https://reveng.sourceforge.io/crc-catalogue/all.htm>
static CRC32: [u64; 256] = table(0xEDB8_8320);
static CRC32C: [u64; 256] = table(0x82F6_3B78);
static CRC64_NVME: [u64; 256] = table(0x9A6C_9329_AC4B_C9B5);

/// Returns what each byte makes of a checksum.
const fn table(polynomial: u64) -> [u64; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        let mut entry = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            entry = if entry & 1 == 1 { (entry >> 1) ^ polynomial } else { entry >> 1 };
            bit += 1;
        }
        table[byte] = entry;
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The catalogue's check values, of the digits from 1 to 9.
    #[test]
    fn checksums_are_the_catalogues() {
        for (algorithm, check) in [
            (CrcAlgorithm::Crc32IsoHdlc, 0xCBF4_3926),
            (CrcAlgorithm::Crc32Iscsi, 0xE306_9283),
            (CrcAlgorithm::Crc64Nvme, 0xAE8B_1486_0A79_9888),
        ] {
            let mut digest = Digest::new(algorithm);
            digest.update(b"1234");
            digest.update(b"56789");
            assert_eq!(digest.finalize(), check, "{algorithm:?}");
        }
    }
}
