//! Which partition an item goes to: the rule of Kafka's default partitioner.

/// The partition of a key among `partitions`: murmur2 of its bytes, without the
/// sign, modulo the count. Equal to what Kafka's Java producer picks.
///
/// ```
/// use anabranch_engine::partition::of_key;
/// assert_eq!(of_key(b"signup-1", 1), 0);
/// assert!(of_key(b"signup-1", 10) < 10);
/// ```
pub fn of_key(key: &[u8], partitions: u32) -> u32 {
    (murmur2(key) & 0x7fff_ffff) % partitions.max(1)
}

/// The partition of an item without a key that was in partition `from`.
pub fn through(from: u32, partitions: u32) -> u32 {
    from % partitions.max(1)
}

/// Austin Appleby's MurmurHash2 with Kafka's seed, as in
/// `org.apache.kafka.common.utils.Utils.murmur2`.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut h: u32 = 0x9747_b28c ^ data.len() as u32;
    let mut words = data.chunks_exact(4);
    for w in &mut words {
        let mut k = u32::from_le_bytes([w[0], w[1], w[2], w[3]]).wrapping_mul(M);
        k ^= k >> 24;
        h = h.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = words.remainder();
    for (i, b) in rest.iter().enumerate() {
        h ^= u32::from(*b) << (8 * i);
    }
    if !rest.is_empty() {
        h = h.wrapping_mul(M);
    }
    h = (h ^ (h >> 13)).wrapping_mul(M);
    h ^ (h >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of Kafka's own `UtilsTest.testMurmur2`.
    #[test]
    fn murmur2_equals_kafka() {
        let cases: [(&str, i32); 6] = [
            ("21", -973932308),
            ("foobar", -790332482),
            ("a-little-bit-long-string", -985981536),
            ("a-little-bit-longer-string", -1486304829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
            ("abc", 479470107),
        ];
        for (text, want) in cases {
            assert_eq!(murmur2(text.as_bytes()) as i32, want, "{text}");
        }
    }
}
