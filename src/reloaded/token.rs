//! One bearer token: what a file has to hold for one, and how it is compared. Never shown.

use std::fmt;

use subtle::{Choice, ConstantTimeEq};

use super::{Content, FileError};

/// A credential of visible ASCII characters. Its `Debug` never shows it, and it has no `Display`.
#[derive(Clone)]
pub struct BearerToken(Vec<u8>);

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(..)")
    }
}

impl BearerToken {
    /// The token in this text, without the blanks around it; `None` where there is none, or something that cannot
    /// stand in a header.
    #[must_use]
    pub fn from_bytes(text: &[u8]) -> Option<BearerToken> {
        let token = text.trim_ascii();
        let is_token = !token.is_empty() && token.iter().all(u8::is_ascii_graphic);
        is_token.then(|| BearerToken(token.to_owned()))
    }

    /// The token that is all that the file holds.
    ///
    /// # Errors
    /// There is none, or something that cannot stand in a header.
    pub fn from_file(file: &Content) -> Result<BearerToken, FileError> {
        BearerToken::from_bytes(file.bytes())
            .ok_or_else(|| file.error("expected one token of visible ASCII characters"))
    }

    /// The value of the header `Authorization` (RFC 6750, section 2.1).
    #[must_use]
    pub fn header_value(&self) -> String {
        let token: String = self.0.iter().map(|&byte| char::from(byte)).collect();
        format!("Bearer {token}")
    }

    /// Whether this is what was sent. The time that takes tells of the token no more than its length.
    #[must_use]
    pub fn equals(&self, sent: &[u8]) -> Choice {
        self.0.ct_eq(sent)
    }
}
