//! Bytes that look like a body, and damaged bodies.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Bytes in an order that makes many half valid lines.
pub(crate) fn tokens() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        4 => select(b"abhs_:{}=,\"\\ \t\n\r#019.+-eN\0\xff" as &[u8]).prop_map(|byte| vec![byte]),
        1 => select(&[
            "# HELP a ", "# TYPE h histogram\n", "# TYPE s summary\n", "# UNIT a_s s\n", "# EOF\n",
            "h_bucket", "{le=\"", "\"} 1\n", "a{b=\"c\"}", " 1\n", " 1 5\n", "{\"a\"", "up", " NaN\n", "i=\"0\"",
            "# {", " # {a=\"b\"} 1", "é",
        ] as &[&str]).prop_map(|text| text.as_bytes().to_vec()),
    ];
    vec(token, 0..40).prop_map(|tokens| tokens.concat())
}

/// One change of a body.
#[derive(Debug, Clone)]
pub(crate) enum Damage {
    Set(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Cut(Index),
    Repeat(Index, Index),
}

pub(crate) fn damages() -> impl Strategy<Value = Vec<Damage>> {
    let byte = prop_oneof![select(b"\"\\{}=, \n\r\0#1a" as &[u8]), any::<u8>()];
    let damage =
        (0..12_u8, any::<(Index, Index)>(), byte).prop_map(|(kind, (at, to), byte)| match kind {
            0..=3 => Damage::Set(at, byte),
            4..=6 => Damage::Insert(at, byte),
            7..=9 => Damage::Remove(at),
            10 => Damage::Cut(at),
            _ => Damage::Repeat(at, to),
        });
    vec(damage, 1..4)
}

impl Damage {
    pub(crate) fn apply(&self, body: &mut Vec<u8>) {
        if body.is_empty() {
            return;
        }
        match self {
            Damage::Set(at, byte) => {
                let at = at.index(body.len());
                body[at] = *byte;
            }
            Damage::Insert(at, byte) => body.insert(at.index(body.len()), *byte),
            Damage::Remove(at) => {
                body.remove(at.index(body.len()));
            }
            Damage::Cut(at) => body.truncate(at.index(body.len())),
            Damage::Repeat(at, to) => {
                let (a, b) = (at.index(body.len()), to.index(body.len()));
                let piece = body[a.min(b)..a.max(b)].to_vec();
                body.extend(piece);
            }
        }
    }
}
