//! Zigzag variable-length integers, as in Protocol Buffers and Kafka.

/// Bytes that `v` takes.
pub fn size(v: i64) -> usize {
    let z = zigzag(v);
    (70 - (z | 1).leading_zeros() as usize) / 7
}

/// Appends `v`.
pub fn put(out: &mut Vec<u8>, v: i64) {
    let mut z = zigzag(v);
    while z >= 0x80 {
        out.push(z as u8 | 0x80);
        z >>= 7;
    }
    out.push(z as u8);
}

/// Reads one integer at `*at` and moves `*at` behind it; `None` when it is cut off or too long.
#[inline]
pub fn get(data: &[u8], at: &mut usize) -> Option<i64> {
    let first = *data.get(*at)?;
    *at += 1;
    if first < 0x80 {
        return Some(unzigzag(u64::from(first)));
    }
    let mut z = u64::from(first & 0x7f);
    let mut shift = 7;
    loop {
        let b = *data.get(*at)?;
        *at += 1;
        if shift == 63 && b > 1 {
            return None;
        }
        z |= u64::from(b & 0x7f) << shift;
        if b < 0x80 {
            return Some(unzigzag(z));
        }
        shift += 7;
        if shift > 63 {
            return None;
        }
    }
}

fn zigzag(v: i64) -> u64 {
    ((v << 1) ^ (v >> 63)) as u64
}

fn unzigzag(z: u64) -> i64 {
    (z >> 1) as i64 ^ -((z & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_come_back() {
        for v in [0, 1, -1, 63, -64, 64, -65, 8191, 8192, i64::from(i32::MAX), i64::MAX, i64::MIN] {
            let mut out = vec![];
            put(&mut out, v);
            assert_eq!(out.len(), size(v), "{v}");
            let mut at = 0;
            assert_eq!(get(&out, &mut at), Some(v));
            assert_eq!(at, out.len());
            assert_eq!(get(&out[..out.len() - 1], &mut 0), None, "cut off");
        }
        assert_eq!(get(&[0xff; 11], &mut 0), None, "too long");
    }
}
