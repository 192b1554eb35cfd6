//! One of n equal parts of a job's targets, for jobs that are too large for one scrape. Pure.

use std::fmt;

/// The most parts of one job.
pub const SHARDS_MAX: u16 = 1000;

/// The `index`-th of `count` parts. Each pod, with all its targets, belongs to exactly one of them, and always to the
/// same one, in every replica.
///
/// ```
/// use kubernetes_metrics_aggregator::target::Shard;
///
/// let shards = ["1/3", "2/3", "3/3"].map(|text| Shard::parse(text).unwrap());
/// let uid = "7c9f3a52-0c44-4d0e-9d5b-8a1f6c2f1b10";
/// assert_eq!(shards.iter().filter(|shard| shard.contains(uid)).count(), 1);
/// assert_eq!(Shard::parse("4/3"), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: u16,
    count: u16,
}

impl Shard {
    /// `None` unless 1 ≤ `index` ≤ `count` ≤ [`SHARDS_MAX`].
    #[must_use]
    pub fn new(index: u16, count: u16) -> Option<Shard> {
        (1 <= index && index <= count && count <= SHARDS_MAX).then_some(Shard { index, count })
    }

    /// Parses `i/n`, digits only.
    #[must_use]
    pub fn parse(text: &str) -> Option<Shard> {
        let (index, count) = text.split_once('/')?;
        Shard::new(parse_number(index)?, parse_number(count)?)
    }

    /// Whether the pod with this uid belongs to this part.
    #[must_use]
    pub fn contains(self, uid: &str) -> bool {
        fnv_1a(uid.as_bytes()) % u64::from(self.count) == u64::from(self.index - 1)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

/// Digits only: `u16::from_str` would accept a `+`.
pub(super) fn parse_number(text: &str) -> Option<u16> {
    text.parse()
        .ok()
        .filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// FNV-1a with 64 bits: the same in every version and on every machine, because replicas have to agree.
fn fnv_1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
