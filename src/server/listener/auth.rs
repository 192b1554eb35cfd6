//! The bearer tokens of which a request has to show one.

use std::fmt;
use std::hint::black_box;

/// Longest token; longer ones do not fit into a request head beside the rest.
const TOKEN_BYTES_MAX: usize = 4096;
/// Most tokens: the one in use and the next, and some to spare.
const TOKENS_MAX: usize = 8;
/// What stands before the token, in any case (RFC 6750, section 2.1).
const SCHEME: &[u8] = b"Bearer ";

/// The tokens of `AUTH_TOKEN_FILE`, each of which is right: with one alone no token could be replaced without a moment
/// at which server and scraper disagree. `Debug` hides them.
pub(super) struct BearerTokens(Vec<Vec<u8>>);

impl fmt::Debug for BearerTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerTokens(..)")
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

impl BearerTokens {
    /// Reads the content of a token file: one token a line, blanks around it and empty lines do not count.
    pub(super) fn from_file(content: &[u8]) -> Result<BearerTokens, &'static str> {
        let lines = content.split(|&byte| byte == b'\n');
        let tokens: Vec<Vec<u8>> = lines
            .map(|line| line.trim_ascii().to_owned())
            .filter(|token| !token.is_empty())
            .collect();
        let is_token = |token: &Vec<u8>| {
            token.len() <= TOKEN_BYTES_MAX && token.iter().all(u8::is_ascii_graphic)
        };
        if tokens.is_empty() {
            return Err("the file is empty: expected a token");
        }
        if tokens.len() > TOKENS_MAX || !tokens.iter().all(is_token) {
            return Err(
                "expected up to 8 lines, each a token of at most 4096 visible ASCII characters",
            );
        }
        Ok(BearerTokens(tokens))
    }

    /// Whether a request shows exactly one of these tokens; two headers are never right.
    pub(super) fn admits(&self, authorization: &Authorization) -> bool {
        let [value] = authorization.0.as_slice() else {
            return false;
        };
        match value.split_at_checked(SCHEME.len()) {
            Some((scheme, sent)) if scheme.eq_ignore_ascii_case(SCHEME) => {
                let sent = sent.trim_ascii_start();
                // All are compared, whichever is the right one.
                let admits = |any, token: &Vec<u8>| any | equals(token, sent);
                self.0.iter().fold(false, admits)
            }
            _ => false,
        }
    }
}

/// Compares in a time that depends on the length of what was sent alone, so that it tells nothing of the token: every
/// byte sent is looked at, wherever the first difference is.
fn equals(token: &[u8], sent: &[u8]) -> bool {
    let ours = token.iter().cycle();
    let difference = sent.iter().zip(ours).fold(0, |difference, (sent, ours)| {
        black_box(difference | (sent ^ ours))
    });
    (difference == 0) & (sent.len() == token.len())
}
