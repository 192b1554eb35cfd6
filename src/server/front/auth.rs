//! The bearer token that a request has to show.

use std::fmt;
use std::hint::black_box;

/// Longest token; longer ones do not fit into a request head beside the rest.
const TOKEN_BYTES_MAX: usize = 4096;
/// What stands before the token, in any case (RFC 6750, section 2.1).
const SCHEME: &[u8] = b"Bearer ";

/// The token of `AUTH_TOKEN_FILE`. `Debug` hides it.
pub(super) struct BearerToken(Vec<u8>);

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(..)")
    }
}

/// The values of a request's `Authorization` headers. `Debug` hides them.
#[derive(Default, PartialEq, Eq)]
pub(super) struct Authorization(Vec<Vec<u8>>);

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authorization(..)")
    }
}

impl Authorization {
    pub(super) fn push(&mut self, value: &[u8]) {
        self.0.push(value.to_owned());
    }
}

impl BearerToken {
    /// Reads the content of a token file: one line, blanks around it do not count.
    pub(super) fn from_file(content: &[u8]) -> Result<BearerToken, &'static str> {
        let token = content.trim_ascii();
        if token.is_empty() {
            return Err("the file is empty: expected a token");
        }
        if token.len() > TOKEN_BYTES_MAX || !token.iter().all(u8::is_ascii_graphic) {
            return Err("expected one line of at most 4096 visible ASCII characters");
        }
        Ok(BearerToken(token.to_owned()))
    }

    /// Whether a request shows exactly this token; two headers are never right.
    pub(super) fn admits(&self, authorization: &Authorization) -> bool {
        let [value] = authorization.0.as_slice() else {
            return false;
        };
        match value.split_at_checked(SCHEME.len()) {
            Some((scheme, token)) => {
                scheme.eq_ignore_ascii_case(SCHEME) && self.equals(token.trim_ascii_start())
            }
            None => false,
        }
    }

    /// Compares in a time that depends on the length of what was sent alone, so that it tells nothing of the token:
    /// every byte sent is looked at, wherever the first difference is.
    fn equals(&self, sent: &[u8]) -> bool {
        let ours = self.0.iter().cycle();
        let difference = sent.iter().zip(ours).fold(0, |difference, (sent, ours)| {
            black_box(difference | (sent ^ ours))
        });
        (difference == 0) & (sent.len() == self.0.len())
    }
}
