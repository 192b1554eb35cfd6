//! The bearer tokens of which a request has to show one.

use std::fmt;

use subtle::Choice;

use crate::reloaded::{BearerToken, Content, FileError};

/// Longest token; longer ones do not fit into a request head beside the rest.
const TOKEN_BYTES_MAX: usize = 4096;
/// Most tokens: the one in use and the next, and some to spare.
const TOKENS_MAX: usize = 8;
/// What stands before the token, in any case (RFC 6750, section 2.1).
const SCHEME: &[u8] = b"Bearer ";

/// The tokens of `AUTH_TOKEN_FILE`, each of which is right: with one alone no token could be replaced without a moment
/// at which server and scraper disagree.
#[derive(Debug)]
pub(super) struct BearerTokens(Vec<BearerToken>);

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
    /// The tokens of the file: one a line, blanks around it and empty lines do not count.
    ///
    /// # Errors
    /// There is none, there are more than eight, or one is too long or cannot stand in a header.
    pub(super) fn from_file(file: &Content) -> Result<BearerTokens, FileError> {
        let lines = file.bytes().split(|&byte| byte == b'\n');
        let tokens: Option<Vec<BearerToken>> = lines
            .filter(|line| !line.trim_ascii().is_empty())
            .map(|line| {
                BearerToken::from_bytes(line).filter(|token| token.length() <= TOKEN_BYTES_MAX)
            })
            .collect();
        match tokens {
            Some(tokens) if tokens.is_empty() => {
                Err(file.error("the file is empty: expected a token"))
            }
            Some(tokens) if tokens.len() <= TOKENS_MAX => Ok(BearerTokens(tokens)),
            _ => Err(file.error(
                "expected up to 8 lines, each a token of at most 4096 visible ASCII characters",
            )),
        }
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
                let admits = |any: Choice, token: &BearerToken| any | token.equals(sent);
                self.0.iter().fold(Choice::from(0), admits).into()
            }
            _ => false,
        }
    }
}
