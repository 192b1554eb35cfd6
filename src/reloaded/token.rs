//! A bearer token: how it is read from a file and compared. It is never shown.

use std::fmt;

use subtle::{Choice, ConstantTimeEq};

use super::{FileContent, FileError};

/// A credential of visible ASCII characters. `Debug` hides it, and there is no `Display`.
#[derive(Clone)]
pub struct BearerToken(Vec<u8>);

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(..)")
    }
}

impl BearerToken {
    /// The token in this text, without the blanks around it; `None` if there is none, or if it cannot be sent in a
    /// header.
    #[must_use]
    pub fn from_bytes(text: &[u8]) -> Option<BearerToken> {
        let token = text.trim_ascii();
        let is_token = !token.is_empty() && token.iter().all(u8::is_ascii_graphic);
        is_token.then(|| BearerToken(token.to_owned()))
    }

    /// The token in a file that contains nothing else.
    ///
    /// # Errors
    /// The file has no token, or one that cannot be sent in a header.
    pub fn from_file(file: &FileContent) -> Result<BearerToken, FileError> {
        BearerToken::from_bytes(file.bytes())
            .ok_or_else(|| file.error("expected one token of visible ASCII characters"))
    }

    /// The value of the `Authorization` header (RFC 6750, section 2.1).
    #[must_use]
    pub fn header_value(&self) -> String {
        let token: String = self.0.iter().map(|&byte| char::from(byte)).collect();
        format!("Bearer {token}")
    }

    /// Whether the bytes that were sent are this token. How long this takes reveals nothing but the token's length.
    #[must_use]
    pub fn equals(&self, sent: &[u8]) -> Choice {
        self.0.ct_eq(sent)
    }
}
