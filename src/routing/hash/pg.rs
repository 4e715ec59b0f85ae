//! PostgreSQL's extended hash functions, and how hash partitioning combines them.
//!
//! `hash_bytes_extended` and `hash_bytes_uint32_extended` of src/common/hashfn.c (Jenkins's
//! lookup3), `hashint8extended` of src/backend/access/hash/hashfunc.c, and
//! `compute_partition_hash_value` of src/backend/partitioning/partbounds.c.

use uuid::Uuid;

/// `HASH_PARTITION_SEED`.
pub(in crate::routing) const SEED: u64 = 0x7A5B_2236_7996_DCFD;
/// What `hash_combine64` adds. A single key's hash is folded into 0, where the shifts vanish.
pub(in crate::routing) const COMBINE: u64 = 0x49a0_f4dd_15e5_a8e3;

/// The partition hash of a uuid; a bucket is its remainder, unsigned.
#[inline(always)]
pub(in crate::routing) fn uuid(id: Uuid) -> u64 {
    let [first @ .., w0, w1, w2, w3] = *id.as_bytes();
    let mut s = const { State::seeded(16) };
    s.add(&first);
    s.mix();
    s.a = s.a.wrapping_add(u32::from_le_bytes([w0, w1, w2, w3]));
    s.finish().wrapping_add(COMBINE)
}

/// The partition hash of a bigint; integer and smallint columns hash alike.
#[inline(always)]
pub(in crate::routing) fn bigint(value: i64) -> u64 {
    let high = (value >> 32) as u32;
    let low = value as u32 ^ if value >= 0 { high } else { !high };
    let mut s = const { State::seeded(4) };
    s.a = s.a.wrapping_add(low);
    s.finish().wrapping_add(COMBINE)
}

/// The partition hash of a text under a deterministic collation: of its bytes.
pub(in crate::routing) fn text(value: &str) -> u64 {
    bytes(value.as_bytes()).wrapping_add(COMBINE)
}

fn bytes(data: &[u8]) -> u64 {
    // The server's length is a 32-bit integer too; a text is at most 1 GB.
    let mut s = State::seeded(data.len() as u32);
    let (blocks, tail) = data.as_chunks::<12>();
    for block in blocks {
        s.add(block);
        s.mix();
    }
    // The tail's third word leaves the lowest byte to the length, as lookup3 does.
    let mut last = [0; 12];
    for (i, byte) in tail.iter().enumerate() {
        let at = if i < 8 { i } else { i + 1 };
        if let Some(slot) = last.get_mut(at) {
            *slot = *byte;
        }
    }
    s.add(&last);
    s.finish()
}

struct State {
    a: u32,
    b: u32,
    c: u32,
}

impl State {
    /// Where the hash of so many bytes starts; the seed is always the same.
    #[inline]
    const fn seeded(len: u32) -> State {
        let start = 0x9e37_79b9_u32.wrapping_add(len).wrapping_add(3_923_095);
        let mut s = State {
            a: start.wrapping_add((SEED >> 32) as u32),
            b: start.wrapping_add(SEED as u32),
            c: start,
        };
        s.mix();
        s
    }

    #[inline(always)]
    fn add(&mut self, block: &[u8; 12]) {
        let [a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3] = *block;
        self.a = self.a.wrapping_add(u32::from_le_bytes([a0, a1, a2, a3]));
        self.b = self.b.wrapping_add(u32::from_le_bytes([b0, b1, b2, b3]));
        self.c = self.c.wrapping_add(u32::from_le_bytes([c0, c1, c2, c3]));
    }

    #[inline(always)]
    const fn mix(&mut self) {
        let State { a, b, c } = self;
        *a = a.wrapping_sub(*c) ^ c.rotate_left(4);
        *c = c.wrapping_add(*b);
        *b = b.wrapping_sub(*a) ^ a.rotate_left(6);
        *a = a.wrapping_add(*c);
        *c = c.wrapping_sub(*b) ^ b.rotate_left(8);
        *b = b.wrapping_add(*a);
        *a = a.wrapping_sub(*c) ^ c.rotate_left(16);
        *c = c.wrapping_add(*b);
        *b = b.wrapping_sub(*a) ^ a.rotate_left(19);
        *a = a.wrapping_add(*c);
        *c = c.wrapping_sub(*b) ^ b.rotate_left(4);
        *b = b.wrapping_add(*a);
    }

    #[inline(always)]
    fn finish(self) -> u64 {
        let State {
            mut a,
            mut b,
            mut c,
        } = self;
        c = (c ^ b).wrapping_sub(b.rotate_left(14));
        a = (a ^ c).wrapping_sub(c.rotate_left(11));
        b = (b ^ a).wrapping_sub(a.rotate_left(25));
        c = (c ^ b).wrapping_sub(b.rotate_left(16));
        a = (a ^ c).wrapping_sub(c.rotate_left(4));
        b = (b ^ a).wrapping_sub(a.rotate_left(14));
        c = (c ^ b).wrapping_sub(b.rotate_left(24));
        u64::from(b) << 32 | u64::from(c)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_as_the_server_hashes_them() {
        // uuid → uuid_hash_extended(uuid, SEED), partition hash mod 4096, mod 3: PostgreSQL 15.
        let vectors: [(&str, i64, u64, u64); 4] = [
            (
                "00000000-0000-0000-0000-000000000000",
                -5281082146396728638,
                2981,
                0,
            ),
            (
                "123e4567-e89b-12d3-a456-426614174000",
                -1252132692482143582,
                901,
                1,
            ),
            (
                "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
                424513190990560493,
                1488,
                1,
            ),
            (
                "ffffffff-ffff-ffff-ffff-ffffffffffff",
                -148986464341306210,
                3457,
                1,
            ),
        ];
        for (id, hash, mod_4096, mod_3) in vectors {
            let id: Uuid = id.parse().unwrap();
            let h = uuid(id);
            assert_eq!(h.wrapping_sub(COMBINE) as i64, hash, "{id}");
            assert_eq!((h % 4096, h % 3), (mod_4096, mod_3), "{id}");
            assert_eq!(bytes(id.as_bytes()).wrapping_add(COMBINE), h, "{id}");
        }
    }
}
