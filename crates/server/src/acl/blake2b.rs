//! BLAKE2b-256 (RFC 7693), without a key: what the original shows of its policies and tokens.
//!
//! It tells contents apart and protects nothing, so this small form does; the library that all
//! other cryptography is from does not have it.

const IV: [u64; 8] = [
    0x6a09_e667_f3bc_c908,
    0xbb67_ae85_84ca_a73b,
    0x3c6e_f372_fe94_f82b,
    0xa54f_f53a_5f1d_36f1,
    0x510e_527f_ade6_82d1,
    0x9b05_688c_2b3e_6c1f,
    0x1f83_d9ab_fb41_bd6b,
    0x5be0_cd19_137e_2179,
];

/// The order in which each round takes the words of a block.
const SIGMA: [[usize; 16]; 10] = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
    [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
    [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
    [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
    [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
    [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
    [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
    [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
    [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
    [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
];

const ROUNDS: usize = 12;
const BLOCK: usize = 128;
/// Length of a sum in bytes.
pub(crate) const LENGTH: usize = 32;

/// A sum in the making.
#[derive(Debug)]
pub(crate) struct Blake2b {
    state: [u64; 8],
    block: [u8; BLOCK],
    filled: usize,
    /// Bytes that were worked in.
    length: u128,
}

impl Blake2b {
    pub(crate) fn new() -> Self {
        let mut state = IV;
        // Parameters: length of the sum, no key, one leaf.
        state[0] ^= 0x0101_0000 ^ LENGTH as u64;
        Self { state, block: [0; BLOCK], filled: 0, length: 0 }
    }

    pub(crate) fn update(&mut self, bytes: impl AsRef<[u8]>) {
        for byte in bytes.as_ref() {
            // The last block is worked in differently, so a full one waits for more.
            if self.filled == BLOCK {
                self.compress(false);
            }
            self.block[self.filled] = *byte;
            self.filled += 1;
        }
    }

    pub(crate) fn finish(mut self) -> [u8; LENGTH] {
        self.block[self.filled..].fill(0);
        self.compress(true);
        let mut sum = [0; LENGTH];
        for (bytes, word) in sum.chunks_exact_mut(8).zip(self.state) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        sum
    }

    fn compress(&mut self, last: bool) {
        self.length += self.filled as u128;
        self.filled = 0;
        let mut words = [0; 16];
        for (word, bytes) in words.iter_mut().zip(self.block.chunks_exact(8)) {
            *word = u64::from_le_bytes(bytes.try_into().unwrap_or_default());
        }
        let mut v = [0; 16];
        v[..8].copy_from_slice(&self.state);
        v[8..].copy_from_slice(&IV);
        let length = self.length.to_le_bytes();
        let (low, high) = length.split_at(8);
        v[12] ^= u64::from_le_bytes(low.try_into().unwrap_or_default());
        v[13] ^= u64::from_le_bytes(high.try_into().unwrap_or_default());
        if last {
            v[14] = !v[14];
        }
        for round in 0..ROUNDS {
            let s = &SIGMA[round % SIGMA.len()];
            mix(&mut v, [0, 4, 8, 12], words[s[0]], words[s[1]]);
            mix(&mut v, [1, 5, 9, 13], words[s[2]], words[s[3]]);
            mix(&mut v, [2, 6, 10, 14], words[s[4]], words[s[5]]);
            mix(&mut v, [3, 7, 11, 15], words[s[6]], words[s[7]]);
            mix(&mut v, [0, 5, 10, 15], words[s[8]], words[s[9]]);
            mix(&mut v, [1, 6, 11, 12], words[s[10]], words[s[11]]);
            mix(&mut v, [2, 7, 8, 13], words[s[12]], words[s[13]]);
            mix(&mut v, [3, 4, 9, 14], words[s[14]], words[s[15]]);
        }
        for (at, word) in self.state.iter_mut().enumerate() {
            *word ^= v[at] ^ v[at + 8];
        }
    }
}

fn mix(v: &mut [u64; 16], [a, b, c, d]: [usize; 4], x: u64, y: u64) {
    v[a] = v[a].wrapping_add(v[b]).wrapping_add(x);
    v[d] = (v[d] ^ v[a]).rotate_right(32);
    v[c] = v[c].wrapping_add(v[d]);
    v[b] = (v[b] ^ v[c]).rotate_right(24);
    v[a] = v[a].wrapping_add(v[b]).wrapping_add(y);
    v[d] = (v[d] ^ v[a]).rotate_right(16);
    v[c] = v[c].wrapping_add(v[d]);
    v[b] = (v[b] ^ v[c]).rotate_right(63);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        let mut sum = Blake2b::new();
        sum.update(bytes);
        sum.finish().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Sums as Python's `hashlib.blake2b(…, digest_size=32)` has them.
    #[test]
    fn known_sums() {
        let empty = "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8";
        assert_eq!(hex(b""), empty);
        assert_eq!(hex(b"abc"), ABC);
        assert_eq!(hex(&[7; 128]), BLOCK_OF_SEVENS);
        assert_eq!(hex(&[7; 129]), ONE_MORE);
        assert_eq!(hex(&[7; 300]), MANY);
    }

    const ABC: &str = "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319";
    const BLOCK_OF_SEVENS: &str =
        "332f1f712b03a6a6f6c28db7d96c62f170744119ab0f831b9e0d80f800e3aad7";
    const ONE_MORE: &str = "a04de7247309966b2b2afc367838071ea523f897e6a405286f2b5627032a8dea";
    const MANY: &str = "0191c3eb5a6d2128509033fab49cb00a21416257a4c104cff5ee37d156e04db2";
}
