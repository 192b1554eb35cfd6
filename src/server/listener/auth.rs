//! The bearer tokens of `AUTH_TOKEN_FILE`, and the targets that each of them may see.

use std::fmt;
use std::sync::{Arc, Once};

use crate::reloaded::{BearerToken, FileContent, FileError};
use crate::target::TargetScope;

/// The longest token. Longer ones would leave too little of a request head.
const TOKEN_BYTES_MAX: usize = 4096;
/// The most tokens: a few for each team of a large cluster.
const TOKENS_MAX: usize = 1000;
/// The form of a line, with both limits.
const EXPECTED_LINE: &str = "TOKEN, TOKEN job=NAME,... or TOKEN namespace=NAME,..., each token once and of at most \
                             4096 visible ASCII characters, at most 1000 lines";
/// Precedes the token in the header, in upper or lower case (RFC 6750, section 2.1).
const SCHEME: &[u8] = b"Bearer ";

/// The tokens, of which a request needs one. There may be several, so that a token can be replaced without a moment at
/// which server and scraper disagree.
#[derive(Debug)]
pub(super) struct BearerTokens {
    tokens: Vec<(BearerToken, Arc<TargetScope>)>,
    /// The first line that cannot be used. All such lines are left out.
    bad_line: Option<FileError>,
    bad_line_logged: Once,
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
    /// Parses the file: each line has a token and its limits. Empty lines are ignored.
    ///
    /// # Errors
    /// No line can be used.
    pub(super) fn from_file(file: &FileContent) -> Result<BearerTokens, FileError> {
        let mut tokens = Vec::new();
        let mut bad_line = None;
        let lines = file.bytes().split(|&byte| byte == b'\n');
        for (number, line) in (1..).zip(lines) {
            if !line.trim_ascii().is_empty() && add_line(&mut tokens, line).is_none() {
                let problem = format_args!("line {number}: expected {EXPECTED_LINE}");
                bad_line.get_or_insert_with(|| file.error(problem));
            }
        }
        if tokens.is_empty() {
            let empty = || file.error("the file is empty: expected a token");
            return Err(bad_line.unwrap_or_else(empty));
        }
        Ok(BearerTokens {
            tokens,
            bad_line,
            bad_line_logged: Once::new(),
        })
    }

    /// Why the first line that is left out cannot be used, if there is one.
    pub(super) fn first_bad_line(&self) -> Option<FileError> {
        self.bad_line.clone()
    }

    /// The targets that a request with this header may see; `None` if it has no valid token, or several headers.
    pub(super) fn scope(&self, authorization: &Authorization) -> Option<Arc<TargetScope>> {
        if let Some(error) = &self.bad_line {
            let log = || log::warn!("{error}; the line is left out, all others are used");
            self.bad_line_logged.call_once(log);
        }
        let [value] = authorization.0.as_slice() else {
            return None;
        };
        let (scheme, sent) = value.split_at_checked(SCHEME.len())?;
        if !scheme.eq_ignore_ascii_case(SCHEME) {
            return None;
        }
        let sent = sent.trim_ascii_start();
        // Compares all tokens, so that the time does not depend on which one matches.
        let tokens = self.tokens.iter();
        tokens.fold(None, |found, (token, scope)| {
            let is_right = bool::from(token.equals(sent));
            is_right.then(|| Arc::clone(scope)).or(found)
        })
    }
}

/// Adds the token of a line with its limits; `None` if the line is not as expected.
fn add_line(tokens: &mut Vec<(BearerToken, Arc<TargetScope>)>, line: &[u8]) -> Option<()> {
    let mut words = str::from_utf8(line).ok()?.split_ascii_whitespace();
    let token = words.next()?.as_bytes();
    let is_known = tokens.iter().any(|(known, _)| known.equals(token).into());
    // If the token is missing, a limit must not be taken for it.
    let lower = token.to_ascii_lowercase();
    let is_limit = lower.starts_with(b"job=") || lower.starts_with(b"namespace=");
    if is_known || is_limit || token.len() > TOKEN_BYTES_MAX || tokens.len() == TOKENS_MAX {
        return None;
    }
    let token = BearerToken::from_bytes(token)?;
    tokens.push((token, Arc::new(TargetScope::parse(words)?)));
    Some(())
}
